"""The competition's metric, the interval of its mean, and the baselines that a model has to beat."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

LEVEL = 95  # per cent, of intervals
LOG_OF_LEVEL = np.log((np.arange(256, dtype=np.float32) + 1) / 256)
Rows = Callable[
    [int, int], np.ndarray
]  # of an RGB image those from top to bottom, (bottom - top, W, 3) uint8

BLOCK_ROWS = 64  # few enough for the processor's cache


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice = 2|X and Y| / (|X| + |Y|) of two (H, W) masks of 0 and 1; two empty masks give 1.

    Source: https://www.kaggle.com/competitions/hubmap-organ-segmentation/overview/evaluation
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape} but truth is {truth.shape}")
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else 1.0


def interval(
    values: np.ndarray, *, draws: int, seed: int, groups: Sequence[str] | None = None
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of (images,) values: what other images may give.

    Where the group of each image is given, whole groups are drawn, and the mean is that of all their images:
    what images of other patients may give. Images of one patient agree, so that an interval that takes them
    for independent is too narrow. Groups of one image give the interval without groups, to the bit.
    There have to be two `units` or more. Each starts from the same `seed`, so that equal input gives equal
    bytes.
    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (strategy 1).
    """
    members = _members(len(values), groups)
    sums, sizes = np.bincount(members, weights=values), np.bincount(members)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def units(count: int, groups: Sequence[str] | None) -> int:
    """How much an interval of `count` images is drawn from: groups where they are given, or else images."""
    return count if groups is None else len(set(groups))


def _members(count: int, groups: Sequence[str] | None) -> np.ndarray:
    """(count,) the number of each image's group, in the order in which groups first appear."""
    if groups is None:
        return np.arange(count)
    number = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    return np.array([number[name] for name in groups])


def otsu_mask(rows: Rows, shape: tuple[int, int]) -> np.ndarray:
    """Foreground by colour alone: Otsu's threshold on the optical density of an image of `shape` (H, W).

    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076. Denser than the threshold is 1.
    """
    density = optical_density(rows, shape)
    scaled = cv2.normalize(density, density, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def optical_density(rows: Rows, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: the sum over channels of -log((level + 1) / 256)."""
    total = np.empty(shape, np.float32)
    for top in range(0, len(total), BLOCK_ROWS):
        block = total[top : top + BLOCK_ROWS]
        planes = np.moveaxis(rows(top, top + len(block)), -1, 0)
        first, *others = (cv2.LUT(plane, LOG_OF_LEVEL) for plane in planes)
        np.negative(sum(others, start=first), out=block)
    return total


def baseline_dice(rows: Rows, truth: np.ndarray, classes: int = 1) -> dict[str, float]:
    """Dice of three predictions that nobody trained: nothing, everything, and Otsu's threshold.

    Of several classes the mean over them, each taken for the only one, which flatters the baselines.
    """
    dense = otsu_mask(rows, truth.shape)
    each = []
    for number in range(1, classes + 1):
        own = truth == number
        area = np.count_nonzero(own)
        everything = 2 * area / (truth.size + area)
        each.append((0.0 if area else 1.0, everything, dice(dense, own)))
    return dict(zip(("nothing", "everything", "otsu"), np.mean(each, axis=0).tolist(), strict=True))
