"""The only reader and writer of raw images, (H, W, C) uint8, RGB or grey: what users bring."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.datasets import duplicates, image_checks, resolution
from ftu.errors import InputError
from ftu.files import gdal, limits

_OTHER = {  # what to do about an image of so many bands
    1: "is grey, and data.channels is 3; set data.channels: 1, or make it RGB: "
    "`magick {} -colorspace sRGB PNG24:OUT.png`",
    3: "has three bands, and data.channels is 1; set data.channels: 3, or make it grey: "
    "`magick {} -colorspace gray OUT.png`",
}


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB or grey uint8 TIFF, PNG or JPEG; anything else is an InputError that names the file."""
    with _opened(path, "image") as image:
        image_checks.check_bands(path, image)
        image_checks.check_whole(path, image)
        image_checks.check_one_page(path)
        image_checks.check_colours(path, image)
        yield image


@contextmanager
def _opened(path: Path, what: str) -> Iterator[DatasetReader]:
    """Open a TIFF, PNG or JPEG; anything else is an InputError that names the file and calls it `what`."""
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: is a link to {path.readlink()}, which is not there; put the {what} there")
    if not path.exists():
        raise InputError(f"{path}: {what} is missing; restore it or remove its row from the table")
    if fault := limits.file_fault(path):
        raise InputError(f"{path}: cannot be read as an image ({fault}); put the image itself there")
    image_checks.check_format(path)
    try:
        with gdal.undamaged(), gdal.opened(path, driver=gdal.driver_of(path)) as image:
            yield image
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut the image into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


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
            raise InputError(f"{path}: {_OTHER[image.count].format(path)}")
        if image.shape != shape:
            raise InputError(
                f"{path}: is {image.height} x {image.width} px (height x width) but its row says "
                f"img_height {shape[0]}, img_width {shape[1]}; correct the table or the image"
            )
        if pixel_size is not None:
            resolution.check(path, image.tags(), pixel_size)
        printed = resolution.printed(image.tags()) if pixel_size is not None else 0
        return {"hash": duplicates.picture_hash(image.read()), "printed": printed}


def stated_of(path: Path) -> dict[str, float]:
    """um per px along x and y as the file at `path` states them, empty where it states nothing."""
    with _open(path) as image:
        return resolution.stated(image.tags())


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
        image_checks.check_whole(path, image)
        image_checks.check_one_page(path)
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


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    profile = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    with gdal.written(path, photometric="RGB", **profile) as made:
        made.write(np.moveaxis(image, -1, 0))
