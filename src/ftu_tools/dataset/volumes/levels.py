"""How the values of a volume become 8 bits: a window of values for all, or percentiles of each volume.

Linear from the lower value at 0 to the higher at 255; beyond, clipped. Of CT values are HU, which say by
themselves what is fat and what is bone, so that one window is for all. MRI has no unit: an image may be twice
as bright as the next, so each volume's own percentiles are taken.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ftu.errors import InputError
from ftu_tools.dataset.pictures import Range
from ftu_tools.dataset.rasters import Raster

WAYS = "of CT the window that is looked at, in HU, such as --window=-160,240; of MRI --percentiles 0.5,99.5"
HALF = 16  # bits of a value that are counted at a time


class Levels(NamedTuple):
    """What becomes black and white."""

    range: Range  # the values that become 0 and 255
    lowest: float  # of the volume


def parsed(option: str, text: str, *, low: float = -np.inf, high: float = np.inf) -> Range | None:
    """What an option says, as in "-160,240", None for ""; InputError unless these are a lower and a higher
    number, from `low` to `high`."""
    if not text:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option}: {text!r} are no two numbers; write a lower and a higher: LOW,HIGH"
        ) from error
    if not (low <= first < second <= high and np.isfinite([first, second]).all()):
        within = f" from {low:g} to {high:g}" if np.isfinite(low) else ""
        raise InputError(f"{option}: {text}: give a lower and a higher value{within}")
    return first, second


def of(raster: Raster, window: Range | None, percentiles: Range | None) -> Levels:
    """How the values of a volume become 8 bits; InputError for values that are no numbers, where nothing is
    said, or where no value would lie between."""
    lowest, highest = _bounds(raster)
    spread = f"values from {lowest:g} to {highest:g}"
    if window:
        if highest <= window[0] or lowest >= window[1]:
            raise InputError(
                f"{raster.path}: has {spread}, none in the window {window[0]:g},{window[1]:g}; are "
                "they HU? Correct --window, or the volume's scl_slope and scl_inter"
            )
        return Levels(window, lowest)
    if not percentiles:
        raise InputError(f"{raster.path}: has {spread}; say which become black and white: {WAYS}")
    low, high = at_percentiles(lambda: _slices(raster), percentiles)
    if low == high:
        raise InputError(
            f"{raster.path}: has {spread}, and percentiles {percentiles[0]:g} and {percentiles[1]:g} are "
            f"both {low:g}; take others, nearer to 0 and 100"
        )
    return Levels((low, high), lowest)


def at_percentiles(
    parts: Callable[[], Iterator[np.ndarray]], percentiles: Sequence[float]
) -> tuple[float, ...]:
    """The values (float32) at these percentiles of all parts together: of N values in order the one at place
    N p / 100, rounded up, from 1 on. No mean of two: NumPy calls it inverted_cdf.

    Exact, in the memory of one part: `parts` is called once to count values by the upper half of their bits,
    and for each percentile once more, to count those that share its upper half by the lower.
    """
    upper = _counted(key >> HALF for key in map(_ordered, parts()))
    ends = np.cumsum(upper)
    ranks = [max(1, math.ceil(int(ends[-1]) * Fraction(str(share)) / 100)) for share in percentiles]
    tops = [int(np.searchsorted(ends, rank)) for rank in ranks]
    found = []
    for rank, top in zip(ranks, tops, strict=True):
        lower = _counted(key[key >> HALF == top] & (2**HALF - 1) for key in map(_ordered, parts()))
        below = ends[top] - upper[top]
        found.append(top << HALF | int(np.searchsorted(np.cumsum(lower), rank - below)))
    return tuple(_value(key) for key in found)


def _counted(keys: Iterator[np.ndarray]) -> np.ndarray:
    total = np.zeros(2**HALF, np.int64)
    for key in keys:
        total += np.bincount(key.ravel(), minlength=2**HALF)
    return total


def _ordered(values: np.ndarray) -> np.ndarray:
    """uint32 in the order of float32 values (IEEE 754: sign and size, so negative ones are turned over)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _value(key: int) -> float:
    bits = np.uint32(key ^ 2**31 if key >> 31 else ~key & 0xFFFFFFFF)
    return float(bits.view(np.float32))


def _bounds(raster: Raster) -> Range:
    """The lowest and the highest value; InputError where some are no numbers."""
    lost, size, bounds = 0, 0, []
    for part in _slices(raster):
        finite = part[np.isfinite(part)]
        lost, size = lost + part.size - finite.size, size + part.size
        if finite.size:
            bounds += [float(finite.min()), float(finite.max())]
    if lost:
        raise InputError(
            f"{raster.path}: {lost} of {size} voxels are NaN or infinite; fill them with a value of the "
            "outside (of CT -1000), or leave the volume out"
        )
    return min(bounds), max(bounds)


def _slices(raster: Raster) -> Iterator[np.ndarray]:
    return (raster.read(number).array for number in range(raster.pages))
