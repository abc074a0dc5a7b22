"""Odd image files and what else could decide over pixels, for pixels.yaml."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from ruamel.yaml import YAML

from ftu.datasets import image_files
from ftu.datasets.sample import write_sample
from imports import ROOT

RUN = ["decode", "resize"]


def project(folder: Path) -> None:
    """The parameters and a data set of four images, one of which has dark pixels, for masks to hide."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params["resize"]["side"] = 64
    yaml.dump(params, folder / "params.yaml")
    (folder / "data/sample").mkdir(parents=True)
    write_sample(folder / "data/sample", train=2, test=2, seed=0)
    image = pixels(folder)
    image[:, : image.shape[1] // 2] = image[:, : image.shape[1] // 2] // 8 * 8
    image[::3, ::3] = 0
    image_files.write_tiff(file(folder), image)


def file(folder: Path) -> Path:
    """The image that becomes odd."""
    return sorted((folder / "data/sample/test_images").iterdir())[0]


def pixels(folder: Path) -> np.ndarray:
    return image_files.read_image(file(folder))


def tiff(folder: Path, **profile: Any) -> None:
    """The same pixels as another TIFF, by options of GDAL's driver."""
    image = pixels(folder)
    height, width, _ = image.shape
    form = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(file(folder), "w", **form | profile) as written:
        written.write(np.moveaxis(image, -1, 0))


def overviews(folder: Path) -> None:
    """Overviews that are the negative of the image."""
    image = pixels(folder)
    image_files.write_tiff(file(folder), 255 - image)
    with rasterio.open(file(folder), "r+") as written:
        written.build_overviews([2, 4])
    with rasterio.open(file(folder), "r+") as written:
        written.write(np.moveaxis(image, -1, 0))


def sparse(folder: Path) -> None:
    """A TIFF without a single tile."""
    height, width, _ = pixels(folder).shape
    form = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        file(folder), "w", **form, photometric="RGB", sparse_ok=True, tiled=True, compress="lzw"
    ):
        pass
