"""Images, (H, W, C) uint8, and masks, (H, W) uint8, as stages write and read them.

C is 3 (RGB) or 1 (grey). A mask holds 0 and the numbers of its classes, 1 of the only one; in the file of a
mask of one class that is 255, which people can see.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.errors import InputError
from ftu.files import gdal, limits

ONLY = 255  # of the only class, in a file


def read_image(path: Path) -> np.ndarray:
    """An 8-bit image that a stage wrote, (H, W, C) uint8."""
    return gdal.pixels(_read_png(path, (1, 3)))


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, C) uint8 image as PNG."""
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[-1] == 3 else image)


def read_mask(path: Path) -> np.ndarray:
    """A mask that a stage wrote, (H, W) uint8: 0, and the numbers of classes from 1 on."""
    mask = _read_png(path, (1,))[0]
    mask[mask == ONLY] = 1
    return mask


def write_mask(path: Path, mask: np.ndarray, classes: int = 1) -> None:
    """Write an (H, W) mask of 0 to `classes` as PNG: of its numbers, or of 0 and 255 where there is one."""
    _write(path, mask * np.uint8(ONLY) if classes == 1 else mask)


def image_shape(path: Path) -> tuple[int, int]:
    """(height, width) in px of an image that a stage wrote, from its head."""
    with _opened(path, (1, 3)) as png:
        return png.shape


@contextmanager
def pixel_rows(path: Path) -> Iterator[gdal.Rows]:
    """Yield a function that reads rows of an image that a stage wrote; ask for them from the top."""
    with _opened(path, (1, 3)) as png:
        yield gdal.rows_of(png)


def content(path: Path) -> bytes:
    """The bytes of a PNG that a stage wrote; InputError when it is missing, damaged, or no file."""
    if not limits.file_fault(path) and _is_whole_png(found := limits.content(path, limits.MOST_BYTES)):
        return found
    raise _damaged(path)


def check_squares(paths: Iterable[Path], side: int) -> None:
    """Raise InputError unless each image or mask that a stage wrote is `side` x `side` px by its head."""
    for path in paths:
        with _opened(path) as png:
            height, width = png.shape
        if (height, width) != (side, side):
            raise InputError(
                f"{path}: is {height} x {width} px (height x width) but resize.side is {side}; run "
                "`dvc repro` to make it again"
            )


def _read_png(path: Path, counts: tuple[int, ...]) -> np.ndarray:
    """(C, H, W) uint8 of a PNG that a stage wrote, C one of `counts`; InputError when it is missing,
    damaged, or another.

    GDAL decodes it in half the time that OpenCV takes or less, but may take a damaged one for whole.
    """
    content(path)
    with _opened(path, counts) as png:
        return png.read(list(range(1, _count(png, counts) + 1)))


@contextmanager
def _opened(path: Path, counts: tuple[int, ...] = ()) -> Iterator[DatasetReader]:
    """The PNG at `path`, of uint8, with one of `counts` of bands and perhaps alpha; InputError otherwise."""
    if limits.file_fault(path):  # else a pipe is waited for
        raise _damaged(path)
    try:
        with gdal.opened(path, driver="PNG") as png:
            fits = (not counts or _count(png, counts)) and set(png.dtypes) == {"uint8"}
            if not fits or gdal.size_fault(path, png):
                raise _damaged(path)
            yield png
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise _damaged(path) from error


def _count(png: DatasetReader, counts: tuple[int, ...]) -> int:
    """Which of `counts` are its bands without alpha, 0 if none."""
    return next((count for count in counts if png.count in (count, count + 1)), 0)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path}: is missing or damaged; run `dvc repro` to make it again")


def _is_whole_png(content: bytes) -> bool:
    """Whether all chunks are there, down to the last, each with its checksum (PNG, W3C 2003, section 5.3)."""
    place, kind, whole = 8, b"", memoryview(content)
    while place + 12 <= len(content):
        length = int.from_bytes(whole[place : place + 4], "big")
        kind, end = bytes(whole[place + 4 : place + 8]), place + 8 + length
        if zlib.crc32(whole[place + 4 : end]) != int.from_bytes(whole[end : end + 4], "big"):
            return False
        place = end + 4
    return kind == b"IEND" and place == len(content)


def _write(path: Path, array: np.ndarray) -> None:
    _, content = cv2.imencode(path.suffix, array)
    path.write_bytes(content.tobytes())  # imwrite does not say why it fails
