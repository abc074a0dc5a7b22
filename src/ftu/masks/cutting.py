"""From probabilities to masks: the one path that evaluate, calibrate and submit take.

A map is resized to native size before it is cut, because a mask cut at low resolution has stairs for an
outline. After the cut holes are filled, then small objects dropped, both by their area in um2.

Objects are 8-connected and holes 4-connected. Only with such an opposed pair does a closed outline, which may
run diagonally, part inside from outside (Rosenfeld 1970, doi:10.1145/321556.321570): with 8 for both, a hole
would leak through the corners of its own wall.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from ftu.masks import components
from ftu.masks.components import Components

Method = Literal["table", "otsu", "quantile", "argmax"]  # argmax: of several classes, see classes.py
Guard = Literal["off", "warn", "lower"]

BINS = 256  # of Otsu's histogram
STEP = 0.8  # by which the guard lowers a threshold, time and again
FINEST = 1 / 65535  # of a probability on disk: below it nothing is left to be lowered


class Rule(NamedTuple):
    """How the images of one organ and source are cut."""

    threshold: float  # probability, 0..1
    smallest_object: float  # um2: what is smaller is dropped
    largest_hole: float  # um2: what is larger stays open
    foreground: float  # share of the pixels that the training masks hold, nan where none is known


class Cut(NamedTuple):
    """A mask, (H, W) uint8 of 0 and its classes, and how it came about."""

    mask: np.ndarray
    threshold: float  # the one used; nan where there is none
    action: str  # of the never-empty guard: "" none, "empty" left empty, "lowered"
    asked: float  # the threshold before the guard
    objects: int  # left in the mask


def cut(probability: np.ndarray, rule: Rule, *, pixel_size: float, method: Method, never_empty: Guard) -> Cut:
    """Cut an (H, W) float32 map of native size into a mask: 1 above the threshold that `method` gives.

    `pixel_size` is in um. Where nothing is left, the guard `never_empty` says so (warn) or lowers the
    threshold (lower): by `STEP` each time, until one object survives. Steps rather than the highest threshold
    that leaves an object: that would leave a single pixel. Raises ValueError for the method quantile when the
    rule knows no foreground share.
    """
    asked = METHODS[method](probability, rule)
    mask, objects = _tidied(probability, asked, rule, pixel_size)
    if objects:
        return Cut(mask, asked, "", asked, objects)
    if never_empty == "lower":
        for threshold in _lowered(asked, float(probability.max())):
            mask, objects = _tidied(probability, threshold, rule, pixel_size)
            if objects:
                return Cut(mask, threshold, "lowered", asked, objects)
    return Cut(mask, asked, "" if never_empty == "off" else "empty", asked, 0)


def fill_holes(mask: np.ndarray, *, pixel_size: float, largest: float) -> np.ndarray:
    """Close the holes of up to `largest` um2: background that is not connected to the image's border."""
    if not largest:
        return mask
    background, areas = find_holes(mask)
    return background.switched(mask, areas * pixel_size**2 <= largest)


def find_holes(mask: np.ndarray) -> tuple[Components, np.ndarray]:
    """The parts of the background, and the area of each, px: infinite where it is no hole."""
    background = components.find(mask, 0, connectivity=4)
    return background, np.where(background.at_border(len(mask)), np.inf, background.areas)


def drop_objects(mask: np.ndarray, *, pixel_size: float, smallest: float) -> tuple[np.ndarray, int]:
    """Drop the objects of less than `smallest` um2, and count those that are left."""
    objects = components.find(mask, 1, connectivity=8)
    small = objects.areas * pixel_size**2 < smallest
    return objects.switched(mask, small), int(np.count_nonzero(~small))


def otsu_threshold(probability: np.ndarray) -> float:
    """The edge of 256 equal bins, from the smallest to the largest value, that best parts the map in two.

    Best is the largest variance between the classes (Otsu 1979, doi:10.1109/TSMC.1979.4310076); among equals
    the lowest. A constant map has its value for threshold, so that nothing lies above it.
    """
    low, high = float(probability.min()), float(probability.max())
    if low == high:
        return high
    counts, edges = np.histogram(probability.astype(np.float64), BINS, (low, high))  # however close they are
    centres = (edges[:-1] + edges[1:]) / 2
    below, moment = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    above, moment_above = probability.size - below, moment[-1] - moment[:-1]
    between = below * above * (moment[:-1] / below - moment_above / above) ** 2  # the end bins are not empty
    return float(edges[1 + np.argmax(between)])


def quantile_threshold(probability: np.ndarray, share: float) -> float:
    """The value that a `share` of the pixels lies above, less those that equal it."""
    if not 0 <= share <= 1:  # nan neither
        raise ValueError(f"no quantile leaves a share of {share} of the pixels")
    kept = min(round(share * probability.size), probability.size - 1)
    return float(np.partition(probability, -1 - kept, axis=None)[-1 - kept])


METHODS: dict[str, Callable[[np.ndarray, Rule], float]] = {
    "table": lambda _, rule: rule.threshold,
    "otsu": lambda probability, _: otsu_threshold(probability),
    "quantile": lambda probability, rule: quantile_threshold(probability, rule.foreground),
}


def _tidied(
    probability: np.ndarray, threshold: float, rule: Rule, pixel_size: float
) -> tuple[np.ndarray, int]:
    """The mask, and how many objects it holds."""
    mask = (probability > threshold).view(np.uint8)
    mask = fill_holes(mask, pixel_size=pixel_size, largest=rule.largest_hole)
    return drop_objects(mask, pixel_size=pixel_size, smallest=rule.smallest_object)


def _lowered(threshold: float, highest: float) -> Iterator[float]:
    """`threshold` times STEP, STEP squared, ... as far as it has a meaning and something lies above it."""
    while (threshold := threshold * STEP) >= FINEST:
        if threshold < highest:
            yield threshold
