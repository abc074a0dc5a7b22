"""The only reader and writer of pixels: its laws, literals that pin the channels, and what it refuses."""

import itertools
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from rasterio.enums import Resampling

from ftu.datasets import image_files, resolution
from ftu.errors import InputError
from ftu.files import gdal, png
from ftu.files.index import ImageRow, um_of_pixels
from ftu.preprocessing import resize
from ftu.probabilities import map_file
from maps import read_probability, write_probability

PIXELS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1))
PROBABILITIES = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1, width=32)
)
sizes, factors, seeds = st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "image.tiff"


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def resized(path: Path, image: np.ndarray, size: int) -> np.ndarray:
    image_files.write_tiff(path, image)
    return image_files.read_resized(path, (size, size))


# ------------------------------------------------------------------ there and back


@given(image=PIXELS)
def test_a_tiff_keeps_every_pixel(path, image):
    image_files.write_tiff(path, image)
    np.testing.assert_array_equal(image_files.read_image(path), image)
    image_files.check_image(path, image.shape[:2], 0.4)


@given(image=PIXELS)
def test_a_png_keeps_every_pixel(path, image):
    png.write_image(path.with_suffix(".png"), image)
    np.testing.assert_array_equal(png.read_image(path.with_suffix(".png")), image)
    np.testing.assert_array_equal(image_files.read_image(path.with_suffix(".png")), image)


@given(mask=MASKS)
def test_a_mask_is_0_and_1_in_memory_and_0_and_255_on_disk(path, mask):
    png.write_mask(path.with_suffix(".png"), mask)
    np.testing.assert_array_equal(png.read_mask(path.with_suffix(".png")), mask)
    on_disk = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(on_disk, mask * 255)


@given(probability=PROBABILITIES)
def test_a_probability_is_kept_to_half_a_step_of_16_bits(path, probability):
    write_probability(path.with_suffix(".tif"), probability)
    read = read_probability(path.with_suffix(".tif"))
    assert read.dtype == np.float32
    assert np.abs(read - probability.astype(float)).max() <= 0.5 / 65535 + 2**-24  # float32's own rounding
    np.testing.assert_array_equal(read[probability == 0], 0)
    np.testing.assert_array_equal(read[probability == 1], 1)


def test_a_probability_of_1_is_the_whole_scale_of_16_bits(path):
    write_probability(path.with_suffix(".tif"), np.array([[0, 0.5, 1]], np.float32))
    on_disk = cv2.imread(str(path.with_suffix(".tif")), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(on_disk, np.array([[0, 32768, 65535]], np.uint16))


def random_map(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).random((height, width), np.float32)


@given(height=st.integers(1, 300), width=st.integers(1, 20), data=st.data())
def test_the_bytes_of_a_probability_do_not_depend_on_the_parts_it_came_in(path, height, width, data):
    whole, parts = path.with_name("whole.tif"), path.with_name("parts.tif")
    probability = random_map(height, width)
    write_probability(whole, probability)
    cuts = sorted(data.draw(st.sets(st.integers(0, height), max_size=9)) | {0, height})
    with map_file.writer(parts, height, width) as write:
        for top, bottom in itertools.pairwise(cuts):
            write(probability[None, top:bottom])
    assert parts.read_bytes() == whole.read_bytes()


def tags_of(path: Path) -> dict[str, Any]:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert isinstance(page, tifffile.TiffPage)
        return {tag.name: tag.value for tag in page.tags}


def test_a_map_tells_the_size_of_its_pixels_to_those_who_look_at_it(tmp_path):
    """As tifffile reads it: in px to the centimetre, across and down."""
    probability = random_map(30, 20)
    with map_file.writer(tmp_path / "a.tif", 30, 20, um=(0.4, 1.6)) as write:
        write(probability[None])
    tags = tags_of(tmp_path / "a.tif")
    assert tags["ResolutionUnit"] == 3
    assert tags["XResolution"][0] / tags["XResolution"][1] == pytest.approx(6250)
    assert tags["YResolution"][0] / tags["YResolution"][1] == pytest.approx(25_000)
    write_probability(tmp_path / "b.tif", probability)
    assert tags_of(tmp_path / "b.tif").get("ResolutionUnit", 1) == 1  # none
    for name in ("a.tif", "b.tif"):
        np.testing.assert_allclose(read_probability(tmp_path / name), probability, atol=1e-5)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), side=st.integers(1, 999))
