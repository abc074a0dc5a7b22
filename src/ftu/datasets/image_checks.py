"""What an image's file must not be: another format, in part missing, shown turned, of other colours, or of
several pages."""

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from ftu.errors import InputError
from ftu.files import gdal, tiff

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


def check_format(path: Path) -> None:
    """Raise InputError for a file of a format that is known, but not read here."""
    with path.open("rb") as file:
        head = file.read(132)
    for name, (place, mark) in FOREIGN.items():
        if head.startswith(mark, place):
            raise InputError(
                f"{path}: cannot be read as an image: it is {name} image; convert it: "
                f"`{CONVERT.format(path)}`"
            )


def check_bands(path: Path, image: DatasetReader) -> None:
    """Raise InputError unless an open image has three bands, or one of grey, of uint8."""
    convert = f"convert it: `{CONVERT.format(path)}`"
    if image.count not in (1, 3) or set(image.dtypes) != {"uint8"}:
        raise InputError(
            f"{path}: has {image.count} bands of {image.dtypes[0]}; "
            f"an image must have 3 bands (RGB) of uint8, or 1 (grey); {convert}"
        )
    if image.count == 1 and (odd := _no_grey(image)):
        raise InputError(f"{path}: its band holds {odd}, not levels of grey; {convert}")


def check_whole(path: Path, image: DatasetReader) -> None:
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


def check_one_page(path: Path) -> None:
    """Raise InputError for a TIFF that has another page as large as its first: a slice, a channel.

    What says that it is a copy or a mask of another page passes, and so does a page of another size: a
    reduced copy, a thumbnail, the label of a slide.
    """
    with path.open("rb") as file:
        try:
            pages = tiff.pages(file)
            shape = _shape(next(pages, {}))
            alike = any(_shape(tags) == shape and not _of_another(tags) for tags in pages)
        except ValueError as error:
            raise InputError(f"{path}: cannot be read as an image ({error}); fetch it again") from error
    if alike:
        raise InputError(
            f"{path}: has several pages of {shape[0]} x {shape[1]} px (height x width), and an image is one; "
            "cut a volume into its slices with `python -m ftu_tools.dataset.make`, or save the page that is "
            "meant in a file of its own"
        )


def check_colours(path: Path, image: DatasetReader) -> None:
    """Raise InputError unless the numbers of an open image, whose file is whole, are RGB or grey."""
    convert = f"convert it: `{CONVERT.format(path)}`"
    with path.open("rb") as file:
        tags = tiff.tags(file)
    bits = tags.get(tiff.BITS, [1])
    colour, compression = _first(tags, tiff.PHOTOMETRIC), _first(tags, tiff.COMPRESSION)
    known = colour in (GREYS, COLOURS) or (colour, compression) == (YCBCR, JPEG_IN_TIFF)
    if tags and (not known or any(depth != 8 for depth in bits)):
        raise InputError(
            f"{path}: has bands of {', '.join(str(depth) for depth in bits)} bits, photometric "
            f"interpretation {colour}; an image must be RGB of uint8; {convert}"
        )
    made_of = image.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "RGB")
    if made_of not in ("RGB", "YCbCr"):  # of a JPEG for print, GDAL makes RGB as it thinks best
        raise InputError(f"{path}: its colours are {made_of}; an image must be RGB; {convert}")


def _no_grey(image: DatasetReader) -> str:
    """What the numbers of an image of one band are if not levels of grey of 8 bits, '' if they are."""
    if image.colorinterp[0] == ColorInterp.palette:
        return "the numbers of colours in a table"
    bits = image.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "8")
    return "" if bits == "8" else f"levels of {bits} bits"


def _hole(file: BinaryIO) -> str:
    """What is missing of a file's pixels, or of the tags that say where these are; '' if nothing."""
    try:
        return tiff.hole(tiff.tags(file), file.seek(0, os.SEEK_END))
    except ValueError as error:
        return str(error)


def _turned_by_text(image: DatasetReader) -> int:
    """The orientation in XMP, or in EXIF as ImageMagick writes it into a PNG's text; 1 if none is said."""
    for name, text in image.tags().items():
        if name in RAW_EXIF:  # its name, how many bytes, and these in hexadecimal
            exif = bytes.fromhex("".join(text.split()[2:])).removeprefix(b"Exif\0\0")
            if (turned := _first(tiff.tags(io.BytesIO(exif)), tiff.ORIENTATION)) != 1:
                return turned
    found = XMP_ORIENTATION.search(image.tags(ns="xml:XMP").get("xml:XMP", ""))
    return int(found[1]) if found else 1


def _shape(tags: tiff.Tags) -> tuple[int, int]:
    """(height, width) of a page in px."""
    return _first(tags, tiff.HEIGHT), _first(tags, tiff.WIDTH)


def _of_another(tags: tiff.Tags) -> bool:
    """Whether a page says that it is a reduced copy or a mask of another."""
    return bool(int(tags.get(tiff.SUBFILE, [0])[0]) & (tiff.REDUCED | tiff.MASK))


def _first(tags: tiff.Tags, tag: int) -> int:
    return int(tags[tag][0]) if tag in tags else 1
