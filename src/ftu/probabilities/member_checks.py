"""Whether another experiment may be averaged with this one: its organs, classes, images, views and shift."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from fsspec import AbstractFileSystem

from ftu.errors import InputError, some

ONE = ["ftu"]  # the classes of projects that do not name any
COLUMNS = ["id", "set", "img_height", "img_width"]  # of data/images.csv: those that must agree


class Wanted(NamedTuple):
    """What an experiment has to have."""

    organs: Sequence[str]
    classes: Sequence[str]
    images: pd.DataFrame  # data/images.csv
    due: Mapping[str, set[str]]  # part (oof, test, shifted) -> ids of which a map must be there
    sets: Sequence[str]  # of views, of each
    shift: Mapping[str, Any]  # the parameters, where shifted is due


def check_alike(name: str, params: Mapping[str, Any], index: pd.DataFrame, wanted: Wanted) -> None:
    """Raise InputError unless the experiment with these parameters and images is about the same."""
    organs = params["data"]["organs"]
    if set(organs) != set(wanted.organs):
        raise InputError(
            f"ensemble.members: {name!r} has data.organs {sorted(organs)}, this project "
            f"{sorted(wanted.organs)}; take it out, or train it for the same"
        )
    if (classes := params["data"].get("classes", ONE)) != list(wanted.classes):
        raise InputError(
            f"ensemble.members: {name!r} has data.classes {classes}, this project {list(wanted.classes)}, "
            "and bands of maps are averaged by their place; take it out, or train it for the same"
        )
    theirs, ours = (
        set(table[COLUMNS].itertuples(index=False, name=None)) for table in (index, wanted.images)
    )
    if odd := sorted(theirs ^ ours):
        which = some((f"{row[0]} ({row[1]}, {row[2]} x {row[3]} px)" for row in odd), 3)
        raise InputError(
            f"ensemble.members: {name!r} was made on other images: {len(odd)} rows of data/images.csv stand "
            f"in one project alone ({which}); take it out, or run it on the same data set"
        )
    if "shifted" in wanted.due and params.get("shift") != wanted.shift:
        raise InputError(
            f"ensemble.members: {name!r} has shift {params.get('shift')}, this project {dict(wanted.shift)}; "
            "run it with the same, or set shift.enabled: false"
        )


def check_maps(name: str, files: AbstractFileSystem, folds: Sequence[int], wanted: Wanted) -> None:
    """Raise InputError unless every map that is due is there.

    Test images are due from each fold; the others from the fold that held them out, whichever that is:
    another experiment may have dealt its images differently.
    """
    for part, due in wanted.due.items():
        for tta in wanted.sets:
            found = [_ids(name, files, f"data/predictions/fold_{fold}/{part}/{tta}") for fold in folds]
            lacking = due - (set.intersection(*found) if part == "test" else set.union(*found))
            if lacking:
                raise InputError(
                    f"ensemble.members: {name!r}, folds {list(folds)}: no map under {part}/{tta} of "
                    f"{some(sorted(lacking))} ({len(lacking)} images); run it with the same "
                    "split, or on all of its folds, or take it out"
                )


def _ids(name: str, files: AbstractFileSystem, place: str) -> set[str]:
    """The images of which there is a map; InputError when the part or the set of views was not predicted."""
    if not files.isdir(place):
        tta = Path(place).name
        raise InputError(
            f"ensemble.members: {name!r} has no {place}; predict it with {tta!r} as predict.tta or among "
            "predict.candidates, or ask for other views here"
        )
    return {Path(path).stem for path in files.ls(place, detail=False)}
