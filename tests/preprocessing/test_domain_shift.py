"""Images made to look like another source's: laws of the look, and the stage on a real folder."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from test_stain import H_DAB, HE, tissue

from ftu.datasets import image_files
from ftu.files import csvfile, png
from ftu.files.index import ImageRow, image_rows, read_index
from ftu.preprocessing import shifted_files, stain
from ftu.preprocessing.domain_shift import Look, blur, central, shift
from ftu.preprocessing.dyes import DYES
from ftu.preprocessing.vahadane import CONCENTRATION_PENALTY, concentrations, optical_density

SAME = Look(pixel_size=0.4, field=1e6, blur=0, dyes="none")
seeds = st.integers(0, 2**32 - 1)


def blob(seed: int, side: int) -> np.ndarray:
    """A mask of one ellipse, (side, side)."""
    rng = np.random.default_rng(seed)
    centre, axes = rng.integers(side // 3, 2 * side // 3, 2), rng.integers(side // 8, side // 3, 2)
    mask = np.zeros((side, side), np.uint8)
    angle = float(rng.uniform(0, 180))
    return cv2.ellipse(mask, centre.tolist(), axes.tolist(), angle, 0, 360, 1, thickness=cv2.FILLED)


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours are not all alike."""
    square = np.ones((3, 3), np.uint8)
    return cv2.dilate(mask, square) != cv2.erode(mask, square)


# ------------------------------------------------------------------ the look


@given(seed=seeds, height=st.integers(1, 40), width=st.integers(1, 40))
def test_an_image_of_that_look_already_keeps_every_byte(seed, height, width):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = rng.integers(0, 2, (height, width), np.uint8)
    made = shift(image, mask, pixel_size=0.4, look=SAME, seed=0)
    np.testing.assert_array_equal(made.image, image)
    np.testing.assert_array_equal(made.mask, mask)
    assert (made.pixel_size, made.reason) == (0.4, "")


def test_a_prostate_of_3000_px_becomes_one_of_160():
    look = Look(pixel_size=6.263, field=1000, blur=1, dyes="none")
    image, mask = np.full((3000, 3000, 3), 200, np.uint8), np.ones((3000, 3000), np.uint8)
    made = shift(image, mask, pixel_size=0.4, look=look, seed=0)
    assert made.image.shape == (160, 160, 3)
    assert made.mask.shape == (160, 160)
    assert made.pixel_size == 6.25
    assert (made.image == 200).all()
    assert made.mask.all()


@given(side=st.integers(1, 5000), wanted=st.integers(0, 6000))
def test_the_field_of_view_lies_in_the_middle(side, wanted):
    kept = central(side, wanted)
    assert kept.stop - kept.start == max(1, min(side, wanted))
    assert 0 <= (side - kept.stop) - kept.start <= 1


def test_a_side_that_is_narrower_than_the_field_stays_whole():
    image, mask = np.zeros((10, 100, 3), np.uint8), np.zeros((10, 100), np.uint8)
    image[:, 30:70] = 255
    made = shift(image, mask, pixel_size=0.5, look=SAME._replace(field=20, pixel_size=0.1), seed=0)
    assert made.image.shape == (10, 40, 3)
    assert (made.image == 255).all()


@given(seed=seeds, side=st.integers(60, 300), ratio=st.floats(1, 16))
def test_an_area_in_um2_stays_what_it_is(seed, side, ratio):
    mask = blob(seed, side)
    made = shift(
        np.dstack([mask] * 3), mask, pixel_size=0.4, look=SAME._replace(pixel_size=0.4 * ratio), seed=0
    )
    before, after = mask.sum() * 0.4**2, made.mask.sum() * made.pixel_size**2
    half_a_pixel_of_the_outline = boundary(made.mask).sum() / 2 * made.pixel_size**2 / 2
    assert abs(after - before) <= half_a_pixel_of_the_outline + made.pixel_size**2
    assert made.mask.size * made.pixel_size**2 == pytest.approx(mask.size * 0.4**2)


