"""Connected parts of a mask by its runs: some thousands in a mask of millions of pixels, which are read once.

A run is a stretch [start, stop) of one row. Its ends are counted through all rows, each row one place longer
than the mask is wide, so that the last run of a row and the first of the next never touch.
"""

from typing import NamedTuple

import numpy as np


class Components(NamedTuple):
    """The pixels of one value in a mask, by runs (R,) in reading order and by connected parts (C,)."""

    starts: np.ndarray
    stops: np.ndarray
    stride: int  # places from a run to what lies below it: the mask's width and one
    labels: np.ndarray  # (R,) in 0..C-1: the part of each run
    areas: np.ndarray  # (C,) px

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(C,) of integer values (R,): each part's sum over its runs."""
        return np.bincount(self.labels, values, len(self.areas)).astype(np.int64)  # exact below 2**53

    def at_border(self, height: int) -> np.ndarray:
        """(C,) bool: whether a part has a pixel in the first or last row or column."""
        rows, left = np.divmod(self.starts, self.stride)
        right = self.stops - rows * self.stride
        outer = (rows == 0) | (rows == height - 1) | (left == 0) | (right == self.stride - 1)
        touching = np.zeros(len(self.areas), bool)
        touching[self.labels[outer]] = True
        return touching

    def switched(self, mask: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """The mask (H, W) that all this was found in with some `parts`, (C,) bool, of the other value."""
        if not parts.any():
            return mask
        chosen = parts[self.labels]
        starts, lengths = self.starts[chosen], (self.stops - self.starts)[chosen]
        starts = starts - starts // self.stride  # counted through rows as wide as the mask
        made = mask.copy()
        made.reshape(-1)[_ranges(starts, lengths)] ^= 1
        return made


def find(mask: np.ndarray, value: int, connectivity: int) -> Components:
    """The parts of an (H, W) uint8 mask of 0 and 1 that hold `value`; connectivity is 4 or 8."""
    height, width = mask.shape
    ends = np.empty((height, width + 1), bool)
    ends[:, 0], ends[:, -1] = mask[:, 0] == value, mask[:, -1] == value
    np.not_equal(mask[:, 1:], mask[:, :-1], out=ends[:, 1:-1])
    starts, stops = np.flatnonzero(ends).reshape(-1, 2).T
    return joined(starts, stops, width + 1, connectivity)


def joined(starts: np.ndarray, stops: np.ndarray, stride: int, connectivity: int) -> Components:
    """The parts that runs in reading order form: of a mask that is too large to be held, all one needs."""
    labels, count = _labels(starts, stops, stride, 1 if connectivity == 8 else 0)
    areas = np.bincount(labels, stops - starts, count).astype(np.int64)
    return Components(starts, stops, stride, labels, areas)


def running_sum(values: np.ndarray) -> np.ndarray:
    """Of (H, W) integers what lies before each place of a run's end: two of it tell what lies in the run."""
    wide = np.pad(values, ((0, 0), (0, 1)))
    return np.concatenate([[0], np.cumsum(wide, dtype=np.int64)])


def _labels(starts: np.ndarray, stops: np.ndarray, stride: int, reach: int) -> tuple[np.ndarray, int]:
    """The part of each run, and how many there are: a run touches those below it, `reach` past its ends."""
    first = np.searchsorted(stops, starts + stride - reach, "right")
    below = np.maximum(np.searchsorted(starts, stops + stride + reach, "left") - first, 0)
    upper, lower = np.repeat(np.arange(len(starts)), below), _ranges(first, below)
    roots = np.arange(len(starts))
    while len(upper):  # at least every second root that has a pair is gone after two rounds
        np.minimum.at(roots, np.maximum(roots[upper], roots[lower]), np.minimum(roots[upper], roots[lower]))
        while (further := roots[roots]).tobytes() != roots.tobytes():
            roots = further
        apart = roots[upper] != roots[lower]
        upper, lower = upper[apart], lower[apart]
    first_runs, labels = np.unique(roots, return_inverse=True)
    return labels, len(first_runs)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """All of range(start, start + length), one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
