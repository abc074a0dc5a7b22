"""What is installed: the packages that the users named, each of them used, and one OpenCV only."""

import ast
import re
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

from imports import ROOT

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


@pytest.mark.parametrize("package", NAMED)
def test_a_named_package_is_declared(package: str) -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert package in [re.split("[^a-z0-9-]", entry)[0] for entry in dependencies]


@pytest.mark.parametrize("package", sorted(set(NAMED) - {"dvc"}))  # dvc runs the stages
def test_a_named_package_is_imported_by_the_library(package: str) -> None:
    users = {path.stem for path in (ROOT / "src/ftu").rglob("*.py") if package in imported(path)}
    assert users
    assert package != "staintools" or users == {"staintools_backend"}


ENDED = ("albumentations", "staintools", "ttach")  # docs/successors.md


@pytest.mark.parametrize("package", ENDED)
def test_a_library_that_ended_is_imported_by_the_one_module_that_its_page_names(package: str) -> None:
    users = [
        str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py") if package in imported(path)
    ]
    page = (ROOT / "docs/successors.md").read_text(encoding="utf-8")
    assert users == re.findall(rf"^\| {package} \| (\S+) \|", page, re.MULTILINE)


def imported(path: Path) -> set[str]:
    """What a file itself imports, with the names that packages are installed under."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
    return {module.split(".")[0].replace("_", "-") for module in modules}


def test_there_is_one_opencv_and_it_is_headless() -> None:
    found = {distribution.name.lower() for distribution in distributions()}
    assert {name for name in found if name.startswith("opencv")} == {"opencv-python-headless"}
