"""A map too large to be cut whole, cut by rows: the objects that `masks.cutting` and `masks.classes` find.

Shapes: (h, w) the map; C classes. Runs are those of `masks.components`: stretches [start, stop) of a row.
"""

from typing import NamedTuple

import numpy as np

from ftu.masks import classes, components, cutting
from ftu.masks.classes import ClassRule
from ftu.masks.components import Components
from ftu.masks.cutting import Method, Rule
from ftu.probabilities.map_file import FULL_SCALE

ROWS = 256  # at a time
SAMPLE = 2**24  # px, of a map that a threshold is computed of


class Runs(NamedTuple):
    """The pixels of one value, in reading order."""

    starts: np.ndarray
    stops: np.ndarray
    width: int
    height: int

    def joined(self, connectivity: int) -> Components:
        return components.joined(self.starts, self.stops, self.width + 1, connectivity)

    def gaps(self) -> "Runs":
        """The pixels of every other value."""
        first = np.arange(self.height) * (self.width + 1)
        starts = np.sort(np.concatenate([first, self.stops]))
        stops = np.sort(np.concatenate([self.starts, first + self.width]))
        there = stops > starts
        return self._replace(starts=starts[there], stops=stops[there])

    def plus(self, starts: np.ndarray, stops: np.ndarray) -> "Runs":
        """With more runs, of pixels that were not in it."""
        starts, stops = (
            np.sort(np.concatenate(pair)) for pair in ((self.starts, starts), (self.stops, stops))
        )
        if not len(starts):
            return self
        apart = starts[1:] != stops[:-1]  # runs that touch are one
        return self._replace(starts=starts[np.r_[True, apart]], stops=stops[np.r_[apart, True]])

    def chosen(self, which: np.ndarray) -> "Runs":
        return self._replace(starts=self.starts[which], stops=self.stops[which])

    def counted(self, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """How many of its pixels lie in each stretch [start, stop)."""
        before = np.concatenate([[0], np.cumsum(self.stops - self.starts)])

        def until(places: np.ndarray) -> np.ndarray:
            run = np.searchsorted(self.starts, places, "right") - 1
            inside = np.minimum(places, self.stops[run]) - self.starts[run] if len(self.starts) else 0
            return np.where(run >= 0, before[run] + inside, 0)

        return until(stops) - until(starts)


def cut(map_: np.ndarray, rule: Rule | ClassRule, *, pixel_area: float, method: Method) -> list[Components]:
    """The objects of each class in a (C, h, w) uint16 map, `pixel_area` um2 a pixel.

    As the two `cut` would, but that a threshold which hangs on the map is computed from an even sample of it,
    and never lowered for an empty mask.
    """
    if isinstance(rule, ClassRule):
        found = _by_class(map_)
        sizes = list(zip(rule.smallest_object, rule.largest_hole, strict=True))
    else:
        found = [_above(map_[0], _threshold(map_[0], rule, method))]
        sizes = [(rule.smallest_object, rule.largest_hole)]
    kept = []
    for number, (smallest, largest) in enumerate(sizes):
        others = found[:number] + found[number + 1 :]
        filled = _fill_holes(found[number], others, largest / pixel_area)
        objects = filled.joined(8)
        large = (objects.areas * pixel_area >= smallest)[objects.labels]
        found[number] = filled.chosen(large)
        kept.append(found[number].joined(8))
    return kept


def _threshold(map_: np.ndarray, rule: Rule, method: Method) -> float:
    step = max(int(np.ceil((map_.size / SAMPLE) ** 0.5)), 1)
    return cutting.METHODS[method](_probability(map_[::step, ::step]), rule)


def _probability(stored: np.ndarray) -> np.ndarray:
    return stored.astype(np.float32) / np.float32(FULL_SCALE)


def _above(map_: np.ndarray, threshold: float) -> Runs:
    height, width = map_.shape
    tops = range(0, height, ROWS)
    return _assembled(
        [_runs(_probability(map_[top : top + ROWS]) > threshold, top) for top in tops], width, height
    )


def _by_class(map_: np.ndarray) -> list[Runs]:
    count, height, width = map_.shape
    parts: list[list] = [[] for _ in range(count)]
    for top in range(0, height, ROWS):
        likeliest = classes.likeliest(_probability(map_[:, top : top + ROWS]))
        for number, own in enumerate(parts, start=1):
            own.append(_runs(likeliest == number, top))
    return [_assembled(own, width, height) for own in parts]


def _runs(mask: np.ndarray, top: int) -> np.ndarray:
    """(2, R) starts and stops of the runs of an (any, w) bool mask whose first row is `top`."""
    ends = np.diff(np.pad(mask, ((0, 0), (1, 1))), axis=1)  # (any, w + 1)
    return np.flatnonzero(ends).reshape(-1, 2).T + top * ends.shape[1]


def _assembled(parts: list[np.ndarray], width: int, height: int) -> Runs:
    starts, stops = np.concatenate(parts, axis=1)
    return Runs(starts, stops, width, height)


def _fill_holes(own: Runs, others: list[Runs], largest: float) -> Runs:
    """With its holes of up to `largest` px that are background alone."""
    if not largest:
        return own
    gaps = own.gaps()
    around = gaps.joined(4)
    fits = (around.areas <= largest) & ~around.at_border(own.height)
    for other in others:
        fits &= around.sums(other.counted(gaps.starts, gaps.stops)) == 0
    holes = gaps.chosen(fits[around.labels])
    return own.plus(holes.starts, holes.stops)
