"""Probability maps as files, whole ones at once."""

from pathlib import Path

import numpy as np

from ftu.probabilities import map_file


def write_probability(path: Path, probability: np.ndarray) -> None:
    """Write an (H, W) map in 0..1; ValueError if it is none."""
    with map_file.writer(path, *probability.shape) as write:
        write(probability)