def test_an_image_shows_as_much_at_any_size(height, width, side):
    row = ImageRow("a", "test", "lung", "HPA", height, width, 0.4)
    down, across = um_of_pixels(row, side, 2 * side)
    assert (down * side, across * 2 * side) == pytest.approx((0.4 * height, 0.4 * width))
    assert um_of_pixels(row, height, width) == pytest.approx((0.4, 0.4))


@given(data=st.data())
def test_a_part_of_a_probability_is_that_part(path, data):
    file, probability = path.with_name("part.tif"), random_map(150, 9)
    if not file.exists():
        write_probability(file, probability)
    ends = (st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True) for n in probability.shape)
    rows, columns = (slice(*sorted(data.draw(pair))) for pair in ends)
    whole = read_probability(file)
    np.testing.assert_array_equal(read_probability(file, rows, columns), whole[rows, columns])


@given(image=PIXELS, data=st.data())
def test_an_image_is_read_by_rows_from_either_kind_of_file(path, image, data):
    top, bottom = sorted(data.draw(st.tuples(st.integers(0, len(image) - 1), st.integers(1, len(image)))))
    bottom = max(bottom, top + 1)
    image_files.write_tiff(path, image)
    png.write_image(path.with_suffix(".png"), image)
    for file in path, path.with_suffix(".png"):
        assert image_files.image_shape(file) == image.shape[:2]
        with image_files.pixel_rows(file) as read:
            np.testing.assert_array_equal(read(top, bottom), image[top:bottom])


def test_red_comes_first_in_memory_and_is_red_on_disk(path):
    image = np.array([[[250, 20, 3], [0, 0, 255]]], np.uint8)
    png.write_image(path.with_suffix(".png"), image)
    image_files.write_tiff(path, image)
    for file in path, path.with_suffix(".png"):
        assert np.asarray(cv2.imread(str(file)))[0, 0].tolist() == [
            3,
            20,
            250,
        ]  # OpenCV's order is blue, green, red
        assert image_files.read_image(file)[0, 0].tolist() == [250, 20, 3]
        assert image_files.read_resized(file, (1, 1))[0, 0].tolist() == [125, 10, 129]
    assert png.read_image(path.with_suffix(".png"))[0, 1].tolist() == [0, 0, 255]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_tiff_says_rgb_as_the_competitions_do(path):
    image_files.write_tiff(path, random_image(4, 5))
    with rasterio.open(path) as tiff:
        assert [colour.name for colour in tiff.colorinterp] == ["red", "green", "blue"]
        assert tiff.compression is None


# ------------------------------------------------------------------ resizing


@given(size=sizes, down=factors, across=factors, seed=seeds)
def test_whole_factors_give_the_mean_of_the_area_as_opencv_does(path, size, down, across, seed):
    image = random_image(size * down, size * across, seed)
    ours = resized(path, image, size)
    mean = image.reshape(size, down, size, across, 3).mean(axis=(1, 3))
    assert np.abs(ours - mean).max() <= 0.5 + 1e-9
    peer = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    tie = np.isclose(mean % 1, 0.5)  # the one place where right roundings differ
    np.testing.assert_array_equal(ours[~tie], peer[~tie])


@given(size=sizes, seed=seeds)
def test_halving_is_opencvs_to_the_bit(path, size, seed):
    image = random_image(2 * size, 2 * size, seed)
    peer = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resized(path, image, size), peer)


@pytest.mark.parametrize(("height", "width", "size"), [(30, 50, 17), (200, 64, 64), (301, 300, 128)])
def test_any_smaller_size_is_opencvs_area_average(path, height, width, size):
    image = random_image(height, width)
    peer = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resized(path, image, size), peer.astype(int), atol=1)


@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=seeds)
def test_growing_invents_no_colours(path, height, width, seed):
    image = random_image(height, width, seed)
    large = resized(path, image, 24)
    assert large.shape == (24, 24, 3)
    assert (large >= image.min(axis=(0, 1))).all()
    assert (large <= image.max(axis=(0, 1))).all()


