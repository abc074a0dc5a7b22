"""Small data sets as people have them, and the tool that turns them into the layout."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ftu_tools.dataset import make

SHAPE = (6, 9)  # height, width: never equal


def run(scratch: Path, *words: str | Path) -> str:
    """Run the tool; what its last line says."""
    scratch.mkdir(exist_ok=True)
    return make.make(make.parsed(list(map(str, words))), scratch)


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    """An image, by Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def picture(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Any pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def labelled(*values: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A mask with these values, one a row, 0 elsewhere."""
    mask = np.zeros(shape, np.uint8)
    for row, value in enumerate(values):
        mask[row, : row + 2] = value
    return mask


def mask_of(root: Path, name: str, part: str = "train") -> np.ndarray:
    """A mask that was made, its values as they are stored."""
    stored = cv2.imread(str(root / part / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.dtype == np.uint8
    assert stored.ndim == 2
    return stored


def image_of(root: Path, name: str, part: str = "train") -> np.ndarray:
    """An image that was made, (H, W) or (H, W, 3)."""
    (path,) = (root / part / "images").glob(f"{name}.*")
    return np.asarray(Image.open(path))


def write_json(path: Path, content: object) -> Path:
    """A file of annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def everything(folder: Path) -> dict[str, bytes]:
    """All files under a folder, with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
