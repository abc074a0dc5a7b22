"""Bring predictions back to the volumes that they were made of, as NIfTI, and score them volume by volume.

`python -m ftu_tools.dataset.volumes ROOT --to OUT` reads the masks of ROOT's test slices that submit has
written, and writes OUT/NAME.nii.gz, a label map on each volume's own grid. Where ROOT has masks of these,
OUT/scores.csv tells of each volume and class. docs/own-data.md, "MRI and CT: NIfTI".
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ftu.errors import InputError, some
from ftu.files import png
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.stage import run
from ftu_tools.dataset.labels import MOST_CLASSES
from ftu_tools.dataset.volumes import nifti, record, scores
from ftu_tools.dataset.volumes.record import Entry

TABLE = "scores.csv"


def masks_of(entry: Entry, folder: Path) -> list[Path]:
    """Where the masks of a volume's slices lie among others; InputError where one is missing."""
    found = [folder / entry.source / f"{name}.png" for name in entry.slices()]
    if missing := [path for path in found if not path.exists()]:
        raise InputError(
            f"{missing[0]}: is missing, as {len(missing)} of {len(found)} slices of {entry.name} are; "
            "predict all of them (`dvc repro`), or say where the masks are: --masks"
        )
    return found


def stacked(entry: Entry, masks: list[Path]) -> np.ndarray:
    """The classes of a volume, (slices, rows, columns) uint8; InputError for a slice of another size, or
    another class."""
    shape, classes = (entry.grid.extent("y"), entry.grid.extent("x")), len(entry.values) or MOST_CLASSES
    volume = np.zeros((len(masks), *shape), np.uint8)
    for number, path in enumerate(masks):
        mask = png.read_mask(path)
        if mask.shape != shape:
            raise InputError(
                f"{path}: is {mask.shape[0]} x {mask.shape[1]} px (height x width), but slices of "
                f"{entry.name} are {shape[0]} x {shape[1]}; it is of another data set"
            )
        if (highest := int(mask.max(initial=0))) > classes:
            raise InputError(
                f"{path}: holds {highest}, and the classes of {entry.name} are {', '.join(entry.values)}; it "
                "is of another data set"
            )
        volume[number] = mask
    return volume


def labelled(entry: Entry, volume: np.ndarray) -> np.ndarray:
    """A volume's classes as the labels that its label maps have, in their type, or one that holds them."""
    said = np.array([0, *(entry.values.values() if entry.values else range(1, MOST_CLASSES + 1))])
    dtype = np.dtype(entry.dtype)
    if (said.astype(dtype) != said).any():
        dtype = np.promote_types(dtype, np.min_scalar_type(said.max()))
    return said.astype(dtype)[volume]


def bring_back(root: Path, masks: Path, to: Path) -> str:
    """Write the label maps of all test volumes of the data set at `root`, and their scores."""
    entries = [entry for entry in record.read(root) if entry.set == "test"]
    if to.resolve() == root.resolve():
        raise InputError(f"--to: {to} is the data set itself; name a folder of its own")
    if not entries:
        raise InputError(
            f"{root}: has no test volume; bring some with --set test, as the masks of submit are of these"
        )
    found = [masks_of(entry, masks) for entry in entries]
    rows: list[dict] = []
    unscored = []
    with whole_files(to) as folder:
        for entry, slices in zip(entries, found, strict=True):
            volume = stacked(entry, slices)
            nifti.write(folder / f"{entry.name}.nii.gz", labelled(entry, volume), entry.grid)
            truths = [root / entry.source / "test/masks" / path.name for path in slices]
            if all(path.exists() for path in truths):
                rows += scores.of_volume(entry, volume, stacked(entry, truths))
            else:
                unscored.append(entry.name)
        if rows:
            pd.DataFrame(rows).to_csv(folder / TABLE, index=False)
    if rows:
        sys.stdout.write("\n".join([*scores.lines(pd.DataFrame(rows)), ""]))
    if unscored:
        sys.stdout.write(f"not scored, without label maps: {some(unscored)}\n")
    return f"{len(entries)} label maps in {to}, {len(entries) - len(unscored)} scored"


def main() -> str:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.dataset.volumes", description=__doc__)
    add = parser.add_argument
    add("root", type=Path, help="the data set, which ftu_tools.dataset.make made of volumes")
    add("--to", type=Path, required=True, help="the folder to write to")
    add("--masks", type=Path, default=paths.ANSWERED, help="the masks of the slices: NAME_z000.png, ...")
    options = parser.parse_args()
    return bring_back(options.root, options.masks, options.to)


if __name__ == "__main__":
    run(main)
