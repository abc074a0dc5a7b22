"""The only reader and writer of raw images, (H, W, C) uint8, RGB or grey: what users bring."""

import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.datasets import duplicates
from ftu.errors import InputError
from ftu.files import gdal, limits, tiff

_OTHER = {  # what to do about an image of so many bands
    1: "is grey, and data.channels is 3; set data.channels: 1, or convert it: `{}`",
    3: "has three bands, and data.channels is 1; set data.channels: 3, or make it grey: "
    "`magick IN -colorspace gray OUT.png`",
}
AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel


SCREEN = 10.0  # um per px: coarser resolutions (up to 2,540 dpi) were stated for screens and printers
CONVERT = "magick {} -colorspace sRGB -alpha off -depth 8 PNG24:OUT.png"  # to what is read here
GREYS, COLOURS, YCBCR = 1, 2, 6  # photometric interpretations (TIFF 6.0); three bands without a name are RGB
XMP_ORIENTATION = re.compile(r"""tiff:Orientation\s*(?:=\s*["']|>)\s*(\d+)""")
RAW_EXIF = ("Raw_profile_type_exif", "Raw_profile_type_APP1")
JPEG_IN_TIFF = 7  # the compression whose YCbCr GDAL makes RGB
FOREIGN = {  # by what stands at which place of a file
    "a BMP": (0, b"BM"),
    "a GIF": (0, b"GIF8"),
    "a WebP": (8, b"WEBP"),
    "a JPEG 2000": (4, b"jP  "),
    "a HEIF or AVIF": (4, b"ftyp"),
    "a DICOM": (128, b"DICM"),
    "a Photoshop": (0, b"8BPS"),
}


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB or grey uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    convert = f"convert it: `{CONVERT.format(path)}`"
    with _opened(path, "image") as image:
        if image.count not in (1, 3) or set(image.dtypes) != {"uint8"}:
            raise InputError(
                f"{path}: has {image.count} bands of {image.dtypes[0]}; "
                f"an image must have 3 bands (RGB) of uint8, or 1 (grey); {convert}"
            )
        if image.count == 1 and (odd := _no_grey(image)):
            raise InputError(f"{path}: its band holds {odd}, not levels of grey; {convert}")
        _check_whole(path, image)
        _check_colours(path)
        made_of = image.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "RGB")
        if made_of not in ("RGB", "YCbCr"):  # of a JPEG for print, GDAL makes RGB as it thinks best
            raise InputError(f"{path}: its colours are {made_of}; an image must be RGB; {convert}")
        yield image


@contextmanager
def _opened(path: Path, what: str) -> Iterator[DatasetReader]:
    """Open a TIFF, PNG or JPEG; anything else is an InputError that names the file and calls it `what`."""
    if not path.exists():
        raise InputError(f"{path}: {what} is missing; restore it or remove its row from the table")
    if fault := limits.file_fault(path):
        raise InputError(f"{path}: cannot be read as an image ({fault}); put the image itself there")
    if kind := _foreign(path):
        raise InputError(
            f"{path}: cannot be read as an image: it is {kind} image; convert it: `{CONVERT.format(path)}`"
        )
    try:
        with gdal.undamaged(), gdal.opened(path, driver=gdal.driver_of(path)) as image:
            yield image
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def _no_grey(image: DatasetReader) -> str:
    """What the numbers of an image of one band are if not levels of grey of 8 bits, '' if they are."""
    if image.colorinterp[0] == ColorInterp.palette:
        return "the numbers of colours in a table"
    bits = image.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "8")
    return "" if bits == "8" else f"levels of {bits} bits"


def _foreign(path: Path) -> str:
    """The name of a format that is known, but not read here; '' for another."""
    with path.open("rb") as file:
        head = file.read(132)
    return next((name for name, (place, mark) in FOREIGN.items() if head.startswith(mark, place)), "")


def _hole(file: BinaryIO) -> str:
    """What is missing of a file's pixels, or of the tags that say where these are; '' if nothing."""
    try:
        return tiff.hole(tiff.tags(file), file.seek(0, os.SEEK_END))
    except ValueError as error:
        return str(error)


