"""One picture in every container: the network sees the same bytes, or the file is refused with a way out."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from rasterio.enums import Resampling

import no_files
import tiff_by_hand
from ftu.cache import per_image
from ftu.datasets import image_files, resolution
from ftu.errors import InputError
from ftu.files import gdal, limits, tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
HEIGHT, WIDTH = 150, 130
SHAPES = [(64, 64), (50, 41), (75, 65), (200, 64), (200, 190)]


def picture() -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 with dark pixels, which masks and nodata values would leave out."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image[::3, ::2] = 0
    return image


def write(path: Path, image: np.ndarray, **profile: Any) -> None:
    form: dict[str, Any] = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    profile = form | {"photometric": "RGB"} | profile
    with rasterio.open(path, "w", **profile) as written:
        written.write(np.moveaxis(image, -1, 0))


def overviews(path: Path, *, beside: bool = False) -> None:
    write(path, 255 - picture(), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(TIFF_USE_OVR=beside), rasterio.open(path, "r+") as written:
        written.build_overviews([2, 4], Resampling.nearest)
    with rasterio.open(path, "r+") as written:
        written.write(np.moveaxis(picture(), -1, 0))


def masked(path: Path, *, internal: bool) -> None:
    write(path, picture())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as written:
        written.write_mask(np.zeros((HEIGHT, WIDTH), np.uint8))


def by_hand(path: Path, strips: list[bytes], kinds: tuple[int, int] = (4, 4), **tags: Any) -> None:
    path.write_bytes(tiff_by_hand.tiff(strips, tiff_by_hand.rgb(HEIGHT, WIDTH, **tags), kinds))


CONTAINERS: dict[str, Callable[[Path], None]] = {
    "tiles": lambda path: write(path, picture(), tiled=True, blockxsize=64, blockysize=64),
    "lzw": lambda path: write(path, picture(), compress="lzw", predictor=2),
    "planes": lambda path: write(path, picture(), interleave="band"),
    "rows": lambda path: write(path, picture(), blockysize=1),
    "big": lambda path: write(path, picture(), bigtiff="YES", endianness="BIG"),
    "nodata": lambda path: write(path, picture(), nodata=0),
    "overviews": overviews,
    "overviews beside": lambda path: overviews(path, beside=True),
    "mask": lambda path: masked(path, internal=True),
    "mask beside": lambda path: masked(path, internal=False),
    "colour table": lambda path: by_hand(path, [picture().tobytes()], t320=(3, [0] * 768)),
    "signed": lambda path: by_hand(path, [picture().tobytes()], kinds=(9, 9)),
    "png": lambda path: Image.fromarray(picture()).save(path, format="PNG"),
    "png trns": lambda path: Image.fromarray(picture()).save(path, format="PNG", transparency=(0, 0, 0)),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=list(CONTAINERS))
def test_the_network_sees_the_same_bytes_from_every_container(tmp_path, make, monkeypatch):
    monkeypatch.setattr(gdal, "COPIED", 64)  # rows at a time: several of them
    image_files.write_tiff(tmp_path / "plain.tiff", picture())
    make(tmp_path / "odd.tiff")
    np.testing.assert_array_equal(image_files.read_image(tmp_path / "odd.tiff"), picture())
    for shape in SHAPES:
        plain, odd = (image_files.read_resized(tmp_path / f"{name}.tiff", shape) for name in ("plain", "odd"))
        np.testing.assert_array_equal(odd, plain)


def jpeg(path: Path, **options: object) -> None:
    Image.fromarray(picture() // 64 * 60).save(path, format="JPEG", quality=60, **options)  # pyright: ignore


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_averaged_after_it_is_decoded_whole(tmp_path, progressive):
    jpeg(tmp_path / "a.jpg", progressive=progressive)
    image_files.write_tiff(tmp_path / "plain.tiff", image_files.read_image(tmp_path / "a.jpg"))
    for shape in [*SHAPES, (16, 16)]:
        plain = image_files.read_resized(tmp_path / "plain.tiff", shape)
        np.testing.assert_array_equal(image_files.read_resized(tmp_path / "a.jpg", shape), plain)


def test_a_tiff_of_jpegs_is_averaged_after_it_is_decoded_whole(tmp_path):
    write(tmp_path / "a.tiff", picture(), compress="jpeg", photometric="YCBCR")
    image_files.write_tiff(tmp_path / "plain.tiff", image_files.read_image(tmp_path / "a.tiff"))
    for shape in [*SHAPES, (16, 16)]:
        plain = image_files.read_resized(tmp_path / "plain.tiff", shape)
        np.testing.assert_array_equal(image_files.read_resized(tmp_path / "a.tiff", shape), plain)


JPEGS = {
    "baseline": lambda path: jpeg(path),
    "progressive": lambda path: jpeg(path, progressive=True),
    "restart": lambda path: jpeg(path, restart_marker_rows=1),
    "tiff": lambda path: write(path, picture(), compress="jpeg", photometric="YCBCR", blockysize=48),
}


@pytest.mark.parametrize("make", JPEGS.values(), ids=list(JPEGS))
def test_a_jpeg_that_the_decoder_only_warns_of_is_damaged(tmp_path, make):
    path = tmp_path / "a.image"
    make(path)
    image_files.read_image(path)
    content = path.read_bytes()
    middle, end = len(content) // 2, b"\xff\xd9"
    forms = [content[:middle] + end + content[middle + 2 :]]
    if content.startswith(end[:1]):  # a TIFF would lack what lies at its end
        forms += [content[:middle] + end, content[:middle] + content[middle + 400 :]]
    for form in forms:
        path.write_bytes(form)
        with pytest.raises(InputError, match="cannot be read as an image"):
            image_files.check_image(path, (HEIGHT, WIDTH))


def refused(path: Path, *words: str) -> None:
    for read in image_files.read_image, image_files.image_shape:
        with pytest.raises(InputError) as caught:
            read(path)
        for word in (str(path), *words):
            assert word in str(caught.value)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "JPEG"])
@pytest.mark.parametrize("value", range(1, 9))
def test_an_image_that_is_to_be_turned_is_refused_in_every_format(tmp_path, form, value):
    exif, path = Image.Exif(), tmp_path / "a.image"
    exif[tiff.ORIENTATION] = value
    Image.fromarray(picture()).save(path, format=form, exif=exif)
    if value == 1:
        assert image_files.image_shape(path) == (HEIGHT, WIDTH)
    else:
        refused(path, f"Orientation {value}", "-auto-orient")


XMP = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/>'
XMP_TEXT = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><tiff:Orientation>%d</tiff:Orientation></x>'


def turned_by_xmp(path: Path, form: str, xmp: bytes) -> None:
    image, text = Image.fromarray(picture()), PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    if form == "TIFF":
        by_hand(path, [picture().tobytes()], t700=(1, list(xmp)))
    else:
        image.save(path, format=form, **({"pnginfo": text} if form == "PNG" else {"xmp": xmp}))


def turned_by_imagemagick(path: Path, value: int) -> None:
    exif, text = Image.Exif(), PngImagePlugin.PngInfo()
    exif[tiff.ORIENTATION] = value
    content = exif.tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(content):8}\n{content.hex()}\n", zip=True)
    Image.fromarray(picture()).save(path, format="PNG", pnginfo=text)


@pytest.mark.parametrize("xmp", [XMP, XMP_TEXT], ids=["attribute", "element"])
@pytest.mark.parametrize("form", ["TIFF", "PNG", "JPEG", "ImageMagick"])
def test_an_orientation_in_text_counts_as_one_in_exif(tmp_path, form, xmp):
    for value in (1, 6):
        path = tmp_path / f"{value}.image"
        if form == "ImageMagick":
            turned_by_imagemagick(path, value)
        else:
            turned_by_xmp(path, form, xmp % value)
    assert image_files.image_shape(tmp_path / "1.image") == (HEIGHT, WIDTH)
    refused(tmp_path / "6.image", "Orientation 6", "-auto-orient")


@pytest.mark.parametrize("kind", sorted(tiff.TYPES))
def test_an_orientation_is_a_whole_number_of_any_type(tmp_path, kind):
    if np.dtype(tiff.TYPES[kind]).itemsize <= 4:  # others lie elsewhere in a small TIFF
        by_hand(tmp_path / "a.tiff", [picture().tobytes()], t274=(kind, [6]))
        refused(tmp_path / "a.tiff", "Orientation 6")


def test_a_tiff_without_a_number_of_bits_has_1_as_its_standard_says(tmp_path):
    tags = tiff_by_hand.rgb(HEIGHT, WIDTH)
    del tags[tiff.BITS]
    (tmp_path / "a.tiff").write_bytes(tiff_by_hand.tiff([picture().tobytes()], tags))
    refused(tmp_path / "a.tiff", "bands of 1 bits", "convert it: `magick ")


def in_pages(path: Path, *sizes: tuple[int, int], kind: int | None, big: bool = False) -> None:
    """A TIFF of grey pages of these (height, width); of all behind the first NewSubfileType is `kind`."""
    first, *others = (Image.new("L", (w, h), number) for number, (h, w) in enumerate(sizes, start=1))
    for other in others:
        if kind is not None:
            other.encoderinfo = {"tiffinfo": {tiff.SUBFILE: kind}}  # pyright: ignore[reportAttributeAccessIssue]
    first.save(path, format="TIFF", save_all=True, append_images=others, big_tiff=big)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [None, 0, 2])  # one of many pages, 2, is no copy
def test_pages_as_large_as_the_first_are_refused_as_slices_and_not_passed_over(tmp_path, kind, big):
    path, sizes = tmp_path / "a.tiff", [(20, 30), (10, 15), (20, 30)]
    in_pages(path, *sizes, kind=kind, big=big)
    words = ("several pages of 20 x 30 px (height x width)", "ftu_tools.dataset.make")
    refused(path, *words)
    with pytest.raises(InputError, match="several pages of 20 x 30 px"):
        image_files.read_labels(path)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (None, [(20, 30), (10, 15), (20, 15), (30, 20), (40, 60)]),  # a thumbnail, a label, a whole slide
        (1, [(20, 30), (10, 15), (20, 30)]),
        (4, [(20, 30), (20, 30)]),
        (5, [(20, 30), (20, 30), (10, 15)]),
    ],
)
def test_copies_masks_and_pages_of_other_sizes_leave_the_first_page_the_image(tmp_path, kind, sizes):
    in_pages(tmp_path / "a.tiff", *sizes, kind=kind)
    assert (image_files.read_image(tmp_path / "a.tiff") == 1).all()
    assert image_files.read_labels(tmp_path / "a.tiff").shape == (20, 30)


def test_pages_are_followed_to_the_last_and_never_in_a_circle(tmp_path):
    path = tmp_path / "a.tiff"
    in_pages(path, (20, 30), (10, 15), (8, 9), kind=None)
    content = path.read_bytes()
    shapes = [
        (int(tags[tiff.HEIGHT][0]), int(tags[tiff.WIDTH][0])) for tags in tiff.pages(io.BytesIO(content))
    ]
    assert shapes == [(20, 30), (10, 15), (8, 9)]
    first = struct.unpack_from("<I", content, 4)[0]
    place = first + 2 + 12 * struct.unpack_from("<H", content, first)[0]
    for leads_to, words in ((first, "lead in a circle"), (len(content), "behind its end")):
        path.write_bytes(content[:place] + struct.pack("<I", leads_to) + content[place + 4 :])
        refused(path, words, "fetch it again")


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "LA", "P", "1", "RGBA"])
def test_other_colours_are_refused_with_the_way_out(tmp_path, mode):
    Image.fromarray(picture()).convert(mode).save(tmp_path / "a.tiff")
    refused(tmp_path / "a.tiff", "convert it: `magick ")


@pytest.mark.parametrize("transform", [0, 2])  # CMYK as it is, and as YCbCrK
def test_a_jpeg_for_print_is_refused_and_not_made_rgb(tmp_path, transform):
    path, adobe = tmp_path / "a.jpg", b"Adobe\0\x64\0\0\0\0"
    Image.fromarray(picture()).convert("CMYK").save(path)
    content = path.read_bytes()
    assert adobe in content
    place = content.index(adobe) + len(adobe)
    path.write_bytes(content[:place] + bytes([transform]) + content[place + 1 :])
    refused(path, "its colours are CMYK", "convert it: `magick ")


@pytest.mark.parametrize("form", ["WEBP", "BMP", "GIF", "JPEG2000"])
def test_another_format_is_named_with_the_way_out(tmp_path, form):
    Image.fromarray(picture()).save(tmp_path / "a.tiff", format=form)
    name = {"WEBP": "WebP", "JPEG2000": "JPEG 2000"}.get(form, form)
    refused(tmp_path / "a.tiff", f"it is a {name} image", "convert it: `magick ")


@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
@pytest.mark.parametrize("tiled", [False, True])
def test_missing_tiles_and_strips_are_no_black(tmp_path, tiled, bigtiff):
    form = {"sparse_ok": True, "tiled": tiled, "compress": "lzw", "bigtiff": bigtiff}
    with rasterio.open(
        tmp_path / "a.tiff", "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8",
        photometric="RGB", **form,
    ):  # fmt: skip
        pass
    refused(tmp_path / "a.tiff", "are not in the file", "fetch")


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("planes", [1, 2])
def test_fewer_strips_than_the_image_takes_are_a_hole(tmp_path, planes, missing):
    image = picture()
    rows = [image[top : top + 50] for top in range(0, HEIGHT, 50)]
    parts = rows if planes == 1 else [image[..., band] for band in range(3)]
    strips = [zlib.compress(part.tobytes()) for part in parts][: 3 - missing]
    by_hand(
        tmp_path / "a.tiff",
        strips,
        t259=(3, [8]),
        t278=(4, [50 if planes == 1 else HEIGHT]),
        t284=(3, [planes]),
    )
    if missing:
        refused(tmp_path / "a.tiff", f"{missing} of 3 strips or tiles are not in the file")
    else:
        np.testing.assert_array_equal(image_files.read_image(tmp_path / "a.tiff"), image)


@pytest.mark.parametrize("kind", [4, 9, 13])
@pytest.mark.parametrize("what", [tiff_by_hand.PLACES, tiff_by_hand.LENGTHS])
def test_a_hole_is_one_whatever_the_type_of_its_numbers(tmp_path, what, kind):
    strips = [zlib.compress(part.tobytes()) for part in (picture()[:100], picture()[100:])]
    whole = tiff_by_hand.tiff(
        strips, tiff_by_hand.rgb(HEIGHT, WIDTH, t259=(3, [8]), t278=(4, [100])), (kind, kind)
    )
    value = len(strips[1]) if what == tiff_by_hand.LENGTHS else len(whole) - len(strips[1])
    path = tmp_path / "a.tiff"
    path.write_bytes(whole.replace(struct.pack("<I", value), bytes(4), 1))
    refused(path, "1 of 2 strips or tiles are not in the file")


@given(place=st.integers(0, 3), count=st.integers(1, 4), size=st.integers(0, 30))
def test_a_hole_is_what_has_no_place_no_length_or_ends_behind_the_file(place, count, size):
    places, lengths = np.arange(1, count + 1) * 5, np.full(count, 5)
    tags = {273: places.astype(np.uint64), 279: lengths.astype(np.uint64)}
    assert bool(tiff.hole(tags, size)) == (5 * count + 5 > size)
    if place < count:
        for tag in tags:
            odd = tags | {tag: np.where(np.arange(count) == place, 0, tags[tag])}
            assert tiff.hole(odd, 1000).startswith(f"1 of {count} strips")


@given(order=st.sampled_from("<>"), values=st.lists(st.integers(0, 65535), min_size=1, max_size=5))
def test_tags_are_read_in_both_orders_and_from_where_they_lie(order, values):
    mark, content = {"<": b"II", ">": b"MM"}[order], struct.pack(f"{order}{len(values)}H", *values)
    value = content.ljust(4, b"\0") if len(values) < 3 else struct.pack(f"{order}I", 26)
    head = mark + struct.pack(f"{order}HIHHHI", 42, 8, 1, 258, 3, len(values)) + value + bytes(4)
    assert tiff.tags(io.BytesIO(b"Exif" + head + content), 4)[258].tolist() == values
    for size in (8, 20):
        with pytest.raises(ValueError, match="behind its end"):
            tiff.tags(io.BytesIO((head + content)[:size]))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("kind", "form", "count", "read"),
    [
        (1, "B", 9, 9),
        (3, "H", 9, 9),
        (4, "I", 9, 9),
        (16, "Q", 9, 9),
        (2, "B", 9, 0),
        (5, "Q", 9, 0),
        (3, "H", 0, 0),
    ],
)
def test_tags_are_those_of_whole_numbers_of_any_width(big, kind, form, count, read):
    numbers = list(range(1, 1 + count))
    if big:
        head = b"II" + struct.pack("<HHHQQHHQQQ", 43, 8, 0, 16, 1, 258, kind, count, 52, 0)
    else:
        head = b"II" + struct.pack("<HIHHHIII", 42, 8, 1, 258, kind, count, 26, 0)
    found = tiff.tags(io.BytesIO(head + struct.pack(f"<{count}{form}", *numbers)))
    assert {tag: values.tolist() for tag, values in found.items()} == ({258: numbers} if read else {})


def test_as_many_lengths_as_places_are_needed_to_tell_a_hole():
    places, lengths = (np.array(values, np.uint64) for values in ([8, 9], [1]))
    for tags in ({273: places}, {325: lengths}):
        assert tiff.hole(tags, 0) == "it does not say where its strips or tiles are"
    assert tiff.hole({}, 0) == ""  # no TIFF
    assert tiff.hole({324: places, 325: lengths}, 99) == "2 places and 1 lengths of strips or tiles"


def test_exif_is_looked_for_among_all_that_stands_before_the_pixels_of_a_jpeg():
    turned = b"II" + struct.pack("<HIHHHIHHI", 42, 8, 1, tiff.ORIENTATION, 3, 1, 6, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", 8 + len(turned)) + b"Exif\0\0" + turned
    tables, comment, scan = b"\xff\xdb\0\4ab", b"\xff\xfe\0\x08Exif\0\0", b"\xff\xda\0\2"
    for before in (b"", tables, comment, b"\xff", tables + comment + b"\xff\xff"):
        assert tiff.orientation(io.BytesIO(b"\xff\xd8" + before + exif), "JPEG") == 6
    for before in (scan, b"\xff\xd9", b"\0", comment + tables + scan):
        assert tiff.orientation(io.BytesIO(b"\xff\xd8" + before + exif), "JPEG") == 1
    assert tiff.orientation(io.BytesIO(b"\xff\xd8" + tables), "JPEG") == 1  # cut off, as others say


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "hole"])
def test_what_is_no_file_of_a_bounded_size_is_neither_opened_nor_hashed(tmp_path, kind):
    path = tmp_path / "a.tiff"
    no_files.put(path, kind)
    refused(path, "bytes, more than" if kind == "hole" else "no regular file")
    with pytest.raises(OSError):  # noqa: PT011  # the words are the function's
        per_image.content(path, tmp_path)
    assert limits.file_fault(path)


@pytest.mark.parametrize("dots", ["abc", "nan", "inf", "-1", "0", "1e999", ""])
def test_a_resolution_that_is_none_states_nothing(dots):
    tags = {"TIFFTAG_XRESOLUTION": dots, "TIFFTAG_RESOLUTIONUNIT": "2"}
    assert resolution.stated(tags) == {}
    assert resolution.printed(tags) == 0


@pytest.mark.parametrize("dpi", [72, 300, 1200, 2400])
def test_a_resolution_for_a_printer_is_told_and_not_believed(tmp_path, dpi):
    path = tmp_path / "a.tiff"
    Image.fromarray(picture()).save(path, dpi=(dpi, dpi))
    facts = image_files.check_image(path, (HEIGHT, WIDTH), 0.4)
    assert facts["printed"] == dpi
    assert f"1 images state a resolution for a screen or printer ({path}: {dpi} dpi)" in (
        resolution.printed_in_words([path], [dpi])
    )
    assert resolution.printed_in_words([path], [0]) == ""
