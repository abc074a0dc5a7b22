"""The numbers of the page: means with the number of images behind each, and what is not defined counted.

Tables are those that evaluate wrote. An id is a text, as `001`, `NA` and `1e5` are.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ftu.errors import InputError, some
from ftu.files import csvfile, jsonfile
from ftu.masks import metrics
from ftu.masks.scores import pooling
from ftu.reports.class_scores import HEADS, Facts
from ftu.reports.scores import BASELINES

REMEDY = "run `dvc repro evaluate` to make it again"
MOST_ROWS = 2000  # of images: a page of more is slow to open; reports/dice.csv has all
MOST_GROUPS = 100
DEFINED = ("dice", "iou", "hd95", "surface_dice")  # columns of scores.csv that are a score of one image
DIGITS = {"hd95": 2, "one_sided": 0}
PARTS = {"oof": "dice.csv", "shifted": "dice_shifted.csv", "test": "dice_test.csv"}


class Mean(NamedTuple):
    """The mean of what is defined, None where nothing is."""

    value: float | None
    defined: int  # how many values are
    undefined: int = 0  # and how many are not


class Part(NamedTuple):
    """Images of one organ, data source or group."""

    name: str
    images: int
    dice: Mean
    lowest: float | None
    empty: int  # predictions without an object


class ClassTable(NamedTuple):
    """Scores of classes: a name, and a Mean for each of `heads`; what is pooled counts no images."""

    heads: list[str]
    digits: list[int]  # behind the point, of each
    rows: list[tuple[str, list[Mean]]]


class Scored(NamedTuple):
    """What evaluate found: a row per image of each of PARTS, and the scores of classes of some of them."""

    images: Mapping[str, pd.DataFrame]
    classes: Mapping[str, ClassTable]


def read(reports: Path, classes: Sequence[str], folds: pd.DataFrame) -> Scored:
    """The tables in the folder `reports`, of these classes and of images of folds.csv.

    Raises InputError where one is missing, damaged, without a column, or of other images.
    """
    images = {part: _read_images(reports / name, part) for part, name in PARTS.items()}
    scores, ids = reports / PARTS["oof"], images["oof"]["id"]
    if ids.empty:
        raise InputError(f"{scores}: has no rows; {REMEDY}")
    if odd := sorted(set(ids) - set(folds["id"])):
        raise InputError(f"{scores}: is of other images than data/folds.csv: id {some(odd)}; {REMEDY}")
    path = reports / "scores.csv"
    table = csvfile.read_csv(path)
    csvfile.check_columns(path, table, ["part", "id", "class", *DEFINED])
    table = csvfile.measured(str(path), table, DEFINED)
    with jsonfile.facts(reports / "scores.json", REMEDY) as facts:
        found = {
            part: of_classes(facts[part], table[table["part"] == part], classes)
            for part in ("oof", "test")
            if part in facts
        }
    return Scored(images, found)


def _read_images(path: Path, part: str) -> pd.DataFrame:
    measured = ["dice", "objects", *(BASELINES if part == "oof" else ())]
    table = csvfile.read_csv(path)
    csvfile.check_columns(path, table, ["id", "organ", "data_source", "action", *measured])
    csvfile.check_ids(path, table["id"])
    return csvfile.measured(str(path), table, measured)


def mean_of(values: pd.Series) -> Mean:
    """Of floats, nan where one is not defined."""
    found = values.to_numpy(float)
    mean, count = float(pooling.defined_mean(found, axis=0)), int(np.count_nonzero(~np.isnan(found)))
    return Mean(mean if count else None, count, len(found) - count)


def interval(table: pd.DataFrame, *, draws: int, seed: int) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of the mean Dice, over groups where the table names them; None for one."""
    defined = table[table["dice"].notna()]
    groups = defined["group"].tolist() if "group" in defined else None
    if metrics.units(len(defined), groups) < 2:
        return None
    return metrics.interval(defined["dice"].to_numpy(), draws=draws, seed=seed, groups=groups)


def by(table: pd.DataFrame, column: str) -> list[Part]:
    """A part for each value of a column, by name; of groups those with the lowest Dice first."""
    parts = [_part(str(name), rows) for name, rows in table.groupby(column)]
    if column == "group":
        parts.sort(key=lambda part: (-1.0 if part.dice.value is None else part.dice.value, part.name))
    return parts


def _part(name: str, rows: pd.DataFrame) -> Part:
    dice, lowest = mean_of(rows["dice"]), rows["dice"].min()
    return Part(name, len(rows), dice, float(lowest) if dice.defined else None, _empty(rows))


def _empty(rows: pd.DataFrame) -> int:
    return int((rows["objects"] == 0).sum())


def of_classes(facts: Facts, table: pd.DataFrame, classes: Sequence[str]) -> ClassTable:
    """The facts of scores.json: a row for each class, and the mean over them where there are several.

    `table` has a row of DEFINED for each image and class, which are counted.
    """
    names = [*classes, *(["mean"] if len(classes) > 1 else [])]
    shown = [score for score in HEADS if score in facts["mean"]]
    rows = []
    for name in names:
        own, found = table[table["class"] == name] if name in classes else table, facts[name]
        rows.append((name, [_of_class(found[score], own, score) for score in shown]))
    digits = [DIGITS.get(score, 3) for score in shown]
    return ClassTable([HEADS[score] for score in shown], digits, rows)


def _of_class(value: float | None, rows: pd.DataFrame, score: str) -> Mean:
    told = None if value is None else float(value)
    return Mean(told, *mean_of(rows[score])[1:]) if score in DEFINED else Mean(told, 0)


def worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """By Dice; those of one Dice by id; one that is not defined before all."""
    return table.sort_values(["dice", "id"], kind="stable", na_position="first")


def rows_of(table: pd.DataFrame, folds: pd.DataFrame, rank: Mapping[str, int]) -> list[dict[Hashable, Any]]:
    """The images for people, worst first, MOST_ROWS at most: with the fold that held each out, and the number
    of its picture, if `rank` has one."""
    fold = dict(zip(folds["id"], folds["fold"], strict=True))
    first = worst_first(table)[:MOST_ROWS].astype(object)
    rows = first.where(first.notna(), None).to_dict("index").values()
    return [row | {"fold": fold[row["id"]], "picture": rank.get(row["id"])} for row in rows]