def _check_whole(path: Path, image: DatasetReader) -> None:
    """Raise InputError where pixels are missing, or are not shown as they lie, but turned or mirrored."""
    with path.open("rb") as file:
        if fault := gdal.size_fault(path, image) or _hole(file):
            raise InputError(
                f"{path}: cannot be read as an image ({fault}); fetch the file again, or cut it into parts"
            )
        try:
            turned = tiff.orientation(file, image.driver)
            turned = turned if turned != 1 else _turned_by_text(image)
        except ValueError as error:
            raise InputError(f"{path}: cannot be read as an image ({error}); fetch it again") from error
    if turned != 1:
        raise InputError(
            f"{path}: says that it is shown turned or mirrored (Orientation {turned}), of which masks know "
            f"nothing; turn its pixels: `magick {path} -auto-orient PNG24:OUT.png`, or remove the tag where "
            f"masks fit the pixels as they lie: `exiftool -Orientation= {path}`"
        )


def _check_colours(path: Path) -> None:
    """Raise InputError where a TIFF's numbers are other colours than RGB, or of other than 8 bits."""
    with path.open("rb") as file:
        tags = tiff.tags(file)
    bits = tags.get(tiff.BITS, [1])
    colour, compression = _first(tags, tiff.PHOTOMETRIC), _first(tags, tiff.COMPRESSION)
    known = colour in (GREYS, COLOURS) or (colour, compression) == (YCBCR, JPEG_IN_TIFF)
    if tags and (not known or any(depth != 8 for depth in bits)):
        raise InputError(
            f"{path}: has bands of {', '.join(str(depth) for depth in bits)} bits, photometric "
            f"interpretation {colour}; an image must be RGB of uint8; convert it: `{CONVERT.format(path)}`"
        )


def _turned_by_text(image: DatasetReader) -> int:
    """The orientation in XMP, or in EXIF as ImageMagick writes it into a PNG's text; 1 if none is said."""
    for name, text in image.tags().items():
        if name in RAW_EXIF:  # its name, how many bytes, and these in hexadecimal
            exif = bytes.fromhex("".join(text.split()[2:])).removeprefix(b"Exif\0\0")
            if (turned := _first(tiff.tags(io.BytesIO(exif)), tiff.ORIENTATION)) != 1:
                return turned
    found = XMP_ORIENTATION.search(image.tags(ns="xml:XMP").get("xml:XMP", ""))
    return int(found[1]) if found else 1


def _first(tags: tiff.Tags, tag: int) -> int:
    return int(tags[tag][0]) if tag in tags else 1


@contextmanager
def pixel_rows(path: Path) -> Iterator[gdal.Rows]:
    """Yield a function that reads rows of an image, PNG and TIFF alike; ask for a PNG's from the top."""
    with _open(path) as image:
        yield gdal.rows_of(image)


def image_shape(path: Path) -> tuple[int, int]:
    """(height, width) in px of an image, from its head."""
    with _open(path) as image:
        return image.shape


def image_channels(path: Path) -> int:
    """3 of an RGB image, 1 of a grey one, from its head."""
    with _open(path) as image:
        return image.count


def check_image(
    path: Path, shape: tuple[int, int], pixel_size: float | None = None, channels: int = 3
) -> dict:
    """Raise InputError unless the whole file reads as a uint8 image of this (height, width) and `channels`,
    3 (RGB) or 1 (grey).

    Returns its `hash`, by which one picture under two names is found: all pixels are at hand here; and as
    `printed` the dpi for a screen or printer that it states and nothing follows from, 0 for none.

    Raised as well where the file states another size of its pixels (um) than `pixel_size`, if that is given.
    """
    with _open(path) as image:
        if image.count != channels:
            raise InputError(f"{path}: {_OTHER[image.count].format(CONVERT.format(path))}")
        if image.shape != shape:
            raise InputError(
                f"{path}: is {image.height} x {image.width} px (height x width) but its row says "
                f"img_height {shape[0]}, img_width {shape[1]}; correct the table or the image"
            )
        if pixel_size is not None:
            check_pixel_size(path, image.tags(), pixel_size)
        printed = print_resolution(image.tags()) if pixel_size is not None else 0
        return {"hash": duplicates.picture_hash(image.read()), "printed": printed}


def check_pixel_size(path: Path, tags: dict[str, str], pixel_size: float) -> None:
    """Raise InputError where a TIFF's own tags state pixels (um) that are not square, or not `pixel_size`."""
    for axis, stated in stated_pixel_size(tags).items():
        if not pixel_size / AGREE <= stated <= pixel_size * AGREE:
            raise InputError(
                f"{path}: states {stated:.4g} um per px ({axis}) but its row says pixel_size {pixel_size:g}; "
                "correct the table or the image's tags"
            )


