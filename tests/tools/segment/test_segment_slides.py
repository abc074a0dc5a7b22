"""What is read of a slide: its levels and nothing else, at any scale; white where nothing is; bad files."""

import io
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.windows import Window

from ftu.errors import InputError
from ftu.files import gdal, limits
from ftu_tools.segment.slides import files, reduced, tiffs, tissue
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.slide import Slide
from slides import DISC, GLASS, TISSUE, drawn, smaller, spoil_tile, write_ome, write_svs

NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
openslide = pytest.mark.skipif(not find_spec("openslide"), reason="openslide is in the extra `slides`")


def vendors():
    from ftu_tools.segment.slides import vendors

    return vendors


READERS = [
    pytest.param(lambda: tiffs, id="rasterio"),
    pytest.param(vendors, id="openslide", marks=openslide),
]


@pytest.mark.parametrize("reader", READERS)
def test_a_thumbnail_and_a_photograph_of_the_label_are_no_levels(tmp_path, reader):
    path = write_svs(tmp_path / "a.svs", NOISE, "0.25")
    with reader().opened(path) as found:
        assert found.levels == ((300, 400), (75, 100))
        assert list(found.stated.values()) == [(0.25, 0.25)]
        assert found.channels == 3
        np.testing.assert_array_equal(found.read(0, 30, 70, 90, 100), NOISE[30:120, 70:170])
        np.testing.assert_array_equal(found.read(1, 3, 7, 9, 10), smaller(NOISE, 4)[3:12, 7:17])


FACTS = {
    **{"openslide.bounds-x": "72", "openslide.bounds-y": "40"},
    **{"openslide.bounds-width": "160", "openslide.bounds-height": "120"},
    **{"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5", "openslide.background-color": "F0E0D0"},
}


class Scanned:
    """A scanner's slide of 300 x 400 px, as openslide shows one: 120 x 160 px of it, from (40, 72) on, were
    scanned, and all but these show through."""

    dimensions, level_downsamples, properties = (400, 300), (1.0, 4.0), FACTS

    def __init__(self, _: Path) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """`place` is x first, of the full resolution."""
        seen = np.zeros((300, 400, 4), np.uint8)
        seen[40:160, 72:232, :3], seen[40:160, 72:232, 3] = NOISE[40:160, 72:232], 255
        seen[40, 72, 3] = 0
        times = int(self.level_downsamples[level])
        return Image.fromarray(seen[place[1] :: times, place[0] :: times][: size[1], : size[0]])


@openslide
def test_a_slide_begins_where_it_was_scanned_and_shows_its_background(monkeypatch, tmp_path):
    monkeypatch.setattr(vendors().openslide, "OpenSlide", Scanned)
    with vendors().opened(tmp_path / "a.mrxs") as found:
        assert found.levels == ((120, 160), (30, 40))
        assert found.stated == {"openslide": (0.25, 0.5)}
        whole, part = found.read(0, 0, 0, 120, 160), found.read(1, 3, 7, 9, 10)
    assert whole[0, 0].tolist() == [0xF0, 0xE0, 0xD0]
    np.testing.assert_array_equal(whole[1:], NOISE[41:160, 72:232])
    np.testing.assert_array_equal(part, NOISE[40:160:4, 72:232:4][3:12, 7:17])


@pytest.mark.parametrize(("kind", "levels"), [(0, 1), (1, 2)])
def test_a_page_in_strips_is_a_level_where_it_says_so(tmp_path, kind, levels):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(NOISE, photometric="rgb", metadata=None)
        file.write(smaller(NOISE, 4), photometric="rgb", metadata=None, subfiletype=kind)
    with files.opened(tmp_path / "a.tif") as found:
        assert found.levels == ((300, 400), (75, 100))[:levels]


def test_smaller_copies_of_an_ome_tiff_are_levels(tmp_path):
    with files.opened(write_ome(tmp_path / "a.ome.tif", NOISE, 0.5)) as found:
        assert found.levels == ((300, 400), (150, 200), (75, 100))
        np.testing.assert_array_equal(found.read(2, 0, 0, 75, 100), smaller(NOISE, 4))


def test_a_slide_is_read_without_openslide_where_rasterio_can(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ftu_tools.segment.slides.vendors", None)
    monkeypatch.delattr("ftu_tools.segment.slides.vendors", raising=False)
    with files.opened(write_svs(tmp_path / "a.svs", NOISE, "0.25")) as found:
        assert found.stated == {"Aperio": (0.25, 0.25)}
    (tmp_path / "a.ndpi").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"a\.ndpi: needs openslide.*uv sync --extra slides"):
        files.opened(tmp_path / "a.ndpi").__enter__()


