"""Each object by its number, as an OME-TIFF with a pyramid: what ImageJ, napari and QuPath open as labels.

A level is every second pixel of the one before: a mean would make numbers of objects that there are not.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ftu.errors import InputError
from ftu.pipeline.atomic import whole_file
from ftu_tools.segment import sparse
from ftu_tools.segment.objects import Object
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size

TILE, SMALLEST = 256, 512  # px; a level no larger than this is the last


def check() -> None:
    """Raise InputError where what writes the files is not installed."""
    try:
        import tifffile  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError("--labels: needs tifffile; run `uv sync --extra slides`") from error


@contextmanager
def writer(path: Path, scratch: Path, slide: str, grid: Grid, um: Size) -> Iterator[Callable[[Object], None]]:
    """Yield a function that draws an object into the labels, which lie in the folder `scratch` meanwhile.

    `slide` is the hash of the slide's bytes, `um` the size of a pixel of it along x and y.
    """
    raw = scratch / "labels.npy"
    labels = np.lib.format.open_memmap(raw, "w+", np.uint32, (grid.height, grid.width))
    there = np.zeros(grid.height, bool)  # rows that the disk has room for

    def draw(one: Object) -> None:
        mask, top, left = one.crop
        height, width = mask.shape
        if not there[top : top + height].all():
            sparse.reserve(labels, top, top + height)
            there[top : top + height] = True
        labels[top : top + height, left : left + width][mask] = one.number

    yield draw
    with whole_file(path) as temporary:
        _write(temporary, labels, slide, (um[0] * grid.times[1], um[1] * grid.times[0]))
    raw.unlink()


def _write(path: Path, labels: np.ndarray, slide: str, um: Size) -> None:
    import tifffile

    levels = [labels]
    while max(levels[-1].shape) > SMALLEST:
        levels.append(levels[-1][::2, ::2])
    size = {"axes": "YX", "PhysicalSizeX": um[0], "PhysicalSizeY": um[1]}
    size |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    own = {"UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{slide} labels"))}  # else one of the time of day
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for number, level in enumerate(levels):
            file.write(
                _tiles(level),
                shape=level.shape,
                dtype=level.dtype,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                subifds=None if number else len(levels) - 1,
                subfiletype=1 if number else 0,  # a smaller copy
                metadata=None if number else size | own,
            )


def _tiles(level: np.ndarray) -> Iterator[np.ndarray]:
    """The tiles of a level, row by row: one is in memory."""
    height, width = level.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            part = level[top : top + TILE, left : left + TILE]
            yield np.pad(part, [(0, TILE - side) for side in part.shape])
