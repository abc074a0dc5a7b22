"""Objects as QuPath reads them: one Feature each, written one by one, so that no number of them is too large.

Source: RFC 7946; QuPath's PathObjectTypeAdapters (id, objectType, classification, measurements).
"""

import gzip
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import shapely
import shapely.geometry

from ftu.pipeline.atomic import whole_file
from ftu_tools.segment.objects import Object

MOST_ANNOTATIONS = 20_000  # beyond, QuPath is slow with annotations and swift with detections
COLOURS = ((230, 85, 13), (49, 130, 189), (49, 163, 84), (117, 107, 177), (222, 45, 38), (99, 99, 99))


@contextmanager
def writer(path: Path, slide: str, classes: Sequence[str], count: int) -> Iterator[Callable[[Object], None]]:
    """Yield a function that takes each of the `count` objects of a slide whose bytes have the hash `slide`.

    A path that ends in .gz is compressed. The file is there whole, or not at all.
    """
    kind = "annotation" if count <= MOST_ANNOTATIONS else "detection"
    with whole_file(path) as temporary, _text(temporary) as file:
        file.write('{"type": "FeatureCollection", "features": [')
        first = True

        def write(one: Object) -> None:
            nonlocal first
            feature = _feature(one, slide, kind, COLOURS[classes.index(one.name) % len(COLOURS)])
            file.write(("\n" if first else ",\n") + json.dumps(feature, allow_nan=False))
            first = False

        yield write
        file.write("\n]}\n")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    if path.suffix != ".gz":
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:  # bytes that repeat
        from io import TextIOWrapper

        with TextIOWrapper(packed, encoding="utf-8") as file:
            yield file


def _feature(one: Object, slide: str, kind: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": identity(one, slide),
        "geometry": shapely.geometry.mapping(one.outline),
        "properties": {
            "objectType": kind,
            "name": f"{one.name} {one.number}",
            "classification": {"name": one.name, "color": list(colour)},
            "measurements": {
                "Area µm^2": round(one.area, 3),
                "Perimeter µm": round(one.perimeter, 3),
                "Circularity": round(one.circularity, 4),
                "Longest diameter µm": round(one.diameter, 3),
                "Mean probability": round(one.probability, 4),
            },
        },
    }


def identity(one: Object, slide: str) -> str:
    """The same for the same object of the same slide: a name-based UUID (RFC 9562, version 5)."""
    first = shapely.get_coordinates(one.outline)[0].tolist()
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{slide} {one.name} {first} {one.area:.3f}"))
