"""Everything that is written of a slide's objects, in one pass over them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from ftu_tools.segment import objects
from ftu_tools.segment.objects import Found, Object
from ftu_tools.segment.outputs import geojson, labels, overlay, tables
from ftu_tools.segment.plan import Options
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.tissue import Tissue

KEPT = ".segment"  # in the folder of the results: what is finished, and what is under way


class Subject(NamedTuple):
    """A slide, as far as its results tell of it."""

    name: str  # of the results
    file: Path
    digest: str  # the hash of its bytes
    um: Size
    grid: Grid  # of the map that its objects were found in
    afar: Tissue


class Sums(NamedTuple):
    """Of the objects of a class."""

    number: int = 0
    area: float = 0.0  # um2
    repaired: int = 0  # outlines that had to be made valid

    def plus(self, one: Object) -> "Sums":
        return Sums(self.number + 1, self.area + one.area, self.repaired + one.repaired)


def write(subject: Subject, found: Sequence[Found], options: Options, scratch: Path) -> dict[str, Sums]:
    """Write all files of a slide, each whole or not at all; the sums of each class."""
    sums = {one.name: Sums() for one in found}
    count = sum(len(one.parts.areas) for one in found)
    with ExitStack() as stack:
        writes = [stack.enter_context(one) for one in _writers(subject, list(sums), count, options, scratch)]
        for one in objects.each(found, subject.grid, subject.um, subject.afar):
            for each in writes:
                each(one)
            sums[one.name] = sums[one.name].plus(one)
    return sums


def _writers(
    subject: Subject, classes: Sequence[str], count: int, options: Options, scratch: Path
) -> list[AbstractContextManager[Callable[[Object], None]]]:
    outlines, picture, table, *more = files(subject.name, options)
    shape = subject.grid.full
    made: list[AbstractContextManager[Callable[[Object], None]]] = [
        geojson.writer(outlines, subject.digest, classes, count),
        overlay.writer(picture, subject.afar.picture, shape, classes),
        tables.objects(table, subject.name, subject.digest, subject.um),
    ]
    for path in more:
        if path.suffix == ".tiff":
            made.append(labels.writer(path, scratch, subject.digest, subject.grid, subject.um))
        else:
            made.append(tables.hubmap(path, subject.file.name, options.organ))
    return made


def record(name: str, options: Options) -> Path:
    """What says of which bytes, model and options the files of a finished slide are."""
    return options.out / KEPT / f"{name}.json"


def files(name: str, options: Options) -> list[Path]:
    """What is there of a slide that is done: outlines, picture, its part of objects.csv, and what is asked
    for besides."""
    packed = ".gz" if "gz" in options.formats else ""
    paths = [options.out / f"{name}.geojson{packed}", options.out / f"{name}.png"]
    paths.append(options.out / KEPT / f"{name}.csv")
    paths += [options.out / f"{name}.labels.ome.tiff"] if "labels" in options.formats else []
    return paths + ([options.out / f"{name}-objects.tsv"] if "hubmap" in options.formats else [])
