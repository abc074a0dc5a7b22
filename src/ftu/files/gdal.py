"""How GDAL opens files: alone, by one driver, and not when they claim more than they can hold."""

import errno
import logging
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import defenv, hasenv, setenv
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from ftu.errors import InputError
from ftu.files import limits, tiff

GDAL = {
    "GDAL_CACHEMAX": 2**26,  # bytes that it keeps of all files; its own limit is a share of memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # a file is read alone, without any that lie beside it
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # of a JPEG that was cut off
    # What follows is GDAL's default, or what a variable of the environment or a file beside would say.
    "GDAL_PAM_ENABLED": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "CONVERT_YCBCR_TO_RGB": "YES",
    "GDAL_JPEG_TO_RGB": "YES",
    "GDAL_TIFF_INTERNAL_MASK": "NO",
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
    "TIFF_USE_OVR": "NO",
}
# A reduced read is of the pixels at full resolution, never of overviews, which may hold others.
WHOLE = {"overview_level": "NONE"}
Rows = Callable[[int, int], np.ndarray]  # (top, bottom) -> those rows, (bottom - top, W, bands)
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
COPIED = 256  # rows at a time
ROOM = 2**20  # bytes: a disk with less of them free counts as full
MOST_COMPRESSED = 2**14  # times; deflate reaches 1,032, a blank tile in Zstandard some thousands


def opened(path: Path, mode: str = "r", **profile: object) -> DatasetWriter:  # in mode "r", a reader
    """Open with rasterio, in mode "r" for reading alone."""
    if not hasenv():
        defenv()
    setenv(**GDAL)  # and not for this call alone: GDAL asks for some of them when it decodes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes know no latitude
        options = WHOLE if mode == "r" else {}
        return rasterio.open(path, mode, **options, **profile)  # pyright: ignore[reportArgumentType]


@contextmanager
def written(path: Path, **profile: object) -> Iterator[DatasetWriter]:
    """Yield a new TIFF to write. Raises OSError where its disk is full, or did not take all of it.

    GDAL does not say why a write fails, and nothing at all where one fails while the file is closed.
    """
    try:
        with opened(path, "w", driver="GTiff", **profile) as image:
            yield image
    except RasterioError as error:
        if shutil.disk_usage(path.parent).free < ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    if not is_whole(path):
        number = errno.ENOSPC if shutil.disk_usage(path.parent).free < ROOM else errno.EIO
        raise OSError(number, os.strerror(number), str(path))


def is_whole(path: Path) -> bool:
    """Whether the disk took all of a TIFF that was just written.

    GDAL goes on behind a write that failed, so that later strips may have their place and earlier ones be
    holes, which would be read as zeros. It leaves none by itself; some disks make them of long runs of zeros,
    so maps and copies are compressed, and the images of the sample have none.
    """
    with path.open("rb") as file:
        try:
            tags = tiff.tags(file)
        except ValueError:  # of a directory that is not all there
            return False
        size = file.seek(0, os.SEEK_END)
        return bool(tags) and not tiff.hole(tags, size) and file.seek(0, os.SEEK_HOLE) == size


@contextmanager
def undamaged() -> Iterator[None]:
    """Raise RasterioIOError at the end where GDAL only warned, in this thread, of a JPEG within a TIFF.

    It fills up with grey what it could not decode.
    """
    thread, told = threading.get_ident(), []

    class Warned(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread and "JPEGLib:" in record.getMessage():
                told.append(record.getMessage().rpartition("JPEGLib:")[2])

    handler, log = Warned(logging.WARNING), logging.getLogger("rasterio")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    if told:
        raise RasterioIOError(told[0])


@contextmanager
def unmasked(image: DatasetReader) -> Iterator[DatasetReader]:
    """The image as one in which all pixels count, as numbers: itself, or a copy on disk for this block.

    A reduced read leaves out what a nodata value, an alpha or a mask calls invalid, and averages the colours
    of a table where there is one.
    """
    all_count = all(flags == [MaskFlags.all_valid] for flags in image.mask_flag_enums)
    if all_count and ColorInterp.palette not in image.colorinterp:
        yield image
        return
    read, shape = rows_of(image), {"height": image.height, "width": image.width, "count": image.count}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tiff"
        try:
            how = {"bigtiff": "if_safer", "compress": "deflate", "zlevel": 1}
            with written(path, dtype=image.dtypes[0], **how, **shape) as copy:
                for top in range(0, image.height, COPIED):
                    rows = read(top, min(top + COPIED, image.height))
                    place = Window.from_slices((top, top + len(rows)), (0, image.width))
                    try:
                        copy.write(np.moveaxis(rows, -1, 0), window=place)
                    except RasterioError as error:
                        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path)) from error
        except RasterioError:  # of the image itself
            raise
        except OSError as error:
            raise InputError(
                f"{image.name}: the copy in which nothing hides pixels cannot be kept ({folder}: "
                f"{error.strerror}); make room there, or set TMPDIR to another folder"
            ) from error
        with opened(path, driver="GTiff") as copied:
            yield copied


def rows_of(image: DatasetReader) -> Rows:
    """A function of (top, bottom) that reads those rows of an open image."""

    def read(top: int, bottom: int) -> np.ndarray:
        return np.moveaxis(image.read(window=Window.from_slices((top, bottom), (0, image.width))), 0, -1)

    return read


def pixels(bands: np.ndarray) -> np.ndarray:
    """(H, W, C) of the (C, H, W) that a file gives, C 1 or 3, next to each other in memory."""
    return cv2.merge(list(bands)) if len(bands) == 3 else np.ascontiguousarray(bands[0])[..., None]


def driver_of(path: Path) -> str:
    """The driver for a file by its first bytes; InputError for a PNG without its end.

    GDAL may take a PNG that was cut off for a whole one. If it may choose the driver, it also follows formats
    that name other files and addresses in the network.
    """
    with path.open("rb") as file:
        head = file.read(3)
        driver = {b"\x89PN": "PNG", b"\xff\xd8\xff": "JPEG"}.get(head, "GTiff")
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
    bits = [
        int(image.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(name).itemsize))
        for band, name in enumerate(image.dtypes, start=1)
    ]
    claimed = image.height * image.width * sum(bits) // 8
    size = path.stat().st_size
    plain = image.driver == "GTiff" and not image.compression
    if claimed <= size * (1 if plain else MOST_COMPRESSED):
        return ""
    return f"claims {image.height} x {image.width} px (height x width) and has {size} bytes"
