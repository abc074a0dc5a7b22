"""Dice and IoU of each class, from counts of pixels.

Counts add up: a volume's are the sums over its slices, a data set's those over its images. So a table of the
counts of images gives every score of this kind, and no mask is read twice.
"""

import numpy as np

from ftu.masks.scores import label_maps, pooling

COUNTS = ("both", "predicted", "true")  # px of a class in both maps, in the prediction, in the truth


def count(prediction: np.ndarray, truth: np.ndarray, *, classes: int) -> np.ndarray:
    """(C, 3) int64: COUNTS of each class of two label maps, of an image or of all slices of a volume.

    Raises ValueError where they are no pair of label maps.
    """
    label_maps.check(prediction, truth, classes=classes)
    return np.array(
        [_of_class(prediction == label, truth == label) for label in range(1, classes + 1)], np.int64
    )


def dice(counts: np.ndarray, *, empty: float = 1.0) -> np.ndarray:
    """(...) Dice = 2 both / (predicted + true), 0..1, of counts (..., 3).

    `empty` is for a class in neither map: 1 in the competition, and here; nan leaves it out of means.
    """
    both, predicted, true = np.moveaxis(counts, -1, 0)
    return pooling.ratio(2 * both, predicted + true, empty)


def iou(counts: np.ndarray, *, empty: float = 1.0) -> np.ndarray:
    """(...) IoU = both / (predicted + true - both), 0..1, of counts (..., 3): Jaccard's index.

    `empty` is for a class in neither map, as of `dice`; 0 is the convention of papers whose code adds a small
    number to the denominator alone.
    """
    both, predicted, true = np.moveaxis(counts, -1, 0)
    return pooling.ratio(both, predicted + true - both, empty)


def _of_class(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, ...]:
    """COUNTS of two masks."""
    return tuple(int(np.count_nonzero(mask)) for mask in (prediction & truth, prediction, truth))
