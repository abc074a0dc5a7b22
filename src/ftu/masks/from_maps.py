"""The one path from an image's maps to its mask, which evaluate and submit both take."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from ftu.errors import some
from ftu.files import rle
from ftu.files.index import ImageRow
from ftu.masks import classes, cutting
from ftu.masks.classes import ClassRule
from ftu.masks.cutting import Cut, Guard, Method, Rule
from ftu.masks.rules import Rules
from ftu.probabilities import ensemble, map_file
from ftu.probabilities.mean import Groups, Mean, native_probability

GUARDED = ["id", "organ", "data_source", "asked", "used", "objects", "action"]  # of guard.csv


class Way(NamedTuple):
    """How all images become masks: mean over experiments, choice of thresholds, never-empty guard."""

    mean: Mean
    method: Method
    never_empty: Guard


class Case(NamedTuple):
    """An image without its pixels: what is known of it, its maps, and how these are cut."""

    row: ImageRow
    groups: Groups
    rule: Rule | ClassRule


def cases(
    rows: Sequence[ImageRow], part: ensemble.Part, experiments: Sequence[ensemble.Experiment], rules: Rules
) -> list[Case]:
    """A case for each row, of the maps that the experiments hold under `part`.

    Raises InputError when a map or a rule is missing, or a map was cut off: before any of the images is cut.
    """
    found = []
    for row in rows:
        groups = ensemble.groups(experiments, part, row.id)
        for path in (path for paths, _ in groups for path in paths):
            map_file.check(path)
        found.append(Case(row, groups, rules.rule(row.data_source, row.organ)))
    return found


def native_cut(case: Case, way: Way) -> Cut:
    """The (H, W) mask at native size and how it came about; only this image's maps are read."""
    row, never_empty = case.row, way.never_empty
    probability = native_probability(case.groups, height=row.img_height, width=row.img_width, mean=way.mean)
    if isinstance(case.rule, ClassRule):
        return classes.cut(probability, case.rule, pixel_size=row.pixel_size, never_empty=never_empty)
    cut = partial(cutting.cut, pixel_size=row.pixel_size, method=way.method, never_empty=never_empty)
    return cut(probability[0], case.rule)


def answer(case: Case, way: Way, classes: int = 1) -> dict[str, Any]:
    """The mask as texts, one for each of `classes`, and what the never-empty guard did: id, rles and the
    columns of GUARDED.

    `asked` and `used` are thresholds (probability) before and after the guard; nan where there are none.
    """
    row, made = case.row, native_cut(case, way)
    return {
        "id": row.id,
        "rles": [rle.encode(made.mask == number) for number in range(1, classes + 1)],
        "organ": row.organ,
        "data_source": row.data_source,
        "asked": round(made.asked, 6),
        "used": round(made.threshold, 6),
        "objects": made.objects,
        "action": made.action,
    }


def guard_in_words(table: pd.DataFrame, never_empty: Guard) -> str:
    """What the guard did to the images of a table (GUARDED), in a line for each kind of deed."""
    full = (table["objects"] > 0).sum()
    lines = [f"never-empty guard ({never_empty}): {full} of {len(table)} masks hold an object"]
    told = {
        "lowered": "{organ}, {asked:g} lowered to {used:g}",
        "empty": "{organ}, nothing left at {asked:g}",
    }
    for action, words in told.items():
        rows = table[table["action"] == action]
        names = [f"{row['id']} ({words.format_map(row)})" for row in rows.to_dict("records")]
        if names:
            lines.append(f"  {action}: {some(names)}")
    return "\n".join(lines)
