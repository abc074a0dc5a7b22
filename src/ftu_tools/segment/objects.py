"""Objects as a lab wants them: outlines in px of the whole slide, sizes in um, one after the other.

An object is what is 8-connected; its outlines are those of its 4-connected parts, since a ring that runs
through a corner twice is no valid polygon (OGC 06-103r4, 6.1.11).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import shapely
import shapely.geometry
from rasterio import features

from ftu.masks.components import Components
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.tissue import Tissue

DIGITS = 2  # of coordinates in px
# An outline through the middles of pixels' edges is 8 (sqrt(2) - 1) / pi times as long, on average, as the
# line that it stands for (Kulpa 1977, Computer Graphics and Image Processing 6, 434-451).
KULPA = np.pi / 8 * (1 + np.sqrt(2))


class Found(NamedTuple):
    """The objects of one class in a map, as pixels of it."""

    name: str  # of the class
    parts: Components
    probability: Callable[[slice, slice], np.ndarray]  # (rows, columns) of the map -> 0..1


class Object(NamedTuple):
    """One object."""

    number: int  # from 1 on, in reading order of their first pixels, class by class
    name: str  # of its class
    outline: shapely.Polygon | shapely.MultiPolygon  # px of the whole slide, x first
    repaired: bool  # whether the outline had to be made valid
    x: float  # px, of its centroid
    y: float
    area: float  # um2
    perimeter: float  # um, of its outer outline
    circularity: float  # 4 pi area / perimeter^2 of what the outer outline encloses, at most 1
    diameter: float  # um, between the two points that are farthest apart
    probability: float  # mean
    at_edge: bool  # it touches the edge of the tissue, or of the slide
    mask: np.ndarray  # (rows, columns) bool, px of the map
    top: int
    left: int


def each(found: Sequence[Found], grid: Grid, um: Size, tissue: Tissue) -> Iterator[Object]:
    """All objects; `um` is the size of a pixel of the whole slide along x and y."""
    number = 0
    for one in found:
        for mask, top, left in masks(one.parts):
            number += 1
            yield _measured(number, one, mask, top, left, grid, um, tissue)


def masks(parts: Components) -> Iterator[tuple[np.ndarray, int, int]]:
    """Each part as a mask of its bounding box, and the row and column of its top left corner."""
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
        yield ends.cumsum(axis=1)[:, :-1].astype(bool), top, left


def _measured(
    number: int, one: Found, mask: np.ndarray, top: int, left: int, grid: Grid, um: Size, tissue: Tissue
) -> Object:
    height, width = mask.shape
    down, across = grid.times
    step = np.array([across * um[0], down * um[1]])  # um in a pixel of the map, x first
    polygons = [shapely.geometry.shape(shape) for shape, _ in _shapes(mask)]
    whole = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
    corner, times = np.array([left, top]), np.array([across, down])
    outline = shapely.transform(whole, lambda xy: ((xy + corner) * times).round(DIGITS))
    valid = outline.is_valid
    outline = outline if valid else shapely.make_valid(outline)
    perimeter = sum(_perimeter(np.array(polygon.exterior.coords), step) for polygon in polygons)
    enclosed = sum(shapely.Polygon(polygon.exterior).area for polygon in polygons) * step.prod()
    rows, columns = np.nonzero(mask)
    inner = tissue.within((rows + top + 0.5) / grid.height, (columns + left + 0.5) / grid.width).all()
    at_border = top == 0 or left == 0 or top + height == grid.height or left + width == grid.width
    probability = one.probability(slice(top, top + height), slice(left, left + width))[mask]
    centre = whole.centroid
    return Object(
        number=number,
        name=one.name,
        outline=outline,  # pyright: ignore[reportArgumentType] # made of areas, it is one or several
        repaired=not valid,
        x=(centre.x + left) * across,
        y=(centre.y + top) * down,
        area=float(len(rows) * step.prod()),
        perimeter=perimeter,
        circularity=min(4 * np.pi * enclosed / perimeter**2, 1.0),
        diameter=_longest(whole, step),
        probability=float(probability.mean()),
        at_edge=bool(at_border or not inner),
        mask=mask,
        top=top,
        left=left,
    )


def _shapes(mask: np.ndarray) -> Iterator[tuple[dict[str, Any], float]]:
    return features.shapes(mask.view(np.uint8), mask=mask, connectivity=4)


def _perimeter(ring: np.ndarray, step: np.ndarray) -> float:
    """um around a closed ring, (N, 2) of whole px, x first; `step` is the size of a pixel."""
    sides = np.diff(ring, axis=0)
    lengths = np.abs(sides).sum(axis=1).astype(int)  # each side is horizontal or vertical
    moves = np.repeat(sides / lengths[:, None], lengths, axis=0) * step
    return float(np.linalg.norm((moves + np.roll(moves, -1, axis=0)) / 2, axis=1).sum() * KULPA)


def _longest(whole: shapely.Geometry, step: np.ndarray) -> float:
    """um between the two points of a shape in px that are farthest apart."""
    corners = shapely.get_coordinates(shapely.convex_hull(whole)) * step
    return float(np.linalg.norm(corners[:, None] - corners, axis=-1).max())
