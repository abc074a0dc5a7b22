"""How GDAL opens files: alone, by one driver, and not when they claim more than they can hold."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from ftu.errors import InputError
from ftu.files import limits

GDAL = {
    "GDAL_CACHEMAX": 2**26,  # bytes that it keeps of all files; its own limit is a share of memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # a file is read alone, without any that lie beside it
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # of a JPEG that was cut off
    "GTIFF_IGNORE_READ_ERRORS": "NO",  # else what cannot be read is black
    "GTIFF_FORCE_RGBA": "NO",
    "GTIFF_REPORT_COMPD_CS": "NO",
    "CONVERT_YCBCR_TO_RGB": "YES",
    "GDAL_JPEG_TO_RGB": "YES",
    "GDAL_PAM_ENABLED": "NO",  # no .aux.xml, read or written
}
Rows = Callable[[int, int], np.ndarray]  # (top, bottom) -> those rows, (bottom - top, W, bands)
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
OTHERS = {  # first bytes of what people have beside TIFF, PNG and JPEG
    b"BM": "BMP",
    b"RIFF....WEBP": "WebP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"....ftyp": "HEIF or AVIF",
    b"\0\0\0\x0cJXL|\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"P[1-6]\\s": "PNM",
}
MOST_COMPRESSED = 2**14  # times; deflate reaches 1,032, a blank tile in Zstandard some thousands


def opened(path: Path | str, mode: str = "r", **profile: object) -> DatasetWriter:  # in mode "r", a reader
    """Open with rasterio, in mode "r" for reading alone."""
    with warnings.catch_warnings(), rasterio.Env(**GDAL):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes know no latitude
        return rasterio.open(path, mode, **profile)  # pyright: ignore[reportArgumentType]


@contextmanager
def in_memory(bands: np.ndarray) -> Iterator[DatasetReader]:
    """(bands, H, W) pixels as an image that holds nothing else: no levels, no nodata, no masks."""
    count, height, width = bands.shape
    profile = {"height": height, "width": width, "count": count, "dtype": bands.dtype.name}
    with opened("", "w+", driver="MEM", **profile) as image:
        image.write(bands)
        yield image


def rows_of(image: DatasetReader) -> Rows:
    """A function of (top, bottom) that reads those rows of an open image."""

    def read(top: int, bottom: int) -> np.ndarray:
        return np.moveaxis(image.read(window=Window.from_slices((top, bottom), (0, image.width))), 0, -1)

    return read


def driver_of(path: Path) -> str:
    """The driver for a file by its first bytes; InputError for another format, and a PNG without its end.

    GDAL may take a PNG that was cut off for a whole one. If it may choose the driver, it also follows formats
    that name other files and addresses in the network.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if other := next((name for form, name in OTHERS.items() if re.match(form, head, re.DOTALL)), ""):
            raise InputError(
                f"{path}: is a file of {other}; images are TIFF, PNG or JPEG; convert it, as with "
                f"`magick '{path.name}' tiff:'{path.stem}.converted.tiff'`"
            )
        driver = {b"\x89PN": "PNG", b"\xff\xd8\xff": "JPEG"}.get(head[:3], "GTiff")
        if driver == "PNG":
            file.seek(-min(len(PNG_END), path.stat().st_size), os.SEEK_END)
            if file.read() != PNG_END:
                raise InputError(
                    f"{path}: cannot be read as an image (a PNG that was cut off); fetch it again"
                )
    return driver


def size_fault(path: Path, image: DatasetReader) -> str:
    """What is wrong with the size that a file claims, '' if nothing: past the limit, or more than it holds.

    GDAL would allocate it, and fill up with zeros what is not there.
    """
    if fault := limits.size_fault(*image.shape):
        return fault
    claimed = image.height * image.width * sum(np.dtype(name).itemsize for name in image.dtypes)
    size = path.stat().st_size
    plain = image.driver == "GTiff" and not image.compression
    if claimed <= size * (1 if plain else MOST_COMPRESSED):
        return ""
    return f"claims {image.height} x {image.width} px (height x width) and has {size} bytes"


def gap(path: Path, image: DatasetReader) -> str:
    """Which block of an open TIFF's pixels its file does not hold, '' if none.

    GDAL takes such a block for black: a sparse TIFF may be without any.
    """
    if image.driver != "GTiff":
        return ""
    size = path.stat().st_size
    planar = image.interleaving and image.interleaving.name == "band"
    for band in image.indexes if planar else (1,):
        for (row, column), _ in image.block_windows(band):
            start, length = (
                int(image.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) or 0)
                for what in ("OFFSET", "SIZE")
            )
            if not 0 < start < start + length <= size:
                return f"the tile or strip at row {row}, column {column} of its grid is missing"
    return ""
