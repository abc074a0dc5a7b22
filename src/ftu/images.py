"""The only reader and writer of images, (H, W, 3) uint8 RGB, and of masks, (H, W) uint8 of 0 and 1."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ftu import raster, rle
from ftu.errors import InputError

AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel
SCREEN = 20.0  # um per px: coarser resolutions were stated for screens and printers


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    if not path.is_file():
        raise InputError(f"{path}: image is missing; restore it or remove its row from the table")
    try:
        with raster.opened(path, driver=raster.driver_of(path)) as image:
            if image.count != 3 or set(image.dtypes) != {"uint8"}:
                raise InputError(
                    f"{path}: has {image.count} bands of {image.dtypes[0]}; "
                    "an image must have 3 bands (RGB) of uint8"
                )
            if fault := raster.size_fault(path, image):
                raise InputError(
                    f"{path}: cannot be read as an image ({fault}); fetch the file again, or cut it into "
                    "parts"
                )
            yield image
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


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
        return cv2.merge(list(image.read()))


def read_resized(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image at `shape` (height, width): area average where it shrinks, bilinear where an axis grows.

    The decimated read never holds the native image as an array of ours.
    """
    with _open(path) as image:
        shrinks = image.height >= shape[0] and image.width >= shape[1]
        resampling = Resampling.average if shrinks else Resampling.bilinear
        bands = image.read(out_shape=(3, *shape), resampling=resampling)
    return cv2.merge(list(bands))


def resize_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask at `shape` (height, width), nearest neighbour on pixel centres."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def read_rgb(path: Path) -> np.ndarray:
    """An 8-bit RGB image that a stage wrote, (H, W, 3) uint8."""
    return cv2.merge(list(_read_png(path, 3)))


def write_rgb(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image as PNG."""
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def read_mask(path: Path) -> np.ndarray:
    """A mask that a stage wrote, (H, W) uint8 of 0 and 1."""
    return (_read_png(path, 1)[0] > 127).view(np.uint8)


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write an (H, W) mask of 0 and 1 as PNG of 0 and 255."""
    _write(path, mask * np.uint8(255))


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with raster.opened(path, "w", photometric="RGB", **profile) as tiff:
        tiff.write(np.moveaxis(image, -1, 0))


def check_squares(paths: Iterable[Path], side: int) -> None:
    """Raise InputError unless each PNG, which a stage wrote, is `side` x `side` px by its head."""
    for path in paths:
        shape = None
        with suppress(RasterioError), raster.opened(path, driver="PNG") as png:
            shape = png.shape
        if shape is None:
            raise _unreadable(path)
        if shape != (side, side):
            raise InputError(
                f"{path}: is {shape[0]} x {shape[1]} px (height x width) but resize.side is {side}; run "
                "`dvc repro` to make it again"
            )


def _unreadable(path: Path) -> InputError:
    return InputError(f"{path}: is missing or damaged; run `dvc repro` to make it again")


def _read_png(path: Path, count: int) -> np.ndarray:
    """(count, H, W) uint8 of a PNG that a stage wrote; InputError when it is missing, damaged, or another.

    GDAL decodes it in half the time that OpenCV takes or less, but may take a damaged one for whole.
    """
    if path.is_file() and _is_whole_png(path.read_bytes()):
        with suppress(RasterioError, MemoryError), raster.opened(path, driver="PNG") as png:
            bands = png.count in (count, count + 1) and set(png.dtypes) == {"uint8"}  # with alpha or without
            if bands and not raster.size_fault(path, png):
                return png.read(list(range(1, count + 1)))
    raise _unreadable(path)


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


def resize_image_file(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """`read_resized` from one file to another."""
    write_rgb(target, read_resized(source, shape))


def resize_mask_file(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """`resize_mask` from one file to another."""
    write_mask(target, resize_mask(read_mask(source), shape))


def decode_mask_file(target: Path, text: str, shape: tuple[int, int]) -> None:
    """Write the mask of an RLE at this (height, width)."""
    write_mask(target, rle.decode(text, height=shape[0], width=shape[1]))
