"""Stratified folds: the images of each organ are dealt out like cards."""

from pathlib import Path

import numpy as np
import pandas as pd

from ftu.errors import InputError
from ftu.files.csvfile import check_columns, check_ids, read_csv


def assign_folds(images: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:
    """Deal `images` (id, organ) into `count` folds, stratified by organ; paper section 5.

    Returns id, organ, fold (0..count-1) sorted by id, whatever the order of the input. Any two folds
    differ by at most one image of each organ, and by at most one image in all, because the deal of each
    organ goes on where that of the one before stopped.
    Raises InputError when there are fewer images than folds.
    """
    if len(images) < count:
        raise InputError(
            f"split.count: {count} folds need at least {count} images, got {len(images)}; use fewer"
        )
    rng = np.random.default_rng(seed)
    table = images[["id", "organ"]].sort_values("id", kind="stable", ignore_index=True)
    dealt = table.assign(order=rng.permutation(len(table))).sort_values(["organ", "order"], kind="stable")
    dealt["fold"] = np.arange(len(dealt)) % count
    return dealt.sort_values("id", kind="stable", ignore_index=True)[["id", "organ", "fold"]]


def rare_organs(images: pd.DataFrame, *, count: int) -> dict[str, int]:
    """Organs with fewer images than folds, and how many: some folds are validated without them."""
    sizes = images["organ"].value_counts().sort_index()
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
    """data/folds.csv: id, organ, fold."""
    table = read_csv(path)
    check_columns(path, table, ["id", "organ", "fold"])
    check_ids(path, table["id"])
    for image_id, fold in zip(table["id"], table["fold"], strict=True):
        if not (fold.isascii() and fold.isdigit() and len(fold) < 10):
            raise InputError(
                f"{path}: id {image_id}: fold {fold[:40]!r} is no number from 0; run `dvc repro`"
            )
    return table.astype({"fold": int})
