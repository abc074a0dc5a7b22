"""A slide at any scale, by rows from top to bottom: the mean over the area of each pixel, from the nearest
finer level.

Shapes: (H, W) the slide at that scale; C channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ftu.files.gdal import Rows
from ftu_tools.segment.slides.slide import WHITE, Slide

MOST = 2**24  # values of a level at a time: memory does not hang on how many rows are asked for
Span = Callable[
    [int, int], tuple[int, int]
]  # (top, bottom) -> the first column that is needed, and past the last


class Grid(NamedTuple):
    """A slide at one scale."""

    height: int  # px
    width: int
    full: tuple[int, int]  # (height, width) of the slide

    @property
    def times(self) -> tuple[float, float]:
        """Full-resolution px in a pixel, along y and x."""
        return self.full[0] / self.height, self.full[1] / self.width


def nearest_level(slide: Slide, grid: Grid) -> int:
    """The coarsest level that is no coarser than the grid, or the full resolution: no detail is made up."""
    fine = [
        number
        for number, (height, width) in enumerate(slide.levels)
        if height >= grid.height - 1 and width >= grid.width - 1  # their sides are rounded
    ]
    return fine[-1] if fine else 0


def rows_of(slide: Slide, grid: Grid, span: Span | None = None) -> Rows:
    """A function that reads rows of the slide at `grid`'s scale; columns outside of `span` are white."""

    def read(top: int, bottom: int) -> np.ndarray:
        left, right = span(top, bottom) if span else (0, grid.width)
        rows = np.full((bottom - top, grid.width, slide.channels), WHITE, np.uint8)
        if left < right:
            rows[:, left:right] = part(slide, grid, top, bottom, left, right)
        return rows

    return read


def part(slide: Slide, grid: Grid, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """(bottom - top, right - left, C) uint8 of the slide at `grid`'s scale: the same in any larger part."""
    number = nearest_level(slide, grid)
    height, width = slide.levels[number]
    (begin, end), across = _shares(width, grid.width, left, right)
    made = np.empty((bottom - top, right - left, slide.channels), np.uint8)
    of_a_row = (end - begin) * slide.channels * max(height / grid.height, 1)
    block = max(int(MOST / of_a_row), 1)
    for start in range(top, bottom, block):
        stop = min(start + block, bottom)
        (first, last), down = _shares(height, grid.height, start, stop)
        pixels = slide.read(number, first, begin, last - first, end - begin).astype(np.float32)
        rows = (down @ pixels.reshape(last - first, -1)).reshape(stop - start, end - begin, -1)
        columns = across @ rows.swapaxes(0, 1).reshape(end - begin, -1)
        mixed = columns.reshape(right - left, stop - start, -1).swapaxes(0, 1)
        made[start - top : stop - top] = np.rint(mixed).clip(0, 255)
    return made


def _shares(source: int, target: int, first: int, stop: int) -> tuple[tuple[int, int], csr_array]:
    """How pixels [first, stop) of a side of `target` px are made of those of a side of `source` px.

    Of [begin, end) of these, with the shares (stop - first, end - begin).

    By area where the side shrinks, linear between centres where it grows.
    """
    times, places = source / target, np.arange(first, stop)
    if times >= 1:
        low, high = places * times, (places + 1) * times
        taps = np.floor(low).astype(int)[:, None] + np.arange(int(np.ceil(times)) + 1)
        shares = (
            np.clip(np.minimum(high[:, None], taps + 1) - np.maximum(low[:, None], taps), 0, None) / times
        )
    else:
        centres = np.clip((places + 0.5) * times - 0.5, 0, source - 1)
        taps = np.floor(centres).astype(int)[:, None] + np.arange(2)
        right = (centres - taps[:, 0])[:, None]
        shares = np.hstack([1 - right, right])
    taps = np.minimum(taps, source - 1)  # past the end the shares are 0
    begin, end = int(taps.min()), int(taps.max()) + 1
    rows = np.repeat(np.arange(len(places)), taps.shape[1])
    values = shares.astype(np.float32).ravel()
    return (begin, end), csr_array((values, (rows, taps.ravel() - begin)), (len(places), end - begin))
