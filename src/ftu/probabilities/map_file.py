"""Probability maps on disk: (C, H, W) float32 in 0..1, a band for each class, stored as uint16 in a TIFF,
written and read by rows.

Each strip of rows has one checksum over all bands in the file, so that no damaged pixel is taken for a
probability.
"""

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from ftu.errors import InputError
from ftu.files import gdal

FULL_SCALE = 65535  # a probability of 1
STRIP = 64  # rows that are compressed together
UM_PER_CM = 10_000
CHECKSUMS = "FTU_CRC32"  # the tag that holds one for each strip


def read(path: Path, rows: slice | None = None, columns: slice | None = None) -> np.ndarray:
    """A probability map that predict wrote, (C, H, W) float32 in 0..1; of it these rows and columns, or all.

    Raises InputError when the file is missing, something else, or damaged: the strips that hold the rows must
    have the checksums that were written with them.
    """
    remedy = "run `dvc repro` to make it again"
    if not path.is_file():
        raise InputError(f"{path}: is missing or damaged; {remedy}")
    try:
        with gdal.opened(path, driver=gdal.driver_of(path)) as tiff:
            if (tiff.driver, set(tiff.dtypes)) != ("GTiff", {"uint16"}):
                raise InputError(
                    f"{path}: is a {tiff.driver} of {tiff.count} bands of {tiff.dtypes[0]}, no probability "
                    f"map (a GTiff of uint16, a band for each class); {remedy}"
                )
            if fault := gdal.size_fault(path, tiff):
                raise InputError(f"{path}: is missing or damaged ({fault}); {remedy}")
            first, stop, _ = (rows or slice(None)).indices(tiff.height)
            top = first // STRIP * STRIP  # a strip is checked whole
            bottom = min(-(-stop // STRIP) * STRIP, tiff.height)
            stored = tiff.read(window=Window.from_slices((top, bottom), (0, tiff.width)))
            sums = tiff.tags().get(CHECKSUMS, "")
            written = sums.split()[top // STRIP : -(-bottom // STRIP)]
    except (RasterioError, MemoryError) as error:
        raise InputError(f"{path}: is missing or damaged ({error}); {remedy}") from error
    if not sums:
        old = "no checksums, as in a map that was cut off or that an older version wrote"
        raise InputError(f"{path}: is missing or damaged ({old}); {remedy}")
    starts = range(0, stored.shape[1], STRIP)
    if written != [_checksum(stored[:, start : start + STRIP]) for start in starts]:
        raise InputError(
            f"{path}: is missing or damaged (its checksums are not those of its pixels); {remedy}"
        )
    asked = stored[:, first - top : stop - top, columns or slice(None)]
    return asked.astype(np.float32) / np.float32(FULL_SCALE)


def _checksum(strip: np.ndarray) -> str:
    """The checksum of a strip of a map, (C, rows, W) uint16, its shape included."""
    rows = np.ascontiguousarray(strip, "<u2").data
    bands, height, width = strip.shape
    return f"{zlib.crc32(rows, (bands - 1) << 27 ^ height << 20 ^ width):08x}"


def check(path: Path) -> None:
    """Raise InputError unless the map is there down to its last row, which a file that was cut off lacks."""
    read(path, rows=slice(-1, None))


@contextmanager
def writer(
    path: Path, height: int, width: int, classes: int = 1, um: tuple[float, float] | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that takes a map's rows, (C, any, W) in 0..1, from top to bottom, in parts as they
    come. `um` are the height and the width of a pixel, which viewers then show.

    The bytes do not depend on the parts. Raises ValueError when a value is no probability, or when the block
    ends before the last row. Whatever goes wrong, no file is left.
    """
    profile = {"height": height, "width": width, "count": classes, "dtype": "uint16"}
    packed = {"compress": "deflate", "zlevel": 1, "predictor": 2, "blockysize": STRIP, "bigtiff": "if_safer"}
    try:
        with gdal.written(path, **profile, **packed) as tiff:
            tiff.update_tags(**_resolution(*um) if um else {})
            strips = _Strips(path, tiff)
            yield strips.write
            strips.complete()
    except RasterioError as error:  # which does not say why
        path.unlink(missing_ok=True)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path)) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _resolution(height: float, width: float) -> dict[str, str]:
    """TIFF's tags for pixels of so many um: how many there are to the centimetre."""
    per_cm = {"X": UM_PER_CM / width, "Y": UM_PER_CM / height}
    tags = {f"TIFFTAG_{axis}RESOLUTION": f"{count:.6g}" for axis, count in per_cm.items()}
    return tags | {"TIFFTAG_RESOLUTIONUNIT": "3"}


class _Strips:
    """Rows of a probability map on their way to disk, by strips: half of one would be compressed twice."""

    def __init__(self, path: Path, tiff: DatasetWriter) -> None:
        self.path, self.tiff, self.done = path, tiff, 0
        self.checksums: list[str] = []
        self.waiting = np.empty((tiff.count, 0, tiff.width), np.uint16)

    def write(self, rows: np.ndarray) -> None:
        for start in range(0, rows.shape[1], STRIP):
            part = rows[:, start : start + STRIP]
            if not (part.min() >= 0 and part.max() <= 1):  # not so for nan either
                raise ValueError(
                    f"{self.path}: holds {part.min()} to {part.max()}, which are no probabilities"
                )
            stored = np.rint(part * FULL_SCALE).astype(np.uint16)
            self.waiting = np.concatenate([self.waiting, stored], axis=1)
            ends = self.done + self.waiting.shape[1] == self.tiff.height
            if self.waiting.shape[1] >= STRIP or ends:
                self._put(self.waiting[:, :STRIP])
                self.waiting = self.waiting[:, STRIP:]
            if ends and self.waiting.shape[1]:
                self._put(self.waiting)

    def _put(self, strip: np.ndarray) -> None:
        place = Window(0, self.done, self.tiff.width, strip.shape[1])  # pyright: ignore[reportCallIssue]
        self.tiff.write(strip, window=place)
        self.done += strip.shape[1]
        self.checksums.append(_checksum(strip))

    def complete(self) -> None:
        if self.done != self.tiff.height:
            rows = self.done + self.waiting.shape[1]
            raise ValueError(f"{self.path}: {rows} of {self.tiff.height} rows were written")
        self.tiff.update_tags(**{CHECKSUMS: " ".join(self.checksums)})
