"""The tables of a run: a row for each object, a row for each slide and class, and HuBMAP's objects."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftu.pipeline.atomic import whole_file
from ftu_tools.segment import review
from ftu_tools.segment.objects import Object
from ftu_tools.segment.outputs import geojson
from ftu_tools.segment.outputs.atlas import UNITS
from ftu_tools.segment.slides.scale import Size

OBJECTS = (
    *("id", "slide", "class", "x_px", "y_px", "x_um", "y_um", "area_um2", "perimeter_um", "circularity"),
    *("longest_diameter_um", "mean_probability", "at_edge"),
)
SLIDES = (
    *("slide", "file", "organ", "source", "class", "uberon", "um_x", "um_y", "network_um", "windows"),
    *("windows_skipped", "count", "area_um2", "tissue_mm2", "per_mm2", "disagreement", "uncertainty"),
    *("seconds", "warnings"),
)
# Of HuBMAP's table of objects, as its pas-ftu-segmentation-pipeline writes it (bin/v1/convert_mask.py), where
# Area is in px under the heading of um2.
HUBMAP = (
    *(
        "Object ID",
        "Source file",
        "Mask name",
        "Mask ID",
        "Protocol for mask creation (DOI)",
        "Annotation tool",
    ),
    *("Object type", "x", "y", "z", "Anatomical structure", "Area", "Radius"),
)


@contextmanager
def objects(path: Path, name: str, slide: str, um: Size) -> Iterator[Callable[[Object], None]]:
    """Yield a function that writes an object of the slide `name`, whose bytes have the hash `slide`."""
    with _rows(path, OBJECTS, ",") as write:

        def row(one: Object) -> None:
            x, y = one.x * um[0], one.y * um[1]
            shape = one.area, one.perimeter, one.circularity, one.diameter, one.probability
            places = [f"{value:.2f}" for value in (one.x, one.y, x, y)]
            write([geojson.identity(one, slide), name, one.name, *places, *_short(shape), int(one.at_edge)])

        yield row


@contextmanager
def hubmap(path: Path, file: str, organ: str) -> Iterator[Callable[[Object], None]]:
    """Yield a function that writes an object as a row of HuBMAP's columns.

    Centroids are in px, areas in um2, radii (of the circle of equal area) in um. Ids of an organ that the
    atlas does not name stay empty.
    """
    unit = UNITS.get(organ)
    with _rows(path, HUBMAP, "\t") as write:

        def row(one: Object) -> None:
            identifier, around = (unit.identifier, unit.organ) if unit else ("", "")
            kind = [one.name, identifier, "", "ftu", identifier]
            radius = (one.area / 3.141592653589793) ** 0.5
            place = [f"{one.x:.2f}", f"{one.y:.2f}", "0"]
            write([one.number, file, *kind, *place, around, *_short((one.area, radius))])

        yield row


def collect(path: Path, parts: Sequence[Path]) -> None:
    """One table of the rows of many, whose first lines are the same; none of them is held."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as to:
        csv.writer(to, lineterminator="\n").writerow(OBJECTS)
        for part in parts:
            with part.open(encoding="utf-8", newline="") as rows:
                next(rows)
                to.writelines(rows)


def slides(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write slides.csv."""
    _write(path, SLIDES, rows)


def reviewed(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write review.csv, of the rows of slides.csv."""
    _write(path, review.COLUMNS, review.order(rows))


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with _rows(path, columns, ",") as write:
        for row in rows:
            write([row[column] for column in columns])


@contextmanager
def _rows(path: Path, header: Sequence[str], sign: str) -> Iterator[Callable[[Sequence[Any]], None]]:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=sign, lineterminator="\n")
        table.writerow(header)
        yield table.writerow


def _short(values: Sequence[float]) -> list[str]:
    return [f"{value:.6g}" for value in values]