@given(seed=seeds, side=st.integers(60, 300), ratio=st.floats(1, 16), deviation=st.floats(0, 0.4))
def test_an_image_of_its_mask_still_shows_its_mask(seed, side, ratio, deviation):
    """To the pixels of the outline: the image and the mask move together."""
    mask = blob(seed, side)
    look = SAME._replace(pixel_size=0.4 * ratio, blur=deviation)
    made = shift(np.dstack([mask * 255] * 3), mask, pixel_size=0.4, look=look, seed=0)
    differs = (made.image[..., 0] > 127) != made.mask
    assert not (differs & ~boundary(made.mask)).any()


@given(seed=seeds, side=st.integers(2, 200), ratio=st.floats(1, 16))
def test_a_pixel_of_the_mask_is_the_one_at_its_centre(seed, side, ratio):
    mask = np.random.default_rng(seed).integers(0, 2, (side, side), np.uint8)
    look = SAME._replace(pixel_size=0.4 * ratio)
    made = shift(np.dstack([mask] * 3), mask, pixel_size=0.4, look=look, seed=0).mask
    centres, between = np.divmod((2 * np.arange(len(made)) + 1) * side, 2 * len(made))
    clear = between > 0  # a centre on the edge of two pixels may take either
    expected = mask[np.ix_(centres[clear], centres[clear])]
    np.testing.assert_array_equal(made[np.ix_(clear, clear)], expected)


@given(pixel_size=st.floats(0.41, 10))
def test_pixels_never_become_smaller(pixel_size):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    made = shift(image, image[..., 0] & 1, pixel_size=pixel_size, look=SAME, seed=0)
    np.testing.assert_array_equal(made.image, image)
    assert made.pixel_size == pixel_size


