"""Stratified folds: the images of each organ are dealt out like cards, those of a group together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ftu.errors import InputError, some
from ftu.files.csvfile import check_columns, check_ids, read_csv


def assign_folds(images: pd.DataFrame, *, by: str, count: int, seed: int) -> pd.DataFrame:
    """Put `images` (id, organ, and what `by` needs) into `count` folds: id, organ, fold, sorted by id.

    `by` is image or group (dealt, see `deal`), z (neighbouring slices, see `blocks`), or source (see
    `sources`). Where the images have a column `group`, or are dealt by z, so has the result, and no group
    is in two folds. Raises InputError where a fold would be empty.
    """
    return WAYS[by](images.sort_values("id", kind="stable", ignore_index=True), count=count, seed=seed)


def deal(images: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:
    """Deal images stratified by organ; paper section 5.

    Any two folds differ by at most one image of each organ, and by at most one image in all, because the
    deal of each organ goes on where that of the one before stopped.

    Where the images have a column `group`, groups are dealt whole: of an organ whose groups hold no other,
    two folds differ by at most its largest group. Groups of one image are dealt as if there were none.
    Raises InputError when there are fewer images, or groups, than folds, or slices of a volume in several
    groups.
    """
    grouped = ["group"] if "group" in images else []
    _check_whole_volumes(images)
    groups = images["group"] if grouped else images["id"]
    _check_enough(groups, count, grouped=bool(grouped))
    order = pd.Series(np.random.default_rng(seed).permutation(len(images)))
    fold = groups.map(_deal(groups, images["organ"], order, count))
    return images.assign(fold=fold)[["id", "organ", "fold", *grouped]]


def blocks(images: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:  # noqa: ARG001
    """Cut each volume (`volume`, `z`) into `count` blocks of neighbouring slices, as even as can be.

    Block k is fold k. A block is a group: its slices are alike. Slices at the ends of two blocks are
    neighbours all the same, so that other volumes may score lower. Raises InputError where a fold would be
    empty, or one picture, which is in two volumes (`picture`), would be in two folds.
    """
    if "z" not in images:
        raise InputError("split.by z: data/images.csv has no column z; run `dvc repro -f -s decode`")
    volume = ["data_source", "volume"]
    table = images.astype({"z": int}).sort_values([*volume, "z"], kind="stable")
    slices = table.groupby(volume)["id"]
    table = table.assign(fold=slices.cumcount() * count // slices.transform("size"))
    group = table.groupby([*volume, "fold"])["id"].transform("min")
    table = table.assign(group=group).sort_index()
    _check_none_empty(table, count, "slices")
    if "picture" in table:
        parted = table.groupby("picture")["fold"].nunique()
        if (parted > 1).any():
            ids = table.loc[table["picture"] == parted.index[parted > 1][0], "id"]
            raise InputError(
                f"split.by z: {' and '.join(sorted(ids))} are one picture, and would be in two folds; take "
                "one of them out"
            )
    return table[["id", "organ", "fold", "group"]]


def sources(images: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:  # noqa: ARG001
    """Hold out one data source after the other: fold k is the k-th source by name."""
    found = sorted(set(images["data_source"]))
    if len(found) != count:
        raise InputError(
            f"split.count: {count} folds by source, and the training images are of {len(found)} "
            f"({', '.join(found)}); "
            + (f"set split.count: {len(found)}" if len(found) > 1 else "use another split.by")
        )
    if "group" in images:
        parted = images.groupby("group")["data_source"].nunique()
        if (parted > 1).any():
            raise InputError(
                f"split.by source: group {parted.index[parted > 1][0]} has images of several sources, so "
                "that a fold would be scored on what its model has seen; take one of them out"
            )
    fold = images["data_source"].map(found.index)
    return images.assign(fold=fold)[["id", "organ", "fold", *(["group"] if "group" in images else [])]]


def _check_none_empty(table: pd.DataFrame, count: int, what: str) -> None:
    if empty := sorted(set(range(count)) - set(table["fold"])):
        raise InputError(
            f"split.count: {count} folds, of which {empty} get no {what}, from {len(table)} images; "
            f"{_way_out(count)}"
        )


def _check_whole_volumes(images: pd.DataFrame) -> None:
    """Raise InputError where slices of one volume, which are alike, are of several groups."""
    if "volume" not in images or "group" not in images:
        return
    for (source, volume), slices in images.groupby(["data_source", "volume"]):
        if len(found := sorted(set(slices["group"]))) > 1:
            raise InputError(
                f"data.group: volume {volume!r} of {source} has slices of {len(found)} groups "
                f"({some(found)}), and slices of a volume are alike; name what they share in data.group"
            )


def _way_out(count: int) -> str:
    """2 is the fewest."""
    return "use fewer folds" if count > 2 else "add images, or use another split.by"


def _deal(groups: pd.Series, organs: pd.Series, order: pd.Series, count: int) -> dict[str, int]:
    """Group -> fold, from the group, organ and place in the shuffled deck of each image.

    Organ by organ, the largest group first, each to the fold that holds the fewest images of its organs, of
    these to the one with the fewest in all, of these to the first.
    """
    images = pd.crosstab(groups, organs)  # a row per group, a column per organ
    sizes, first = images.to_numpy(), order.groupby(groups).min().to_numpy()
    held, folds = np.zeros((count, sizes.shape[1]), int), {}
    for place in np.lexsort((first, -sizes.sum(axis=1), sizes.argmax(axis=1))):
        fold = int(np.lexsort((held.sum(axis=1), held @ sizes[place]))[0])
        held[fold] += sizes[place]
        folds[images.index[place]] = fold
    return folds


def _check_enough(groups: pd.Series, count: int, *, grouped: bool) -> None:
    """Raise InputError unless each fold gets something."""
    sizes = groups.value_counts()
    if len(sizes) >= count:
        return
    if not grouped:
        raise InputError(
            f"split.count: {count} folds need at least {count} images, got {len(groups)}; {_way_out(count)}"
        )
    raise InputError(
        f"split.count: {count} folds need at least {count} groups, got {len(sizes)}, the largest of "
        f"{sizes.iloc[0]} of {len(groups)} images ({sizes.index[0]} and others); {_way_out(count)}, or name "
        "more columns in data.group"
    )


WAYS: dict[str, Callable[..., pd.DataFrame]] = {"image": deal, "group": deal, "z": blocks, "source": sources}


def rare_organs(table: pd.DataFrame, *, count: int) -> dict[str, int]:
    """Organs with fewer images, or groups where they are known, than folds, and how many.

    `table` is what was dealt, where a block of slices is a group. Some folds are validated without them.
    """
    dealt = table.drop_duplicates(["organ", "group"]) if "group" in table else table
    sizes = dealt["organ"].value_counts().sort_index()
    return {str(organ): int(size) for organ, size in sizes.items() if size < count}


def divide(table: pd.DataFrame, fold: int) -> tuple[list[str], list[str]]:
    """The ids to train on and the ids that `fold` holds out, of a table (id, fold).

    Raises InputError when `fold` was not dealt.
    """
    held_out = table["fold"] == fold
    if not held_out.any():
        raise InputError(
            f"fold {fold} holds no image; the folds are {sorted(table['fold'].unique().tolist())}"
        )
    return table.loc[~held_out, "id"].tolist(), table.loc[held_out, "id"].tolist()


def read_folds(path: Path) -> pd.DataFrame:
    """data/folds.csv: id, organ, fold, and group where groups are known.

    Raises InputError where a group has no name, or images in two folds.
    """
    table = read_csv(path)
    check_columns(path, table, ["id", "organ", "fold"])
    check_ids(path, table["id"])
    for image_id, fold in zip(table["id"], table["fold"], strict=True):
        if not (fold.isascii() and fold.isdigit() and len(fold) < 10):
            raise InputError(
                f"{path}: id {image_id}: fold {fold[:40]!r} is no number from 0; run `dvc repro`"
            )
    if "group" in table:
        _check_groups(path, table)
    return table.astype({"fold": int})


def read_dealt(path: Path, index: pd.DataFrame) -> pd.DataFrame:
    """The folds at `path`, as `read_folds` reads them; InputError unless they are of `index`'s images.

    `index` is data/images.csv: the training images of it are those that were dealt.
    """
    table = read_folds(path)
    if odd := sorted(set(table["id"]) ^ set(index.loc[index["set"] == "train", "id"])):
        raise InputError(
            f"{path}: is of other images than data/images.csv: id {some(odd)} in one of the two alone; run "
            "`dvc repro`"
        )
    return table


def _check_groups(path: Path, table: pd.DataFrame) -> None:
    nameless = table.loc[table["group"] == "", "id"]
    if len(nameless):
        raise InputError(f"{path}: id {nameless.iloc[0]}: group is empty; run `dvc repro`")
    parted = table.groupby("group")["fold"].nunique()
    if (parted > 1).any():
        name = parted.index[parted > 1][0]
        folds = ", ".join(sorted(set(table.loc[table["group"] == name, "fold"])))
        raise InputError(
            f"{path}: group {name[:40]!r} has images in folds {folds}; run `dvc repro -f -s split`"
        )
