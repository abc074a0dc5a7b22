"""Slices of volumes: which volume an image is of, and its number there."""

from collections.abc import Sequence

import pandas as pd

from ftu.datasets import groups
from ftu.errors import InputError
from ftu.files import names


def located(
    index: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    told: str,
    columns: Sequence[str],
    same: Sequence[tuple[int, int]] = (),
) -> pd.DataFrame:
    """The index (the rows of `train`, then `test`) with `volume` and `z`; as it is where `told` (data.z)
    is ''.

    `told` names a column of the tables, or is a pattern. By a pattern a volume is what the name is without
    it; by a column it is what `columns` (data.group) say, for test images, too. Where one picture is in two
    volumes (`same`: positions in the index), a column `picture` names the first image that shows it.
    Raises InputError for a z that is no whole number, or that two images of a volume have, and where nothing
    says the volume.
    """
    if not told:
        return index
    both = pd.concat([names.with_told(train, told), names.with_told(test, told)], ignore_index=True)
    if told not in both:
        return index
    z = both[told].fillna("").str.strip()
    wrong = ~z.str.fullmatch(r"\d{1,9}")
    if wrong.any():
        row = both[wrong].iloc[0]
        raise InputError(
            f"data.z: image {row['id']} has {z[wrong].iloc[0][:40]!r} for a slice's number; it takes a "
            f"whole one"
        )
    volume = _by_pattern(both, told) if names.is_pattern(told) else _by_columns(both, columns)
    index = index.assign(volume=volume, z=z.astype(int))
    again = index[index.duplicated(["set", "data_source", "volume", "z"])]
    if len(again):
        row = again.iloc[0]
        raise InputError(
            f"data.z: slice {row['z']} of volume {row['volume']!r} is there more than once, as "
            f"{row['id']} the last "
            "time; correct data.z, or the names"
        )
    return _with_pictures(index, same)


def _by_pattern(both: pd.DataFrame, told: str) -> list[str]:
    own = list(both["name" if "name" in both else "id"])
    volumes = [names.without(name, told) for name in own]
    if "" in volumes:
        raise InputError(
            f"data.z: {told!r} leaves nothing of the name {own[volumes.index('')]!r}, which is its volume; "
            r"it finds the slice's part alone, as in '_z(\d+)$'"
        )
    return volumes


def _by_columns(both: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """What the columns say, joined; an image of which one says nothing is a volume of its own."""
    if not columns:
        raise InputError(
            "data.z names a column, and data.group is empty: nothing says of which volume a slice is; name "
            "the volume's column in data.group"
        )
    for column in columns:
        both = names.with_told(both, column)
    said = both[list(columns)].fillna("").apply(lambda column: column.str.strip())
    whole = said.agg("/".join, axis=1)
    return list(whole.where((said != "").all(axis=1), both["id"]))


def _with_pictures(index: pd.DataFrame, same: Sequence[tuple[int, int]]) -> pd.DataFrame:
    ids, volume = list(index["id"]), list(index["data_source"] + "/" + index["volume"])
    ties = [(ids[one], ids[other]) for one, other in same if volume[one] != volume[other]]
    return index.assign(picture=groups.joined(ids, ties)) if ties else index