@pytest.mark.parametrize("pixel_size", [0.25, 0.5, 1.0])
def test_an_edge_is_as_blurred_in_um_whatever_the_pixels(pixel_size):
    image = np.zeros((3, round(40 / pixel_size), 3), np.uint8)
    image[:, image.shape[1] // 2 :] = 255
    look = SAME._replace(blur=2.0, pixel_size=pixel_size)
    profile = shift(image, image[..., 0], pixel_size=pixel_size, look=look, seed=0).image[1, :, 0]
    distance = (np.arange(image.shape[1]) + 0.5) * pixel_size - 20
    np.testing.assert_allclose(profile, 255 * norm.cdf(distance / 2.0), atol=2)


@given(level=st.integers(0, 255), deviation=st.floats(0, 20))
def test_a_blur_keeps_what_is_even(level, deviation):
    image = np.full((12, 17, 3), level, np.uint8)
    np.testing.assert_array_equal(blur(image, deviation), image)


def test_equal_inputs_give_equal_bytes_and_stay():
    image, mask = tissue(H_DAB, seed=0, side=400), blob(0, 400)
    image.flags.writeable = mask.flags.writeable = False
    look = Look(pixel_size=1.1, field=150, blur=1, dyes="pas")
    first, again = (shift(image, mask, pixel_size=0.4, look=look, seed=3) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first[2:] == again[2:]


# ------------------------------------------------------------------ dyes


def dyed(image: np.ndarray, dyes: str) -> np.ndarray:
    made = shift(image, image[..., 0] & 1, pixel_size=0.4, look=SAME._replace(dyes=dyes), seed=0)
    assert made.reason == ""
    return made.image


@pytest.mark.parametrize("dyes", list(DYES))
@pytest.mark.parametrize("stains", [HE, H_DAB])
def test_the_amounts_of_the_stains_are_found_again_in_the_new_dyes(dyes, stains):
    image = tissue(stains, seed=1)
    own = stain.fit(image, seed=0).matrix
    amounts = concentrations(optical_density(image.reshape(-1, 3)), own, CONCENTRATION_PENALTY)
    density = optical_density(dyed(image, dyes).reshape(-1, 3))
    found = np.linalg.lstsq(DYES[dyes].T, density, rcond=None)[0]
    assert np.abs(found - amounts).mean() < 0.02  # whole grey levels
    assert np.abs(found - amounts).max() < 0.1


@pytest.mark.parametrize(("dyes", "expected"), [("pas", (215, 98, 220)), ("he", (238, 94, 228))])
def test_brown_becomes_magenta_and_blue_stays_blue(dyes, expected):
    """A pixel of hematoxylin alone, and one of DAB alone, whose amount is 1."""
    image = tissue(H_DAB, seed=2)
    image[0, :2] = np.rint(255 * np.exp(-H_DAB / np.linalg.norm(H_DAB, axis=1, keepdims=True)))
    blue, brown = dyed(image, dyes)[0, :2].astype(int)
    assert blue[2] > blue[0] > blue[1]
    assert image[0, 1, 0] > image[0, 1, 1] > image[0, 1, 2]
    np.testing.assert_allclose(brown, expected, atol=6)


@pytest.mark.parametrize(("level", "reason"), [(255, "blank"), (130, "uniform")])
def test_an_image_without_stains_keeps_its_colours_and_says_why(level, reason):
    image = np.full((32, 32, 3), level, np.uint8)
    made = shift(image, image[..., 0] & 1, pixel_size=0.4, look=SAME._replace(dyes="he"), seed=0)
    np.testing.assert_array_equal(made.image, image)
    assert reason in made.reason


# ------------------------------------------------------------------ the stage

SIZES = {"kidney": 5.0, "largeintestine": 0.5, "lung": 6.0, "prostate": 12.0, "spleen": 4.0}  # um
LOOK = {"enabled": True, "pixel_size": SIZES, "field": 800.0, "blur": 1.0, "stain": "pas"}


def done(project, stage: str) -> str:
    """Run a stage that has to succeed; what it says on stderr."""
    result = project.run(stage)
    assert result.returncode == 0, result.stderr
    return result.stderr


def refused(project, *parts: str) -> None:
    """The stage says each part and leaves every file as it was."""
    before = project.contents()
    result = project.run("shift")
    assert result.returncode == 2
    for part in parts:
        assert part in result.stderr
    assert project.contents() == before


@pytest.fixture(scope="module")
def base(new_project, small_sample):
    """Six normalised training images and two of the test set; do not write into it."""
    project = new_project(small_sample, resize={"side": 64})
    for stage in ("decode", "resize", "normalize"):
        done(project, stage)
    return project


@pytest.fixture
def project(base, new_project):
    """A copy of `base` with all of its outputs."""
    copy = new_project()
    shutil.copytree(base.folder, copy.folder, dirs_exist_ok=True)
    copy.params = base.params | {"shift": base.params["shift"] | LOOK}
    copy.set()
    return copy


def index_of(project) -> dict[str, ImageRow]:
    rows = image_rows(read_index(project.folder / "data" / "images.csv"))
    return {row.id: row for row in rows if row.set == "train"}


def shifted_of(project) -> dict[str, bytes | None]:
    return {name: content for name, content in project.contents().items() if name.startswith("data/shifted")}


def test_the_stage_writes_images_masks_and_a_row_for_each_training_image(project):
    said = done(project, "shift")
    folder, before = project.folder / "data" / "shifted", index_of(project)
    rows = {row.id: row for row in image_rows(read_index(folder / "shifted.csv"))}
    assert list(rows) == list(before)
    assert sorted(path.name for path in folder.iterdir()) == ["images", "masks", "qc.csv", "shifted.csv"]
    for name, row in rows.items():
        assert (row.set, row.organ, row.data_source) == ("shifted", before[name].organ, "Hubmap")
        assert png.read_image(folder / "images" / f"{name}.png").shape == (64, 64, 3)
        mask = png.read_mask(folder / "masks" / f"{name}.png")
        assert mask.shape == (row.img_height, row.img_width)
        assert mask.any()
        expected = max(SIZES[row.organ], before[name].pixel_size)
        assert row.pixel_size == pytest.approx(expected, rel=0.02)
        assert row.img_height * row.pixel_size == pytest.approx(800, abs=2 * row.pixel_size)
    table = csvfile.read_csv(folder / "shifted.csv")
    assert list(table) == shifted_files.COLUMNS
    assert not table["reason"].any()
    coarse = [name for name, row in rows.items() if row.organ == "largeintestine"]
    told = f"{len(coarse)} of 6 images of largeintestine keep their pixel size"
    assert f"warning: {told}, as smaller pixels show no more: {', '.join(coarse)}\n" in said
    assert "1 warning" in said


def test_a_look_that_changes_nothing_gives_what_normalize_gives(project):
    same = dict.fromkeys(SIZES, 1e-3)
    project.set(shift={"pixel_size": same, "field": 1e6, "blur": 0.0, "stain": "none"})
    done(project, "shift")
    data = project.folder / "data"
    for name in index_of(project):
        for made, before in (("images", "normalized/train"), ("masks", "masks")):
            files = [data / folder / f"{name}.png" for folder in (f"shifted/{made}", before)]
            assert files[0].read_bytes() == files[1].read_bytes()
    kept = csvfile.read_csv(data / "normalized" / "qc.csv").query("set == 'train'").drop(columns="set")
    quality = csvfile.read_csv(data / "shifted" / "qc.csv").drop(columns="set")
    assert quality.to_csv() == kept.to_csv()


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(project):
    done(project, "shift")
    before = shifted_of(project)
    shutil.rmtree(project.folder / ".ftu")
    project.set(compute={"workers": 2})
    done(project, "shift")
    assert shifted_of(project) == before


def test_without_a_shift_only_a_header_is_written(project):
    project.set(shift={"enabled": False})
    assert "shift: no images (shift.enabled: false)" in done(project, "shift")
    header = (",".join(shifted_files.COLUMNS) + "\n").encode()
    assert shifted_of(project) == {"data/shifted": None, "data/shifted/shifted.csv": header}
    assert image_rows(read_index(project.folder / "data/shifted/shifted.csv")) == []


def test_an_image_without_stains_or_foreground_is_told_of(project):
    (white, empty), data = list(index_of(project))[:2], project.folder / "data"
    path = data / "raw" / "train_images" / f"{white}.tiff"
    image_files.write_tiff(path, np.full_like(image_files.read_image(path), 255))
    mask = np.zeros_like(png.read_mask(data / "masks" / f"{empty}.png"))
    mask[0, 0] = 1
    png.write_mask(data / "masks" / f"{empty}.png", mask)
    said = done(project, "shift")
    assert f"warning: 1 of 6 images keep their own colours: {white} (blank: 0 tissue pixels" in said
    assert f"1 of 6 images hold no foreground in the field of view and are left out: {empty}" in said
    table = csvfile.read_csv(data / "shifted" / "shifted.csv").set_index("id")
    assert "blank" in table["reason"][white]
    assert empty not in table.index
    assert not list(data.glob(f"shifted/*/{empty}.png"))


def test_images_of_the_source_itself_are_no_imitations(project):
    path = project.folder / "data" / "images.csv"
    index = csvfile.read_csv(path)
    index.loc[0, "data_source"] = "Hubmap"
    index.to_csv(path, index=False)
    done(project, "shift")
    assert index["id"][0] not in csvfile.read_csv(project.folder / "data/shifted/shifted.csv")["id"].tolist()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"pixel_size": {"lung": 1.0}}, ("shift.pixel_size", "kidney")),
        ({"pixel_size": SIZES | {"lung": 0.0}}, ("shift.pixel_size.lung", "greater than 0", "got 0.0")),
        ({"source": "HPA"}, ("every training image is of 'HPA' already", "shift.enabled: false")),
    ],
)
def test_a_look_that_cannot_be_made_is_refused(project, change, parts):
    project.set(shift=change)
    refused(project, *parts)


def test_a_missing_mask_is_named_and_what_was_there_stays(project):
    name = list(index_of(project))[-1]
    done(project, "shift")
    (project.folder / "data" / "masks" / f"{name}.png").unlink()
    refused(project, f"data/masks/{name}.png", "dvc repro")
