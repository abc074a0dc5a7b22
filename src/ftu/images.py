"""The only reader and writer of pixels.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8 of 0 and 1 (0 and 255 on disk), probabilities
(H, W) float32 in 0..1 (0..65535 on disk, in a TIFF, which can be written and read by rows).
"""

import errno
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from ftu import limits
from ftu.errors import InputError

FULL_SCALE = 65535  # a probability of 1 in a 16-bit artefact
AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel
SCREEN = 20.0  # um per px: coarser resolutions were stated for screens and printers
STRIP = 64  # rows that are compressed together
GDAL = {
    "GDAL_CACHEMAX": 2**26,  # bytes that it keeps of all files; its own limit is a share of memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # a file is read alone, without any that lie beside it
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # of a JPEG that was cut off
}
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
MOST_COMPRESSED = 2**14  # times; deflate reaches 1,032, a blank tile in Zstandard some thousands
CHECKSUMS = "FTU_CRC32"  # the tag of a probability map that holds one for each strip


def _raster(path: Path, mode: str = "r", **profile: object) -> DatasetWriter:  # in mode "r", a reader
    """Open with rasterio."""
    with warnings.catch_warnings(), rasterio.Env(**GDAL):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes know no latitude
        return rasterio.open(path, mode, **profile)  # pyright: ignore[reportArgumentType]


def _driver(path: Path) -> str:
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


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    if not path.is_file():
        raise InputError(f"{path}: image is missing; restore it or remove its row from the table")
    try:
        with _raster(path, driver=_driver(path)) as image:
            if image.count != 3 or set(image.dtypes) != {"uint8"}:
                raise InputError(
                    f"{path}: has {image.count} bands of {image.dtypes[0]}; "
                    "an image must have 3 bands (RGB) of uint8"
                )
            if fault := limits.size_fault(*image.shape) or _hollow(path, image):
                raise InputError(
                    f"{path}: cannot be read as an image ({fault}); fetch the file again, or cut it into "
                    "parts"
                )
            yield image
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def _hollow(path: Path, image: DatasetReader) -> str:
    """What is wrong where a file is too small for what it claims to hold, which GDAL fills up with zeros."""
    claimed = image.height * image.width * sum(np.dtype(name).itemsize for name in image.dtypes)
    size = path.stat().st_size
    plain = image.driver == "GTiff" and not image.compression
    if claimed <= size * (1 if plain else MOST_COMPRESSED):
        return ""
    return f"claims {image.height} x {image.width} px (height x width) and has {size} bytes"


@contextmanager
def rgb_rows(path: Path) -> Iterator[Callable[[int, int], np.ndarray]]:
    """Yield a function of (top, bottom) that reads those rows of an RGB file, (bottom - top, W, 3) uint8.

    PNG and TIFF alike; a PNG is decoded from its top, so ask for its rows in order.
    """
    with _open(path) as image:

        def read(top: int, bottom: int) -> np.ndarray:
            return np.moveaxis(image.read(window=Window.from_slices((top, bottom), (0, image.width))), 0, -1)

        yield read


def image_shape(path: Path) -> tuple[int, int]:
    """(height, width) in px of an RGB file, from its head."""
    with _open(path) as image:
        return image.shape