def test_growing_is_opencvs_bilinear(path):
    image = random_image(5, 9)
    peer = cv2.resize(image, (20, 20), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized(path, image, 20), peer.astype(int), atol=1)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_png_is_refused(path, place, bit, cut):
    """GDAL alone gives wrong pixels of most files that were cut off, and of some with a wrong bit."""
    file, mask = path.with_name("damaged.png"), np.indices((30, 50)).sum(0) // 7 % 2
    png.write_mask(file, mask.astype(np.uint8))
    content = bytearray(file.read_bytes())
    place %= len(content)
    content[place] ^= 1 << bit
    file.write_bytes(content[:place] if cut else content)
    with pytest.raises(InputError, match=r"damaged\.png: is missing or damaged; run `dvc repro`"):
        png.read_mask(file)


def test_a_png_of_another_kind_is_refused(path):
    png.write_image(path.with_name("rgb.png"), random_image(3, 4))
    png.write_mask(path.with_name("mask.png"), np.ones((3, 4), np.uint8))
    with pytest.raises(InputError, match=r"rgb\.png"):
        png.read_mask(path.with_name("rgb.png"))
    cv2.imwrite(str(path.with_name("deep.png")), np.zeros((3, 4), np.uint16))
    for read in (png.read_mask, png.read_image):
        with pytest.raises(InputError, match=r"deep\.png"):
            read(path.with_name("deep.png"))


@given(image=arrays(np.uint8, st.tuples(sizes, sizes, st.just(1))))
def test_a_grey_image_has_one_channel_all_the_way(path, image):
    png.write_image(path.with_name("grey.png"), image)
    for file in (path.with_name("grey.png"), path.with_name("raw.tif")):
        cv2.imwrite(str(file), image)
        assert image_files.check_image(file, image.shape[:2], channels=1)
        np.testing.assert_array_equal(image_files.read_image(file), image)
        np.testing.assert_array_equal(image_files.read_resized(file, image.shape[:2]), image)
    resized = path.with_name("resized.png")
    resize.resize_image_file(path.with_name("raw.tif"), resized, (5, 3))
    assert png.read_image(resized).shape == (5, 3, 1)
    with png.pixel_rows(resized) as rows:
        np.testing.assert_array_equal(rows(1, 4), png.read_image(resized)[1:4])


def test_the_channels_of_an_image_are_those_of_the_parameters(tmp_path):
    grey, rgb = tmp_path / "grey.png", tmp_path / "rgb.png"
    cv2.imwrite(str(grey), np.zeros((20, 30), np.uint8))
    cv2.imwrite(str(rgb), np.zeros((20, 30, 3), np.uint8))
    refused(grey, "is grey, and data.channels is 3; set data.channels: 1")
    with pytest.raises(InputError, match=r"rgb\.png: has three bands, and data\.channels is 1"):
        image_files.check_image(rgb, (20, 30), channels=1)


def test_numbers_that_are_no_levels_of_grey_are_refused(tmp_path):
    Image.fromarray(np.eye(4, dtype=np.uint8)).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(np.eye(4) > 0).save(tmp_path / "bits.png")
    for name, words in {
        "palette.png": "numbers of colours in a table",
        "bits.png": "levels of 1 bits",
    }.items():
        with pytest.raises(InputError, match=rf"{name}: its band holds.* {words}"):
            image_files.check_image(tmp_path / name, (4, 4), channels=1)


@given(mask=arrays(np.uint8, st.tuples(sizes, sizes), elements=st.integers(0, 250)))
def test_the_numbers_of_several_classes_come_back(path, mask):
    png.write_mask(path.with_name("labels.png"), mask, 250)
    np.testing.assert_array_equal(png.read_mask(path.with_name("labels.png")), mask)
    np.testing.assert_array_equal(cv2.imread(str(path.with_name("labels.png")), cv2.IMREAD_UNCHANGED), mask)


