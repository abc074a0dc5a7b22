"""The only reader and writer of pixels.

Images are (H, W, 3) uint8 RGB, masks (H, W) uint8 of 0 and 1 (0 and 255 on disk), probabilities
(H, W) float32 in 0..1 (0..65535 on disk).
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ftu.errors import InputError

FULL_SCALE = 65535  # a probability of 1 in a 16-bit artefact
AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel
SCREEN = 20.0  # um per px: coarser resolutions were stated for screens and printers


@contextmanager
def _open(path: Path) -> Iterator[DatasetReader]:
    """Open an RGB uint8 image for reading; anything else is an InputError that names the file."""
    if not path.is_file():
        raise InputError(f"{path}: image is missing; restore it or remove its row from the table")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes know no latitude
            with rasterio.open(path) as image:
                if image.count != 3 or set(image.dtypes) != {"uint8"}:
                    raise InputError(
                        f"{path}: has {image.count} bands of {image.dtypes[0]}; "
                        "an image must have 3 bands (RGB) of uint8"
                    )
                yield image
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def check_image(path: Path, shape: tuple[int, int], pixel_size: float) -> None:
    """Raise InputError unless the whole file reads as an RGB uint8 image of this (height, width).

    Raised as well where the file states another size of its pixels (um) than `pixel_size`.
    """
    with _open(path) as image:
        if image.shape != shape:
            raise InputError(
                f"{path}: is {image.height} x {image.width} px (height x width) but its row says "
                f"img_height {shape[0]}, img_width {shape[1]}; correct the table or the image"
            )
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
        ome = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]+)"', description)
        foreign = re.search(rf'PhysicalSize{axis}Unit="(?!µm|um)', description)
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


def read_probability(path: Path) -> np.ndarray:
    """A probability map that predict wrote, (H, W) float32 in 0..1."""
    return _read(path, cv2.IMREAD_UNCHANGED).astype(np.float32) / np.float32(FULL_SCALE)


def write_probability(path: Path, probability: np.ndarray) -> None:
    """Write an (H, W) probability map in 0..1 as 16-bit PNG, rounded to 1/65535; ValueError if it is none."""
    if not (probability.min() >= 0 and probability.max() <= 1):  # not so for nan either
        raise ValueError(
            f"{path}: holds {probability.min()} to {probability.max()}, which are no probabilities"
        )
    _write(path, np.rint(probability * FULL_SCALE).astype(np.uint16))


def write_tiff(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 image as the competition ships them: RGB, uncompressed, no georeference."""
    height, width, _ = image.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8", photometric="RGB"
        ) as tiff:
            tiff.write(np.moveaxis(image, -1, 0))


def _read(path: Path, flags: int) -> np.ndarray:
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
