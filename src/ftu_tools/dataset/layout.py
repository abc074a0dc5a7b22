"""Own data sets: ROOT/{train,test}/{images,masks}/NAME.EXT, or ROOT/SOURCE/{train,test}/...; ROOT/images.csv.

Images are grey or RGB of 8 bits; masks PNG of one band, whose values are the numbers of classes, 0 for none.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from ftu.errors import InputError, some
from ftu.files import csvfile, limits
from ftu.files.names import composed
from ftu.pipeline.atomic import whole_folder

SETS, PARTS, TABLE = ("train", "test"), ("images", "masks"), "images.csv"
RECORD = "volumes.json"  # of volumes, ftu_tools.dataset.volumes.record
COLUMNS = ["id", "organ", "data_source", "pixel_size", "group", "z"]
LONGEST = 200  # bytes of a name: file systems take 255, with endings and those of temporary files


class Item(NamedTuple):
    """An image of the layout."""

    name: str
    file: Path | None  # which is the image already; otherwise its pixels are `image`
    image: np.ndarray  # (H, W) or (H, W, 3) uint8
    mask: np.ndarray | None  # (H, W) uint8
    facts: dict[str, str]  # what is known, of COLUMNS


def check_root(root: Path, source: str) -> None:
    """Raise InputError unless `root` is new, empty, or in this layout, with sources where one is given."""
    if source and (fault := limits.name_fault(source)):
        raise InputError(f"--source: {fault}")
    if source in (*SETS, *PARTS):
        raise InputError(f"--source: {source!r} is a folder of the layout itself; use another name")
    if root.exists() and not root.is_dir():
        raise InputError(f"--to: {root} is a file; name a folder")
    if root.resolve() in (Path.cwd(), *Path.cwd().parents) or os.path.ismount(root):
        raise InputError(f"--to: {root} is where you stand, or a disk's root; name a folder inside of it")
    there = [
        path for path in sorted(root.glob("*")) if path.name not in (TABLE, RECORD) and path.name[0] != "."
    ]
    sets = [path for path in there if path.name in SETS]
    sources = [path for path in there if any((path / name / "images").is_dir() for name in SETS)]
    if others := [path.name for path in there if path not in (*sets, *sources)]:
        raise InputError(
            f"--to: {root} holds {some(others)}, which is no data set of this kind; name a new folder"
        )
    if source and sets:
        raise InputError(f"--source: {root} holds {sets[0].name} without a source; leave --source out")
    if not source and sources:
        raise InputError(
            f"--to: {root} holds sources ({some(path.name for path in sources)}); say --source NAME"
        )


def check_names(root: Path, names: Sequence[str]) -> None:
    """Raise InputError for a name that files cannot have, or that an image of the data set has already."""
    for name in names:
        if not name.isprintable() or len(name.encode(errors="replace")) > LONGEST or limits.RESERVED in name:
            raise InputError(
                f"name {name[:60]!a}: has letters that cannot be printed, {limits.RESERVED!r}, or more than "
                f"{LONGEST} bytes; rename the image and its mask"
            )
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(
            f"two images would be called {twice[0]!r}, one of them a slice; rename the image or volume"
        )
    there = {composed(path.stem): path for depth in ("*", "*/*") for path in root.glob(f"{depth}/images/*")}
    if taken := [there[name] for name in names if name in there]:
        raise InputError(
            f"{taken[0]}: is there already, and {len(taken)} of {len(names)} images have such a stem; rename "
            "them, or name another folder (--to): nothing is overwritten, and an image is known by its stem"
        )


@contextmanager
def extended(root: Path) -> Iterator[Path]:
    """Yield a folder with all that `root` holds; it takes the place of `root` when the block ends well."""
    root = root.resolve()
    with whole_folder(root) as folder:
        if root.is_dir():
            shutil.copytree(root, folder, copy_function=os.link, symlinks=True, dirs_exist_ok=True)
        yield folder


def write(folder: Path, item: Item) -> None:
    """Write an image, and its mask where it has one, into a folder such as ROOT/train."""
    for part in PARTS[: 1 + (item.mask is not None)]:
        (folder / part).mkdir(parents=True, exist_ok=True)
    if item.file:
        shutil.copyfile(item.file, folder / "images" / f"{item.name}{item.file.suffix.lower()}")
    else:
        _write_png(folder / "images" / f"{item.name}.png", item.image)
    if item.mask is not None:
        _write_png(folder / "masks" / f"{item.name}.png", item.mask)


def write_table(folder: Path, facts: Sequence[dict[str, str]]) -> None:
    """Add rows of what is known to images.csv; none where nothing is but ids."""
    if not any(len(row) > 1 for row in facts):
        return
    path = folder / TABLE
    before = csvfile.read_csv(path) if path.exists() else pd.DataFrame()
    table = pd.concat([before, pd.DataFrame(facts, dtype=str)]).fillna("")
    if twice := list(table["id"][table["id"].duplicated()]):
        raise InputError(
            f"--to: {TABLE} has a row for {some(twice)} already; take it out, or rename the image"
        )
    columns = [column for column in COLUMNS if column in table] + [*table.columns.difference(COLUMNS)]
    path.unlink(missing_ok=True)  # else the table of the folder that is extended would change, too
    table[columns].to_csv(path, index=False, lineterminator="\n")


def _write_png(path: Path, image: np.ndarray) -> None:
    shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, content = cv2.imencode(".png", np.ascontiguousarray(shown))
    path.write_bytes(content.tobytes())