@given(mask=MASKS, size=sizes)
def test_a_resized_mask_takes_the_nearest_pixel_of_each_centre(mask, size):
    small = image_files.resize_mask(mask, (size, size))
    assert (small.shape, small.dtype) == ((size, size), np.uint8)
    centres = [(2 * np.arange(size) + 1) * side for side in mask.shape]  # in 2 * size parts of a pixel
    inside = [centre % (2 * size) > 0 for centre in centres]  # on an edge, either pixel is the nearest
    nearest = [centre[sure] // (2 * size) for centre, sure in zip(centres, inside, strict=True)]
    np.testing.assert_array_equal(small[np.ix_(*inside)], mask[np.ix_(*nearest)])
    assert set(np.unique(small)) <= set(np.unique(mask))


def test_files_are_resized_as_arrays_are(path):
    folder, image = path.parent, random_image(16, 24)
    image_files.write_tiff(path, image)
    resize.resize_image_file(path, folder / "small.png", (8, 8))
    np.testing.assert_array_equal(
        png.read_image(folder / "small.png"), image_files.read_resized(path, (8, 8))
    )
    mask = (image[..., 0] > 100).astype(np.uint8)
    png.write_mask(folder / "mask.png", mask)
    resize.resize_mask_file(folder / "mask.png", folder / "small_mask.png", (8, 8))
    small = png.read_mask(folder / "small_mask.png")
    np.testing.assert_array_equal(small, image_files.resize_mask(mask, (8, 8)))


# ------------------------------------------------------------------ refusals


def refused(path: Path, *parts: str, height: int = 20, width: int = 30) -> None:
    with pytest.raises(InputError) as caught:
        image_files.check_image(path, (height, width), 0.4)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@given(data=st.data())
def test_a_file_cut_off_anywhere_is_refused(path, data):
    whole, damaged = path.with_name("whole.tiff"), path.with_name("damaged.tiff")
    image_files.write_tiff(whole, random_image(20, 30))
    damaged.write_bytes(whole.read_bytes()[: data.draw(st.integers(0, whole.stat().st_size - 1))])
    refused(damaged, "fetch the file again")


def test_a_web_page_is_no_image(tmp_path):
    path = tmp_path / "image.tiff"
    path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    refused(path, "cannot be read as an image", "fetch the file again")


def test_a_missing_image_is_named(path):
    refused(path.with_name("gone.tiff"), "missing", "restore it")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((20, 30), np.uint16), "1 bands of uint16"),
        (np.zeros((20, 30, 4), np.uint8), "4 bands of uint8"),
        (np.zeros((20, 30, 3), np.uint16), "3 bands of uint16"),
    ],
)
def test_only_one_or_three_bands_of_8_bits_are_an_image(tmp_path, array, found):
    path = tmp_path / "image.tiff"
    cv2.imwrite(str(path), array)
    refused(path, found, "must have 3 bands (RGB) of uint8")
    with pytest.raises(InputError, match=found):
        image_files.read_image(path)
    with pytest.raises(InputError, match=found):
        image_files.read_resized(path, (8, 8))


def test_height_and_width_are_not_interchangeable(path):
    image_files.write_tiff(path, random_image(20, 30))
    refused(path, "20 x 30", "img_height 30, img_width 20", "correct", height=30, width=20)
    with pytest.raises(InputError, match="img_height 21, img_width 30"):
        image_files.check_image(path, (21, 30), 0.4)


@pytest.mark.parametrize("read", [png.read_image, png.read_mask, map_file.read])
@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_lost_or_damaged_artefact_can_be_made_again(tmp_path, read, content):
    if content is not None:
        (tmp_path / "artefact.png").write_bytes(content)
    with pytest.raises(InputError, match=r"artefact\.png.*run `dvc repro`"):
        read(tmp_path / "artefact.png")


@given(data=st.data())
def test_a_probability_cut_off_anywhere_is_refused(path, data):
    whole, damaged = path.with_name("uncut.tif"), path.with_name("cut.tif")
    if not whole.exists():
        write_probability(whole, random_map(200, 30))
    damaged.write_bytes(whole.read_bytes()[: data.draw(st.integers(0, whole.stat().st_size - 1))])
    with pytest.raises(InputError, match=r"cut\.tif: is missing or damaged.*run `dvc repro`"):
        read_probability(damaged)


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("a.png", np.zeros((4, 5), np.uint16), "a PNG of 1 bands of uint16"),
        ("a.tif", np.zeros((4, 5), np.uint8), "a GTiff of 1 bands of uint8"),
    ],
)
def test_another_picture_is_no_probability(tmp_path, name, array, found):
    cv2.imwrite(str(tmp_path / name), array)
    with pytest.raises(InputError, match=rf"{name}: is {found}, no probability map .* run `dvc repro`"):
        read_probability(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, -0.001, 1.001, np.inf, -np.inf])
