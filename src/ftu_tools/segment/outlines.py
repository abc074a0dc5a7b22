"""Outlines of objects in px of a map, and what is measured along them.

An object is what is 8-connected; its outlines are those of its 4-connected parts, since a ring that runs
through a corner twice is no valid polygon (OGC 06-103r4, 6.1.11).
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely
from rasterio import features

from ftu.masks.components import Components

MOST = 2**22  # px that are outlined at a time: each time costs a millisecond
# An outline through the middles of pixels' edges is 8 (sqrt(2) - 1) / pi times as long, on average, as the
# line that it stands for (Kulpa 1977, Computer Graphics and Image Processing 6, 434-451).
KULPA = np.pi / 8 * (1 + np.sqrt(2))


class Crop(NamedTuple):
    """An object within its bounding box."""

    mask: np.ndarray  # (rows, columns) bool
    top: int  # of the box in the map
    left: int


def crops(parts: Components) -> Iterator[Crop]:
    """Each part, in order."""
    order = np.argsort(parts.labels, kind="stable")
    firsts = np.searchsorted(parts.labels[order], np.arange(len(parts.areas) + 1))
    for begin, end in pairwise(firsts):
        runs = order[begin:end]
        rows, starts = np.divmod(parts.starts[runs], parts.stride)
        stops = parts.stops[runs] - rows * parts.stride
        top, left, width = int(rows[0]), int(starts.min()), int(stops.max() - starts.min())
        ends = np.zeros((int(rows[-1]) - top + 1, width + 1), np.int8)
        ends[rows - top, starts - left] += 1  # no two runs of a row start at one place, or touch
        ends[rows - top, stops - left] -= 1
        yield Crop(ends.cumsum(axis=1, dtype=np.int8)[:, :-1].astype(bool), top, left)


def outlined(found: Iterable[Crop]) -> Iterator[tuple[Crop, list[shapely.Polygon]]]:
    """Each crop with the polygons of its 4-connected parts, in px from its top left corner, x first."""
    for batch in _batches(found):
        yield from zip(batch, _polygons(batch), strict=True)


def _batches(found: Iterable[Crop]) -> Iterator[list[Crop]]:
    """As many as make `MOST` px one below the other, one at least."""
    batch: list[Crop] = []
    height = width = 0
    for one in found:
        tall, wide = one.mask.shape
        if batch and (height + tall) * max(width, wide) > MOST:
            yield batch
            batch, height, width = [], 0, 0
        batch.append(one)
        height, width = height + tall, max(width, wide)
    if batch:
        yield batch


def _polygons(batch: list[Crop]) -> list[list[shapely.Polygon]]:
    heights, widths = zip(*(one.mask.shape for one in batch), strict=True)
    tops = np.concatenate([[0], np.cumsum(heights)])
    sheet = np.zeros((tops[-1], max(widths)), np.int32)  # of numbers, which part those that touch
    for number, (one, top) in enumerate(zip(batch, tops[:-1], strict=True)):
        height, width = one.mask.shape
        sheet[top : top + height, :width][one.mask] = number + 1
    found: list[list[shapely.Polygon]] = [[] for _ in batch]
    for shape, value in features.shapes(sheet, mask=sheet > 0, connectivity=4):
        number = int(value) - 1
        outer, *holes = (np.array(ring) - [0, tops[number]] for ring in shape["coordinates"])
        found[number].append(shapely.Polygon(outer, holes))
    return found


def perimeter(ring: np.ndarray, step: np.ndarray) -> float:
    """um around a closed ring, (N, 2) of whole px, x first; `step` is the size of a pixel."""
    sides = np.diff(ring, axis=0)
    lengths = np.abs(sides).sum(axis=1).astype(int)  # each side is horizontal or vertical
    moves = np.repeat(sides / lengths[:, None], lengths, axis=0) * step
    return float(np.linalg.norm((moves + np.roll(moves, -1, axis=0)) / 2, axis=1).sum() * KULPA)


def longest(whole: shapely.Geometry, step: np.ndarray) -> float:
    """um between the two points of a shape in px that are farthest apart."""
    corners = shapely.get_coordinates(shapely.convex_hull(whole)) * step
    return float(np.linalg.norm(corners[:, None] - corners, axis=-1).max())
