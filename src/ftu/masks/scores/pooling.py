"""From images to volumes and data sets: what is counted is added up, what is scored is averaged.

Shapes: N images, V volumes, C classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Means(NamedTuple):
    """Means of scores that need not be defined for each image and class."""

    classes: np.ndarray  # (C,) over the images in which a class has a score, nan where there are none
    images: np.ndarray  # (C,) how many images these are
    mean: float  # over the classes that have a mean, each of the same weight; nan where none has


def pooled(counts: np.ndarray, volumes: Sequence[str]) -> np.ndarray:
    """(V, C, k) sums of counts (N, C, k) over the images of each volume, in order of first appearance."""
    number = {name: place for place, name in enumerate(dict.fromkeys(volumes))}
    sums = np.zeros((len(number), *counts.shape[1:]), counts.dtype)
    np.add.at(sums, [number[name] for name in volumes], counts)
    return sums


def ratio(part: np.ndarray, whole: np.ndarray, empty: float) -> np.ndarray:
    """part / whole, or `empty` where there is no whole, 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), empty, float), where=whole > 0)


def means(scores: np.ndarray) -> Means:
    """Of (N, C) scores, nan where undefined: over images first, over classes then.

    The order matters as soon as one is undefined: so classes weigh the same, however seldom they are.
    """
    classes = defined_mean(scores, axis=0)
    return Means(classes, np.count_nonzero(~np.isnan(scores), axis=0), float(defined_mean(classes, axis=0)))


def defined_mean(scores: np.ndarray, axis: int) -> np.ndarray:
    """The mean along an axis of what is not nan, nan where nothing is left."""
    defined = ~np.isnan(scores)
    return ratio(np.where(defined, scores, 0).sum(axis), np.count_nonzero(defined, axis), np.nan)