def test_what_is_no_probability_is_refused_and_leaves_no_file(tmp_path, value):
    probability = np.full((2, 3), 0.5, np.float32)
    probability[1, 1] = value
    with pytest.raises(ValueError, match=r"a\.tif: .* no probabilities"):
        write_probability(tmp_path / "a.tif", probability)
    assert not any(tmp_path.iterdir())


def test_a_probability_that_ends_too_soon_leaves_no_file(tmp_path):
    with (
        pytest.raises(ValueError, match=r"a\.tif: 70 of 100 rows were written"),
        map_file.writer(tmp_path / "a.tif", 100, 3) as write,
    ):
        write(random_map(70, 3)[None])
    assert not any(tmp_path.iterdir())


def test_a_probability_that_finds_no_room_is_an_error_and_leaves_no_file(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"Input/output error: .*a\.tif"):
            write_probability(tmp_path / "a.tif", random_map(400, 400))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("write", [png.write_image, png.write_mask])
def test_a_write_that_fails_is_an_error(tmp_path, write):
    pixels = np.zeros((2, 2, 3) if write is png.write_image else (2, 2), np.uint8)
    with pytest.raises(OSError, match="No such file"):
        write(tmp_path / "no such folder" / "a.png", pixels)


# ------------------------------------------------------------------ what a file states of its pixels


@pytest.mark.parametrize(
    ("tags", "stated"),
    [
        ({}, {}),
        ({"XRESOLUTION": "25000", "YRESOLUTION": "25000", "RESOLUTIONUNIT": "3 (pixels/cm)"}, [0.4, 0.4]),
        ({"XRESOLUTION": "63500", "YRESOLUTION": "31750", "RESOLUTIONUNIT": "2 (pixels/inch)"}, [0.4, 0.8]),
        ({"XRESOLUTION": "72", "YRESOLUTION": "72", "RESOLUTIONUNIT": "2 (pixels/inch)"}, {}),
        ({"XRESOLUTION": "1", "YRESOLUTION": "1", "RESOLUTIONUNIT": "1 (unitless)"}, {}),
        ({"IMAGEDESCRIPTION": 'PhysicalSizeX="0.25" PhysicalSizeY="0.5"'}, [0.25, 0.5]),
        ({"IMAGEDESCRIPTION": 'PhysicalSizeX="250" PhysicalSizeXUnit="nm"'}, {}),
        ({"IMAGEDESCRIPTION": 'PhysicalSizeX="." PhysicalSizeY="e"'}, {}),
        (
            {
                "IMAGEDESCRIPTION": 'PhysicalSizeX="2.5e-1" PhysicalSizeXUnit="&#181;m" '
                'PhysicalSizeY="1" PhysicalSizeYUnit="µm"'
            },
            [0.25, 1.0],
        ),
    ],
)
def test_what_tags_state_of_a_pixel(tags, stated):
    named = dict(zip("xy", stated, strict=True)) if stated else {}
    assert resolution.stated({f"TIFFTAG_{key}": value for key, value in tags.items()}) == named


@pytest.mark.parametrize(("pixel_size", "taken"), [(0.4, True), (0.41, True), (0.5, False), (0.3, False)])
def test_a_tiff_that_states_other_pixels_than_its_row_is_refused(tmp_path, pixel_size, taken):
    path = tmp_path / "a.tiff"
    image_files.write_tiff(path, np.zeros((4, 4, 3), np.uint8))
    with rasterio.open(path, "r+") as tiff:
        tiff.update_tags(TIFFTAG_XRESOLUTION=25000, TIFFTAG_YRESOLUTION=25000, TIFFTAG_RESOLUTIONUNIT=3)
    if taken:
        image_files.check_image(path, (4, 4), pixel_size)
        return
    words = (
        rf"a\.tiff: states 0\.4 um per px \(x\).*pixel_size {pixel_size}; correct .*, data\.pixel_size where"
    )
    with pytest.raises(InputError, match=words):
        image_files.check_image(path, (4, 4), pixel_size)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_lies_beside_a_file_changes_no_pixel(tmp_path):
    """Else GDAL would read the overviews that another program may have made."""
    path = tmp_path / "image.tiff"
    image_files.write_tiff(path, np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))
    before = image_files.read_resized(path, (64, 64))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as tiff:
        tiff.build_overviews([2, 4], Resampling.nearest)
    assert path.with_name("image.tiff.ovr").exists()
    np.testing.assert_array_equal(image_files.read_resized(path, (64, 64)), before)