def check_image(path: Path, shape: tuple[int, int], pixel_size: float | None = None) -> None:
    """Raise InputError unless the whole file reads as an RGB uint8 image of this (height, width).

    Raised as well where the file states another size of its pixels (um) than `pixel_size`, if that is given.
    """
    with _open(path) as image:
        if image.shape != shape:
            raise InputError(
                f"{path}: is {image.height} x {image.width} px (height x width) but its row says "
                f"img_height {shape[0]}, img_width {shape[1]}; correct the table or the image"
            )
        if pixel_size is not None:
            check_pixel_size(path, image.tags(), pixel_size)
        image.read()


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

    A resolution coarser than 20 um per px is that of a screen or printer (72 to 1200 dpi), which writers put
    in by themselves.
    Sources: TIFF 6.0 section 8 (XResolution, ResolutionUnit); OME-XML, Pixels/@PhysicalSizeX.
    """
    description, stated = tags.get("TIFFTAG_IMAGEDESCRIPTION", ""), {}
    unit = {"2": 25400.0, "3": 10000.0}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "1")[:1])  # inch, cm
    for axis in "XY":
        ome = re.search(rf'PhysicalSize{axis}="(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"', description)
        foreign = re.search(rf'PhysicalSize{axis}Unit="(?!µm|um|&#181;m|&#xB5;m)', description)
        resolution = float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "0"))
        if ome and not foreign:
            stated[axis.lower()] = float(ome[1])
        elif unit and resolution > 0 and unit / resolution < SCREEN:
            stated[axis.lower()] = unit / resolution
    return stated


def read_image(path: Path) -> np.ndarray:
    """The image at native size, (H, W, 3) uint8 RGB."""
    with _open(path) as image:
        return np.ascontiguousarray(np.moveaxis(image.read(), 0, -1))


def read_resized(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image at `shape` (height, width): area average where it shrinks, bilinear where an axis grows.

    The decimated read never holds the native image as an array of ours.
    """
    with _open(path) as image:
        shrinks = image.height >= shape[0] and image.width >= shape[1]
        resampling = Resampling.average if shrinks else Resampling.bilinear
        bands = image.read(out_shape=(3, *shape), resampling=resampling)
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))