def stated_pixel_size(tags: dict[str, str]) -> dict[str, float]:
    """um per px along x and y as TIFF or OME tags state them, empty where they state nothing.

    A resolution coarser than 10 um per px is that of a screen or printer (72 to 2,400 dpi), which writers put
    in by themselves.
    Sources: TIFF 6.0 section 8 (XResolution, ResolutionUnit); OME-XML, Pixels/@PhysicalSizeX.
    """
    description, stated = tags.get("TIFFTAG_IMAGEDESCRIPTION", ""), {}
    for axis in "XY":
        ome = re.search(rf'PhysicalSize{axis}="(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"', description)
        foreign = re.search(rf'PhysicalSize{axis}Unit="(?!µm|um|&#181;m|&#xB5;m)', description)
        size = _tagged(tags, axis)
        if ome and not foreign:
            stated[axis.lower()] = float(ome[1])
        elif 0 < size < SCREEN:
            stated[axis.lower()] = size
    return stated


def stated_of(path: Path) -> dict[str, float]:
    """um per px along x and y as the file at `path` states them, empty where it states nothing."""
    with _open(path) as image:
        return stated_pixel_size(image.tags())


def print_resolution(tags: dict[str, str]) -> int:
    """The dpi for a screen or printer that TIFF tags state, 0 where they state none."""
    size = max(_tagged(tags, "X"), _tagged(tags, "Y"))
    return round(25400 / size) if size >= SCREEN else 0


def printed_in_words(paths: Sequence[Path], printed: Sequence[int]) -> str:
    """A sentence on the images that state dpi for a screen or printer, '' where none does."""
    stated = [(path, dpi) for path, dpi in zip(paths, printed, strict=True) if dpi]
    if not stated:
        return ""
    path, dpi = stated[0]
    return (
        f"{len(stated)} images state a resolution for a screen or printer ({path}: {dpi} dpi), which is "
        "ignored; the table's pixel_size counts"
    )


def _tagged(tags: dict[str, str], axis: str) -> float:
    """um per px by the resolution along an axis, 0 where there is none: a PNG's text may be any."""
    unit = {"2": 25400.0, "3": 10000.0}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "1")[:1], 0.0)  # inch, cm
    try:
        resolution = float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "0"))
    except ValueError:
        return 0.0
    return unit / resolution if 0 < resolution < math.inf else 0.0


def read_image(path: Path) -> np.ndarray:
    """The image at native size, (H, W, C) uint8."""
    with _open(path) as image:
        return gdal.pixels(image.read())


def read_labels(path: Path) -> np.ndarray:
    """The numbers of a mask as its file has them, (H, W) uint8; of a palette the indices, not the colours."""
    with _opened(path, "mask") as image:
        if image.count != 1 or image.dtypes[0] not in ("uint8", "uint16"):
            raise InputError(
                f"{path}: has {image.count} bands of {image.dtypes[0]}; a mask has one, of whole numbers; "
                "make it with `python -m ftu_tools.dataset.make`"
            )
        _check_whole(path, image)
        labels = image.read(1)
    if labels.max(initial=0) > 255:
        raise InputError(
            f"{path}: has the value {labels.max()}; a mask's go up to 255; where each object has a number, "
            "make one class of them with `python -m ftu_tools.dataset.make`"
        )
    return labels.astype(np.uint8)


def read_resized(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image at `shape` (height, width): area average where it shrinks, bilinear where an axis grows.

    Of the pixels at full resolution, whatever else the file holds. The decimated read never holds the native
    image as an array of ours.
    """
    with _open(path) as file, gdal.unmasked(file) as image:
        shrinks = image.height >= shape[0] and image.width >= shape[1]
        resampling = Resampling.average if shrinks else Resampling.bilinear
        bands = image.read(out_shape=(image.count, *shape), resampling=resampling)
    return gdal.pixels(bands)


def resize_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask at `shape` (height, width), nearest neighbour on pixel centres."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def write_grey(path: Path, image: np.ndarray) -> None:
    """Write an (H, W) uint8 grey image, or a mask of numbers, as PNG."""
    _, content = cv2.imencode(".png", image)
    path.write_bytes(content.tobytes())  # imwrite does not say why it fails


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    profile = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    with gdal.written(path, photometric="RGB", **profile) as made:
        made.write(np.moveaxis(image, -1, 0))
