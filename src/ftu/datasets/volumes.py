"""Slices of volumes: which volume an image is of, and its number there."""

import pandas as pd

from ftu.errors import InputError
from ftu.files import names


def located(index: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, told: str) -> pd.DataFrame:
    """The index (the rows of `train`, then `test`) with `volume` and `z`; as it is where `told` (data.z)
    is ''.

    `told` names a column of the tables, or is a pattern. By a pattern a volume is what the name is without
    it; by a column it is the group. Raises InputError for a z that is no whole number, or that two images
    of a volume have.
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
    if names.is_pattern(told):
        own = both["name" if "name" in both else "id"]
        volume = [names.without(name, told) for name in own]
    else:
        volume = list(index["group"].where(index["group"] != "", both["id"]))
    index = index.assign(volume=volume, z=z.astype(int))
    again = index[index.duplicated(["set", "data_source", "volume", "z"])]
    if len(again):
        row = again.iloc[0]
        raise InputError(
            f"data.z: slice {row['z']} of volume {row['volume']!r} is there more than once, as "
            f"{row['id']} the last "
            "time; correct data.z, or the names"
        )
    return index