def test_what_shows_through_is_white(tmp_path):
    clear = np.zeros((20, 30, 4), np.uint8)
    clear[:, 10:, :3], clear[:, 10:, 3] = DISC, 255
    Image.fromarray(clear).save(tmp_path / "a.png")
    with files.opened(tmp_path / "a.png") as found:
        seen = found.read(0, 0, 0, 20, 30)
    assert (seen[:, :10] == 255).all()
    assert (seen[:, 10:] == DISC).all()


def test_tiles_that_were_never_written_are_white(tmp_path):
    path = tmp_path / "a.tif"
    laid = {"tiled": True, "blockxsize": 64, "blockysize": 64, "sparse_ok": True, "bigtiff": "YES"}
    facts = {"height": 256, "width": 64, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with gdal.opened(path, "w", driver="GTiff", **facts, **laid) as file:
        file.write(np.moveaxis(NOISE[64:128, :64], -1, 0), window=Window(0, 64, 64, 64))  # pyright: ignore[reportCallIssue]
    with files.opened(path) as found:
        seen = found.read(0, 10, 0, 200, 50)
    np.testing.assert_array_equal(seen[54:118], NOISE[64:128, :50])
    assert (seen[:54] == 255).all()
    assert (seen[118:] == 255).all()


def test_a_corrupt_tile_is_named_by_level_and_place(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", NOISE, 0.5, levels=1)
    spoil_tile(path)  # in the second row of seven tiles
    with files.opened(path) as found:
        np.testing.assert_array_equal(found.read(0, 0, 0, 64, 400), NOISE[:64])
        with pytest.raises(InputError, match=r"a\.ome\.tif: level 0, rows 60 to 90, columns 0 to 400"):
            found.read(0, 60, 0, 30, 400)


def jpeg_turned() -> bytes:
    to, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = 6
    Image.fromarray(NOISE).save(to, "JPEG", exif=exif)
    return to.getvalue()


def tiff_of(array, **facts) -> bytes:
    to = io.BytesIO()
    tifffile.imwrite(to, array, **facts)
    return to.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (jpeg_turned(), "shown turned"),
        (tiff_of(NOISE.astype(np.uint16), photometric="rgb"), "3 bands of uint16"),
        (tiff_of(NOISE[..., :2], photometric="minisblack", planarconfig="contig"), "has 2 bands of uint8"),
        (tiff_of(np.stack([NOISE, NOISE]), photometric="rgb"), "several pages"),
        (tiff_of(NOISE, photometric="rgb")[:5000], "cannot be read"),
        (b"GIF89a", "a GIF"),
        (b"no image", "cannot be read"),
    ],
)
def test_what_is_no_image_is_refused_in_words(tmp_path, content, said):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.tif: .*{said}"):
        files.opened(tmp_path / "a.tif").__enter__()


def test_what_is_large_has_to_be_in_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MOST_PIXELS", 300 * 400 - 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE, photometric="rgb")
    with pytest.raises(InputError, match=r"a\.tif: 300 x 400 px .*; save it as a TIFF in tiles"):
        files.opened(path).__enter__()
    tifffile.imwrite(path, NOISE, photometric="rgb", tile=(64, 64))
    with files.opened(path) as found:
        assert found.shape == (300, 400)