def resize_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask at `shape` (height, width), nearest neighbour on pixel centres."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def read_rgb(path: Path) -> np.ndarray:
    """An 8-bit RGB image that a stage wrote, (H, W, 3) uint8."""
    return cv2.cvtColor(_read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def write_rgb(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image as PNG."""
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def read_mask(path: Path) -> np.ndarray:
    """A mask that a stage wrote, (H, W) uint8 of 0 and 1."""
    return (_read(path, cv2.IMREAD_GRAYSCALE) > 127).astype(np.uint8)


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write an (H, W) mask of 0 and 1 as PNG of 0 and 255."""
    _write(path, mask * np.uint8(255))


def read_probability(path: Path, rows: slice | None = None, columns: slice | None = None) -> np.ndarray:
    """A probability map that predict wrote, (H, W) float32 in 0..1; of it these rows and columns, or all.

    Raises InputError when the file is missing, something else, or damaged: the strips that hold the rows must
    have the checksums that were written with them.
    """
    remedy = "run `dvc repro` to make it again"
    if not path.is_file():
        raise InputError(f"{path}: is missing or damaged; {remedy}")
    try:
        with _raster(path, driver=_driver(path)) as tiff:
            if (tiff.driver, tiff.count, tiff.dtypes[0]) != ("GTiff", 1, "uint16"):
                raise InputError(
                    f"{path}: is a {tiff.driver} of {tiff.count} bands of {tiff.dtypes[0]}, no probability "
                    f"map (a GTiff of 1 band of uint16); {remedy}"
                )
            if fault := limits.size_fault(*tiff.shape) or _hollow(path, tiff):
                raise InputError(f"{path}: is missing or damaged ({fault}); {remedy}")
            first, stop, _ = (rows or slice(None)).indices(tiff.height)
            top = first // STRIP * STRIP  # a strip is checked whole
            bottom = min(-(-stop // STRIP) * STRIP, tiff.height)
            stored = tiff.read(1, window=Window.from_slices((top, bottom), (0, tiff.width)))
            written = tiff.tags().get(CHECKSUMS, "").split()[top // STRIP : -(-bottom // STRIP)]
    except (RasterioError, MemoryError) as error:
        raise InputError(f"{path}: is missing or damaged ({error}); {remedy}") from error
    if written != [_checksum(stored[start : start + STRIP]) for start in range(0, len(stored), STRIP)]:
        raise InputError(
            f"{path}: is missing or damaged (its checksums are not those of its pixels); {remedy}"
        )
    return stored[first - top : stop - top, columns or slice(None)].astype(np.float32) / np.float32(
        FULL_SCALE
    )


def _checksum(strip: np.ndarray) -> str:
    """The checksum of a strip of a map, (rows, W) uint16, its shape included."""
    return f"{zlib.crc32(strip.astype('<u2').tobytes(), strip.shape[0] << 20 ^ strip.shape[1]):08x}"


def check_probability(path: Path) -> None:
    """Raise InputError unless the map is there down to its last row, which a file that was cut off lacks."""
    read_probability(path, rows=slice(-1, None))


@contextmanager
def probability_writer(path: Path, height: int, width: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that takes a map's rows, (any, W) in 0..1, from top to bottom, in parts as they come.

    The bytes do not depend on the parts. Raises ValueError when a value is no probability, or when the block
    ends before the last row. Whatever goes wrong, no file is left.
    """
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint16"}
    packed = {"compress": "deflate", "zlevel": 1, "predictor": 2, "blockysize": STRIP, "bigtiff": "if_safer"}
    try:
        with _raster(path, "w", **profile, **packed) as tiff:
            strips = _Strips(path, tiff)
            yield strips.write
            strips.complete()
    except RasterioError as error:  # which does not say that the disk is full
        full = shutil.disk_usage(path.parent).free < 2 * width * STRIP
        number = errno.ENOSPC if full else errno.EIO
        path.unlink(missing_ok=True)
        raise OSError(number, os.strerror(number), str(path)) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _Strips:
    """Rows of a probability map on their way to disk, by strips: half of one would be compressed twice."""

    def __init__(self, path: Path, tiff: DatasetWriter) -> None:
        self.path, self.tiff, self.done = path, tiff, 0
        self.checksums: list[str] = []
        self.waiting = np.empty((0, tiff.width), np.uint16)

    def write(self, rows: np.ndarray) -> None:
        for start in range(0, len(rows), STRIP):
            part = rows[start : start + STRIP]
            if not (part.min() >= 0 and part.max() <= 1):  # not so for nan either
                raise ValueError(
                    f"{self.path}: holds {part.min()} to {part.max()}, which are no probabilities"
                )
            stored = np.rint(part * FULL_SCALE).astype(np.uint16)
            self.waiting = np.concatenate([self.waiting, stored])
            ends = self.done + len(self.waiting) == self.tiff.height
            if len(self.waiting) >= STRIP or ends:
                self._put(self.waiting[:STRIP])
                self.waiting = self.waiting[STRIP:]
            if ends and len(self.waiting):
                self._put(self.waiting)

    def _put(self, strip: np.ndarray) -> None:
        place = Window(0, self.done, self.tiff.width, len(strip))  # pyright: ignore[reportCallIssue]
        self.tiff.write(strip, 1, window=place)
        self.done += len(strip)
        self.checksums.append(_checksum(strip))

    def complete(self) -> None:
        if self.done != self.tiff.height:
            rows = self.done + len(self.waiting)
            raise ValueError(f"{self.path}: {rows} of {self.tiff.height} rows were written")
        self.tiff.update_tags(**{CHECKSUMS: " ".join(self.checksums)})


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with _raster(path, "w", photometric="RGB", **profile) as tiff:
        tiff.write(np.moveaxis(image, -1, 0))


def _read(path: Path, flags: int) -> np.ndarray:
    """A PNG that a stage wrote. OpenCV holds it against its checksums, as it does for no other format."""
    array = None
    with suppress(InputError, cv2.error):  # OpenCV's: it claims to be larger than OpenCV reads
        if path.is_file() and _driver(path) == "PNG":
            array = cv2.imread(str(path), flags)
    if array is None:
        raise InputError(f"{path}: is missing or damaged; run `dvc repro` to make it again")
    return array


def _write(path: Path, array: np.ndarray) -> None:
    if not cv2.imwrite(str(path), array):
        raise OSError(f"{path}: could not be written (disk full?)")


def resize_image_file(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """`read_resized` from one file to another."""
    write_rgb(target, read_resized(source, shape))


def resize_mask_file(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """`resize_mask` from one file to another."""
    write_mask(target, resize_mask(read_mask(source), shape))
