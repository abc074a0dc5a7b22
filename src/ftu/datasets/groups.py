"""Training images that belong together: of one patient, or one picture twice. A group lies in one fold."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ftu.errors import some
from ftu.files import names


class Groups(NamedTuple):
    """What is known of who belongs together."""

    names: list[str]  # of each training image, the first id of its group; empty where no groups are known
    warnings: list[str]


def of(
    train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str], same: Sequence[tuple[int, int]]
) -> Groups:
    """The groups of the rows of `train` (id, and `columns` as text, or patterns of what names say).

    Rows with equal values in all `columns`, but for blanks around them, are one group. So are two that are
    one picture, and whatever these lead to: `same` has their positions among the rows of `train`, then
    `test`. A row with an empty value in one of the columns is tied to no other by them. Groups are known
    where there are columns, or two training images that are one picture. The warnings name the ids of empty
    values, and of one picture twice where the columns had not put the two together: slices of one volume
    look alike, and nothing follows from it.
    """
    for column in columns:
        train = names.with_told(train, column)
    ids, trained = [*train["id"], *test["id"]], len(train)
    across = [(ids[one], ids[other]) for one, other in same if one < trained <= other]
    train = train.assign(**{name: train[name].str.strip() for name in columns})
    unknown = (train[list(columns)] == "").any(axis=1)
    alike = train[~unknown].groupby(list(columns))["id"] if columns else ()
    ties = [list(found) for _, found in alike]
    said = joined(ids, ties)
    pairs = [(ids[one], ids[other]) for one, other in same if other < trained and said[one] != said[other]]
    told = _warnings(ids[:trained], list(train.loc[unknown, "id"]), columns, pairs, across)
    led = [(ids[one], ids[other]) for one, other in same]  # two may be one picture with a test image
    first = joined(ids, [*ties, *led])[:trained]
    return Groups(first if columns or len(set(first)) < trained else [], told)


def joined(ids: Sequence[str], ties: Sequence[Sequence[str]]) -> list[str]:
    """Of each id the smallest id that ties, each of one or more ids, lead to."""
    parent = {name: name for name in ids}

    def first(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for tie in ties:
        ends = {first(name) for name in tie}
        parent |= dict.fromkeys(ends, min(ends))
    return [first(name) for name in ids]


def _warnings(
    ids: Sequence[str],
    lonely: Sequence[str],
    columns: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    across: Sequence[tuple[str, str]],
) -> list[str]:
    told = []
    if lonely:
        told.append(
            f"{len(lonely)} of {len(ids)} training images have no value in one of data.group "
            f"({', '.join(columns)}); each is a group of its own: {some(lonely)}"
        )
    if pairs:
        told.append(f"one picture twice among the training images, of one group: {_listed(pairs)}")
    if across:
        told.append(
            "one picture in train and in test, which flatters scores on the test images; take it out of the "
            f"training images: {_listed(across)}"
        )
    return told


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    return some(f"{first} and {second}" for first, second in pairs)
