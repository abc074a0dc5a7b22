"""QuPath's objects as GeoJSON: a FeatureCollection, a list of features, or one; in px of the full image.

A pixel belongs to a polygon when its centre lies in it. Source: RFC 7946; QuPath's PathObjectTypeAdapters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio import features as drawing

from ftu.errors import InputError
from ftu_tools.dataset.drawn import annotations
from ftu_tools.dataset.labels import UNCLASSIFIED, Labels

AREAS = ("Polygon", "MultiPolygon")
NO_AREAS = ("Point", "MultiPoint", "LineString", "MultiLineString")
# Objects that are no finding of anyone, by objectType, object_type, or the id of older versions.
AROUND = ("root", "tile", "tmacore", "pathrootobject", "pathtileobject", "tmacoreobject")
CLOSED = 4  # points of a ring: the last is the first


class Area(NamedTuple):
    """What a feature says of the image."""

    which: str  # for messages
    name: str  # of its class
    geometry: dict[str, Any]


def found_in(content: annotations.Json) -> list[Any] | None:
    """The features of a file, None where it is another format's."""
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        return content if all(each.get("type") == "Feature" for each in content) else None
    if not isinstance(content, dict):
        return None
    if content.get("type") == "FeatureCollection":
        return content["features"]
    return [content] if content.get("type") == "Feature" else None


def draw(path: Path, features: Sequence[Any], shape: tuple[int, int]) -> Labels:
    """The features drawn at (height, width), later ones over earlier ones."""
    areas: list[Area] = []
    odd: list[tuple[str, str]] = []
    for number, feature in enumerate(features, start=1):
        which = f"feature {number}"
        geometry = feature["geometry"]
        if _kind(feature) in AROUND:
            odd.append(("are tiles, cores or the whole image, and left out", f"{path} {which}"))
        elif geometry is None or geometry["type"] in NO_AREAS:
            odd.append(("are points or lines, which have no area, and left out", f"{path} {which}"))
        else:
            areas.append(Area(which, _name(feature), _checked(path, which, geometry, shape)))
    values = np.zeros(shape, np.int32)
    if areas:
        drawing.rasterize([(area.geometry, place) for place, area in enumerate(areas, start=1)], out=values)
    return Labels(
        values, {place: area.name for place, area in enumerate(areas, start=1)}, drawn=True, odd=odd
    )


def _kind(feature: dict[str, Any]) -> str:
    """annotation, detection, cell, tile, ..."""
    facts = feature.get("properties") or {}
    kind = facts.get("objectType") or facts.get("object_type") or feature.get("id") or ""
    return str(kind).lower().replace("_", "").replace(" ", "")


def _name(feature: dict[str, Any]) -> str:
    """The name of its classification; those of a derived one are joined as QuPath shows them."""
    found = (feature.get("properties") or {}).get("classification") or {}
    if isinstance(found, str):
        return found
    return found.get("name") or ": ".join(found.get("names") or []) or UNCLASSIFIED


def _checked(path: Path, which: str, geometry: dict[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """The geometry; InputError unless it is an area of this image."""
    kind = geometry["type"]
    if kind not in AREAS:
        raise InputError(f"{path}: {which} is a {kind}; draw polygons")
    plane = geometry.get("plane") or {}
    if plane.get("z") or plane.get("t"):
        raise InputError(f"{path}: {which} lies on plane {plane} of a stack; export its slices one by one")
    polygons = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    rings = [annotations.points(path, which, ring, CLOSED) for polygon in polygons for ring in polygon]
    if not rings:
        raise InputError(f"{path}: {which} has no points; delete it in QuPath, and {annotations.AGAIN}")
    annotations.check_inside(path, which, np.concatenate(rings), shape)
    return {"type": kind, "coordinates": geometry["coordinates"]}