def test_files_are_found_in_folders_and_no_two_have_one_name(tmp_path):
    for name in ("b.tif", "a.ome.tif", "._a.png", ".DS_Store", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = files.found_in([tmp_path])
    assert [files.name_of(path) for path in found] == ["a", "b"]
    (tmp_path / "A.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"the name of those of .*A\.png; rename one"):
        files.found_in([tmp_path])
    assert files.found_in([tmp_path / "b.tif", tmp_path / "b.tif"]) == [tmp_path / "b.tif"]
    for name, said in (("x" * 201 + ".tif", "has 201 bytes, more than 200"), ("\udcff.tif", "is no UTF-8")):
        with pytest.raises(InputError, match=rf"its name {said}; rename it"):
            files.found_in([tmp_path / name])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no image"):
        files.found_in([tmp_path / "empty"])


# ------------------------------------------------------------------ any scale


def held(image: np.ndarray, *, times=()) -> Slide:
    """An array as a slide, with levels of every n-th pixel."""
    levels = [image, *(image[::each, ::each] for each in times)]

    def read(number: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        assert top + height <= levels[number].shape[0]
        assert left + width <= levels[number].shape[1]
        return levels[number][top : top + height, left : left + width]

    return Slide(Path(), tuple(level.shape[:2] for level in levels), image.shape[-1], {}, read)


def test_a_pixel_is_the_mean_of_what_it_covers():
    grid = Grid(60, 100, (300, 400))
    seen = reduced.rows_of(held(NOISE), grid)(0, 60)
    expected = cv2.resize(NOISE, (100, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype(int) - expected).max() <= 1
    assert seen[0, 0, 0] == round(float(NOISE[:5, :4, 0].mean()))


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 50)),
    st.tuples(st.integers(0, 20), st.integers(1, 30), st.integers(0, 20), st.integers(1, 30)),
)
def test_a_part_is_the_same_in_any_larger_part(shape, place):
    small, (top, high, left, wide) = held(NOISE[:30, :40]), place
    grid = Grid(shape[0], shape[1], small.shape)
    top, left = min(top, shape[0] - 1), min(left, shape[1] - 1)
    bottom, right = min(top + high, shape[0]), min(left + wide, shape[1])
    part = reduced.part(small, grid, top, bottom, left, right)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduced, "MOST", 1000)  # a few rows at a time
        whole = reduced.rows_of(small, grid)(0, bottom)
    np.testing.assert_array_equal(part, whole[top:, left:right])


def test_the_coarsest_level_is_read_that_has_enough_detail():
    image = held(NOISE, times=(2, 4))
    grids = [Grid(width * 3 // 4, width, (300, 400)) for width in (400, 300, 200, 150, 100, 40, 800)]
    widths = {grid.width: reduced.nearest_level(image, grid) for grid in grids}
    assert widths == {400: 0, 300: 0, 200: 1, 150: 1, 100: 2, 40: 2, 800: 0}
    assert reduced.nearest_level(image, Grid(150, 100, (300, 400))) == 1  # of pixels that are twice as high
    assert reduced.nearest_level(image, Grid(75, 200, (300, 400))) == 1


def test_columns_outside_of_what_is_needed_are_white_and_never_read():
    seen = reduced.rows_of(held(NOISE), Grid(30, 40, (300, 400)), lambda *_: (10, 20))(5, 9)
    whole = reduced.rows_of(held(NOISE), Grid(30, 40, (300, 400)))(5, 9)
    np.testing.assert_array_equal(seen[:, 10:20], whole[:, 10:20])
    assert (seen[:, :10] == 255).all()
    assert (reduced.rows_of(held(NOISE), Grid(30, 40, (300, 400)), lambda *_: (0, 0))(5, 9) == 255).all()


# ------------------------------------------------------------------ tissue


def test_tissue_is_what_has_colour_with_its_holes():
    image = drawn(300, 400, [])
    image[140:160, 190:210] = GLASS  # a hole
    image[5:8, 5:8] = TISSUE  # dust
    found = tissue.look(held(image), find=True)
    expected = np.zeros((300, 400), bool)
    expected[30:270, 40:360] = True
    assert (found.mask != expected).sum() <= 16  # the median rounds corners
    assert not found.within(np.array([30.5 / 300]), np.array([0.5]))[0]
    assert found.within(np.array([35 / 300]), np.array([0.5]))[0]


@pytest.mark.parametrize("level", [0, 5, 128, 238, 255])
def test_glass_and_black_are_no_tissue(level):
    noise = np.random.default_rng(0).integers(-4, 5, (200, 300, 3))
    image = np.clip(level + noise, 0, 255)
    assert not tissue.coloured(image.astype(np.uint8)).any()
    assert tissue.look(held(image.astype(np.uint8)), find=False).mask.all()


def test_tissue_without_glass_is_tissue():
    image = np.full((200, 300, 3), TISSUE, np.uint8)
    image[50:100, 60:120] = DISC
    assert tissue.coloured(image).all()


def test_windows_hold_tissue_where_any_pixel_of_theirs_does():
    mask = np.zeros((10, 20), bool)
    mask[4, 7] = True
    seen = tissue.Tissue(mask[..., None].view(np.uint8), mask, mask)
    edges = np.array([0, 0.4]), np.array([0.4, 0.5])  # rows 0 to 4 and 4 to 5
    across = np.array([0, 0.35, 0.4]), np.array([0.35, 0.4, 1])
    assert seen.any_in(*edges, *across).tolist() == [[False] * 3, [False, True, False]]