def test_memory_that_runs_out_while_rows_are_read_is_no_damage(tmp_path):
    png.write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="does not fit into memory"), png.pixel_rows(tmp_path / "a.png"):
        raise MemoryError


def test_a_part_is_read_though_a_strip_elsewhere_is_damaged_and_no_part_of_that_strip_is(tmp_path):
    """Strips of 64 rows: only those that hold the rows are read and held against their checksums."""
    file, probability = tmp_path / "a.tif", random_map(256, 40)
    write_probability(file, probability)
    with gdal.opened(file, driver="GTiff") as tiff:
        offset, size = (int(tiff.get_tag_item(f"BLOCK_{what}_0_2", "TIFF", 1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(file.read_bytes())
    content[offset + size // 2] ^= 255
    whole = read_probability(file)
    file.write_bytes(content)
    for rows in (slice(0, 128), slice(70, 71), slice(192, 256)):
        np.testing.assert_array_equal(read_probability(file, rows), whole[rows])
    for rows in (slice(127, 129), slice(128, 129), slice(191, 256), slice(None)):
        with pytest.raises(InputError, match="is missing or damaged"):
            read_probability(file, rows)


def test_the_same_values_in_another_shape_are_another_map(tmp_path):
    write_probability(tmp_path / "a.tif", random_map(2, 6))
    write_probability(tmp_path / "b.tif", np.zeros((3, 4)))
    with gdal.opened(tmp_path / "a.tif", driver="GTiff") as wide:
        pixels, tags = wide.read(1), wide.tags()
    with gdal.opened(tmp_path / "b.tif", "r+", driver="GTiff") as narrow:
        narrow.write(pixels.reshape(3, 4), 1)
        narrow.update_tags(**{map_file.CHECKSUMS: tags[map_file.CHECKSUMS]})
    with pytest.raises(InputError, match="its checksums are not those of its pixels"):
        read_probability(tmp_path / "b.tif")


def test_a_file_that_vanished_while_it_was_written_hides_no_error(tmp_path):
    def spoilt() -> None:
        with map_file.writer(tmp_path / "a.tif", 100, 3) as write:
            write(random_map(70, 3)[None])
            (tmp_path / "a.tif").unlink(missing_ok=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoilt()


@given(classes=st.integers(2, 4), height=st.integers(1, 150), data=st.data())
def test_a_map_of_classes_comes_back_by_any_parts_of_it(path, classes, height, data):
    probability = np.random.default_rng(height).random((classes, height, 7), np.float32)
    cuts = sorted(data.draw(st.sets(st.integers(0, height), max_size=4)) | {0, height})
    with map_file.writer(path.with_name("classes.tif"), height, 7, classes) as write:
        for top, bottom in itertools.pairwise(cuts):
            write(probability[:, top:bottom])
    first, last = sorted(data.draw(st.lists(st.integers(0, height - 1), min_size=2, max_size=2)))
    found = map_file.read(path.with_name("classes.tif"), slice(first, last + 1), slice(2, 5))
    expected = probability[:, first : last + 1, 2:5]
    np.testing.assert_allclose(found, expected, atol=0.51 / map_file.FULL_SCALE)


@pytest.mark.parametrize("band", [1, 2, 3])
def test_a_changed_band_of_a_map_of_classes_is_damage(tmp_path, band):
    probability = np.random.default_rng(0).random((3, 70, 5), np.float32)
    with map_file.writer(tmp_path / "a.tif", 70, 5, 3) as write:
        write(probability)
    with gdal.opened(tmp_path / "a.tif", "r+", driver="GTiff") as damaged:
        pixels = damaged.read(band)
        pixels[66, 3] ^= 1
        damaged.write(pixels, band)
    assert len(map_file.read(tmp_path / "a.tif", slice(0, 64))) == 3  # the strip that is whole
    with pytest.raises(InputError, match="its checksums are not those of its pixels"):
        map_file.read(tmp_path / "a.tif")
