"""Probability maps of one class as files, whole ones at once."""

from pathlib import Path

import numpy as np

from ftu.probabilities import map_file


def write_probability(path: Path, probability: np.ndarray) -> None:
    """Write an (H, W) map in 0..1; ValueError if it is none."""
    with map_file.writer(path, *probability.shape) as write:
        write(probability[None])


def read_probability(path: Path, rows: slice | None = None, columns: slice | None = None) -> np.ndarray:
    """An (H, W) map, or these rows and columns of it."""
    (only,) = map_file.read(path, rows, columns)
    return only
