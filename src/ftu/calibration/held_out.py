"""The images that rules are chosen on: each with its truth and out-of-fold predictions.

They are the training images, as they were taken (oof) and made to look like another source (shifted).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from ftu.errors import InputError
from ftu.files import png
from ftu.files.index import image_rows
from ftu.pipeline.workers.pool import Pool

Pair = tuple[str, str]  # data_source, organ


class Held(NamedTuple):
    """One image with a truth and out-of-fold predictions."""

    id: str
    organ: str
    data_source: str
    fold: int
    part: Literal["oof", "shifted"]
    truth: Path  # native mask
    pixel_size: float  # um, of the native image
    foreground: float  # share of the truth
    group: str = ""  # '' where groups are not known

    @property
    def pair(self) -> Pair:
        return self.data_source, self.organ


def held_out(
    index: pd.DataFrame, table: pd.DataFrame, folds: Collection[int], masks: Path, *, pool: Pool
) -> list[Held]:
    """The training images that these folds hold out.

    `index` and `table` are data/images.csv and data/folds.csv, `masks` is the folder of the truths.
    """
    facts = table.set_index("id")
    dealt, group = facts["fold"], facts.get("group", pd.Series("", facts.index))
    rows = [row for row in image_rows(index) if row.set == "train" and dealt[row.id] in folds]
    truths = [masks / f"{row.id}.png" for row in rows]
    shares = pool.each(share, truths, doing="foreground")
    ids = [row.id for row in rows]
    columns = zip(rows, dealt[ids], truths, shares, group[ids], strict=True)
    return [
        Held(row.id, row.organ, row.data_source, int(fold), "oof", truth, row.pixel_size, foreground, name)
        for row, fold, truth, foreground, name in columns
    ]


def shifted(cases: Sequence[Held], index: pd.DataFrame, masks: Path) -> list[Held]:
    """Those of `cases` that were made to look like the other source, of organs that it has no image of.

    `index` is data/shifted/shifted.csv. Raises InputError when there are none.
    """
    known, pairs = {case.id: case for case in cases}, {case.pair for case in cases}
    found = [
        known[row.id]._replace(
            data_source=row.data_source,
            part="shifted",
            truth=masks / f"{row.id}.png",
            pixel_size=row.pixel_size,
        )
        for row in image_rows(index)
        if row.id in known and (row.data_source, row.organ) not in pairs
    ]
    if not found:
        raise InputError(
            "calibrate.metric: dice_shifted needs shifted images of an organ that the shifted source has no "
            "training image of, and data/shifted/shifted.csv names none; use the metric dice"
        )
    return found


def share(truth: Path) -> float:
    """The share of an image that its mask, a file, holds."""
    return float(png.read_mask(truth).mean())


def foreground(cases: Iterable[Held]) -> dict[str, float]:
    """The mean share of foreground by organ, over the images as they were taken."""
    shares = defaultdict(list)
    for case in cases:
        if case.part == "oof":
            shares[case.organ].append(case.foreground)
    return {organ: float(np.mean(shares[organ])) for organ in sorted(shares)}


def ids(cases: Iterable[Held], fold: int) -> list[str]:
    """Of the images that a fold holds out, as they were taken."""
    return [case.id for case in cases if case.fold == fold and case.part == "oof"]


def refuse_lone_folds(cases: Iterable[Held]) -> None:
    """Raise InputError when one fold holds all images of an organ: no other knows its foreground."""
    folds = defaultdict(set)
    for case in cases:
        folds[case.organ].add(case.fold)
    if lone := sorted(organ for organ, found in folds.items() if len(found) < 2):
        raise InputError(
            f"postprocess.method: quantile takes an organ's share of foreground from the other folds, and "
            f"all images of {', '.join(lone)} lie in one; use table or otsu, or set calibrate.enabled: false"
        )


def too_few(cases: Iterable[Held], fewest: int) -> set[Pair]:
    """The pairs with some images, but fewer than `fewest`."""
    return {pair for pair, indices in by_pair(cases).items() if len(indices) < fewest}


def by_pair(cases: Iterable[Held]) -> dict[Pair, list[int]]:
    """The positions of the cases of each source and organ, sorted by both."""
    found = defaultdict(list)
    for position, case in enumerate(cases):
        found[case.pair].append(position)
    return dict(sorted(found.items()))
