"""The only reader and writer of raw images, (H, W, 3) uint8 RGB: what users bring."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.datasets import duplicates
from ftu.errors import InputError
from ftu.files import gdal

AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel


SCREEN = 20.0  # um per px: coarser resolutions were stated for screens and printers


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    if not path.is_file():
        raise InputError(f"{path}: image is missing; restore it or remove its row from the table")
    try:
        with gdal.opened(path, driver=gdal.driver_of(path)) as image:
            if image.count != 3 or set(image.dtypes) != {"uint8"}:
                raise InputError(
                    f"{path}: has {image.count} bands of {image.dtypes[0]}; "
                    "an image must have 3 bands (RGB) of uint8"
                )
            if fault := gdal.size_fault(path, image):
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
def rgb_rows(path: Path) -> Iterator[gdal.Rows]:
    """Yield a function that reads rows of an RGB file, PNG and TIFF alike; ask for a PNG's from the top."""
    with _open(path) as image:
        yield gdal.rows_of(image)


def image_shape(path: Path) -> tuple[int, int]:
    """(height, width) in px of an RGB file, from its head."""
    with _open(path) as image:
        return image.shape


def check_image(path: Path, shape: tuple[int, int], pixel_size: float | None = None) -> dict[str, str]:
    """Raise InputError unless the whole file reads as an RGB uint8 image of this (height, width).

    Returns its `hash`, by which one picture under two names is found: all pixels are at hand here.

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
        return {"hash": duplicates.picture_hash(image.read())}


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


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with gdal.opened(path, "w", photometric="RGB", **profile) as tiff:
        tiff.write(np.moveaxis(image, -1, 0))
