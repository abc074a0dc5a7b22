"""What is installed: the packages that the users named, and one OpenCV only."""

from importlib.metadata import distributions, version

import pytest

NAMED = (
    "torch",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "staintools",
    "pandas",
    "rasterio",
    "dvc",
    "numpy",
    "ttach",
)


@pytest.mark.parametrize("package", NAMED)
def test_a_named_package_is_installed(package: str) -> None:
    assert version(package)


def test_there_is_one_opencv_and_it_is_headless() -> None:
    found = {distribution.name.lower() for distribution in distributions()}
    assert {name for name in found if name.startswith("opencv")} == {"opencv-python-headless"}
