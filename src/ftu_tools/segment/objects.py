"""Objects as a lab wants them: outlines in px of the whole slide, sizes in um, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely

from ftu.masks.components import Components
from ftu_tools.segment import outlines
from ftu_tools.segment.outlines import Crop
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.tissue import Tissue

DIGITS = 2  # of coordinates in px


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
    crop: Crop  # its pixels in the map


def each(found: Sequence[Found], grid: Grid, um: Size, tissue: Tissue) -> Iterator[Object]:
    """All objects; `um` is the size of a pixel of the whole slide along x and y."""
    number = 0
    for one in found:
        for crop, polygons in outlines.outlined(outlines.crops(one.parts)):
            number += 1
            facts: dict[str, Any] = _outline(crop, polygons, grid) | _sizes(crop, polygons, grid, um)
            yield Object(
                number=number,
                name=one.name,
                probability=float(one.probability(*_place(crop))[crop.mask].mean()),
                at_edge=_at_edge(crop, grid, tissue),
                crop=crop,
                **facts,
            )


def _outline(crop: Crop, polygons: list[shapely.Polygon], grid: Grid) -> dict[str, Any]:
    """Where the object is in the slide."""
    down, across = grid.times
    corner, times = np.array([crop.left, crop.top]), np.array([across, down])
    whole = _joined(polygons)
    outline = shapely.transform(whole, lambda xy: ((xy + corner) * times).round(DIGITS))
    valid, (x, y) = outline.is_valid, (np.array(whole.centroid.coords[0]) + corner) * times
    outline = outline if valid else shapely.make_valid(outline)
    return {"outline": outline, "repaired": not valid, "x": float(x), "y": float(y)}


def _sizes(crop: Crop, polygons: list[shapely.Polygon], grid: Grid, um: Size) -> dict[str, float]:
    down, across = grid.times
    step = np.array([across * um[0], down * um[1]])  # um in a pixel of the map, x first
    around = sum(outlines.perimeter(np.array(polygon.exterior.coords), step) for polygon in polygons)
    enclosed = sum(shapely.Polygon(polygon.exterior).area for polygon in polygons) * step.prod()
    return {
        "area": float(np.count_nonzero(crop.mask) * step.prod()),
        "perimeter": around,
        "circularity": min(float(4 * np.pi * enclosed / around**2), 1.0),
        "diameter": outlines.longest(_joined(polygons), step),
    }


def _joined(polygons: list[shapely.Polygon]) -> shapely.Polygon | shapely.MultiPolygon:
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _place(crop: Crop) -> tuple[slice, slice]:
    height, width = crop.mask.shape
    return slice(crop.top, crop.top + height), slice(crop.left, crop.left + width)


def _at_edge(crop: Crop, grid: Grid, tissue: Tissue) -> bool:
    rows, columns = _place(crop)
    if not rows.start or not columns.start or rows.stop == grid.height or columns.stop == grid.width:
        return True
    down, across = np.nonzero(crop.mask)
    places = (down + crop.top + 0.5) / grid.height, (across + crop.left + 0.5) / grid.width
    return not tissue.within(*places).all()
