"""Probability maps as files, whole ones at once."""

from pathlib import Path

import numpy as np

from ftu import probabilities


def write_probability(path: Path, probability: np.ndarray) -> None:
    """Write an (H, W) map in 0..1; ValueError if it is none."""
    with probabilities.writer(path, *probability.shape) as write:
        write(probability)
