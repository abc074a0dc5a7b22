"""The only reader and writer of raw images, (H, W, 3) uint8 RGB: what users bring."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.datasets import duplicates
from ftu.errors import InputError, some
from ftu.files import gdal, orientation

AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel


PRINT = 10.5  # um per px: coarser resolutions, up to 2,400 dots an inch, are those of screens and printers
INCH = 25400.0  # um


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    if not path.is_file():
        raise InputError(
            f"{path}: image is missing, or is no regular file; restore it or remove its row from the table"
        )
    if (turned := orientation.of(path)) != orientation.AS_STORED:
        raise InputError(
            f"{path}: is to be shown turned (Orientation {turned}), which masks and tables do not know of; "
            f"turn its pixels, as with `magick mogrify -auto-orient '{path.name}'`"
        )
    try:
        with gdal.opened(path, driver=gdal.driver_of(path)) as image:
            _check_colours(path, image)
            if fault := gdal.size_fault(path, image):
                raise InputError(
                    f"{path}: cannot be read as an image ({fault}); fetch the file again, or cut it into "
                    "parts"
                )
            if fault := gdal.gap(path, image):
                raise InputError(f"{path}: cannot be read as an image ({fault}); fetch the file again")
            yield image
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def _check_colours(path: Path, image: DatasetReader) -> None:
    """Raise InputError unless an open image has RGB pixels of uint8, which says what else it has."""
    meant = "an image must have 3 bands (RGB) of uint8"
    space = image.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "RGB")
    if space not in ("RGB", "YCbCr"):
        raise InputError(
            f"{path}: has colours of {space}; {meant}; convert it, as with `magick '{path.name}' -colorspace "
            f"sRGB -type TrueColor '{path.stem}.tiff'`"
        )
    if image.count != 3 or set(image.dtypes) != {"uint8"}:
        kinds = ", ".join(band.name for band in image.colorinterp)
        raise InputError(
            f"{path}: has {image.count} bands of {image.dtypes[0]} ({kinds}); {meant}; convert it, as with "
            f"`magick '{path.name}' -alpha off -depth 8 -type TrueColor '{path.stem}.tiff'`"
        )


@contextmanager
def rgb_rows(path: Path) -> Iterator[gdal.Rows]:
    """Yield a function that reads rows of an RGB file, PNG and TIFF alike; ask for a PNG's from the top."""
    with _open(path) as image:
        yield gdal.rows_of(image)


def image_shape(path: Path) -> tuple[int, int]:
    """(height, width) in px of an RGB file, from its head."""
    with _open(path) as image:
        return image.shape


def check_image(path: Path, shape: tuple[int, int], pixel_size: float | None = None) -> dict[str, str | int]:
    """Raise InputError unless the whole file reads as an RGB uint8 image of this (height, width).

    Returns its `hash`, by which one picture under two names is found: all pixels are at hand here; and `dpi`
    where its tags have a resolution for print, which says nothing of tissue.

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
        size = _resolution(image.tags(), "X")
        printed = {"dpi": round(INCH / size)} if size >= PRINT else {}
        return {"hash": duplicates.picture_hash(image.read())} | printed


def print_warning(dpis: Sequence[float]) -> str:
    """A sentence on the images whose tags have a resolution for print (dots an inch), '' for none."""
    if not dpis:
        return ""
    return (
        f"{len(dpis)} image{'s' * (len(dpis) > 1)} with a resolution for print or screen "
        f"({some(f'{dpi:g} dpi' for dpi in sorted(set(dpis)))}), which is not that of the tissue; pixel_size "
        "of the table counts"
    )


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

    A resolution coarser than 10.5 um per px is one for print or screen (72 to 2,400 dots an inch).
    Sources: TIFF 6.0 section 8 (XResolution, ResolutionUnit); OME-XML, Pixels/@PhysicalSizeX.
    """
    description, stated = tags.get("TIFFTAG_IMAGEDESCRIPTION", ""), {}
    for axis in "XY":
        ome = re.search(rf'PhysicalSize{axis}="(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"', description)
        foreign = re.search(rf'PhysicalSize{axis}Unit="(?!µm|um|&#181;m|&#xB5;m)', description)
        if ome and not foreign:
            stated[axis.lower()] = float(ome[1])
        elif 0 < (size := _resolution(tags, axis)) < PRINT:
            stated[axis.lower()] = size
    return stated


def _resolution(tags: dict[str, str], axis: str) -> float:
    """um per px along the axis (X, Y) by the resolution of a TIFF's tags, 0 where there is none."""
    unit = {"2": INCH, "3": 10000.0}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "1")[:1], 0.0)  # inch, cm
    try:
        resolution = float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "0"))
    except ValueError:  # the text of a PNG
        return 0.0
    return unit / resolution if 0 < resolution < float("inf") else 0.0


def read_image(path: Path) -> np.ndarray:
    """The image at native size, (H, W, 3) uint8 RGB."""
    with _open(path) as image:
        return cv2.merge(list(image.read()))


def read_resized(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The image at `shape` (height, width): area average where it shrinks, bilinear where an axis grows.

    Of the file only its pixels at full resolution count. A read that resizes would also take a pyramid's
    levels, leave out what a nodata tag or a mask calls invalid, and decode a JPEG at a reduced scale.
    """
    with _open(path) as image:
        bands = image.read()
    shrinks = bands.shape[1] >= shape[0] and bands.shape[2] >= shape[1]
    with gdal.in_memory(bands) as plain:
        bands = plain.read(
            out_shape=(3, *shape), resampling=Resampling.average if shrinks else Resampling.bilinear
        )
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
