"""The competition's tables, read and checked; errors name the file, the row or column, and the value."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ftu import rle
from ftu.errors import InputError

TEST_COLUMNS = ["id", "organ", "data_source", "img_height", "img_width", "pixel_size"]
TRAIN_COLUMNS = [*TEST_COLUMNS, "rle"]


class ImageRow(NamedTuple):
    """What is known of one image, whichever table it stands in."""

    id: str
    set: str  # train or test
    organ: str
    data_source: str
    img_height: int  # px
    img_width: int  # px
    pixel_size: float  # um


LARGEST = 10**6  # px or um: no image has more
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_root(root: Path) -> None:
    """Raise InputError unless `root` looks like the competition's data set."""
    parts = ["train.csv", "train_images", "test.csv", "test_images"]
    missing = [part for part in parts if not (root / part).exists()]
    if not missing:
        return
    what = f"has no {', '.join(missing)}" if root.is_dir() else "does not exist"
    raise InputError(
        f"data.root: the folder {root} {what}. Get the competition's data with\n"
        "    kaggle competitions download -c hubmap-organ-segmentation\n"
        f"    unzip hubmap-organ-segmentation.zip -d {root}\n"
        "or use the embedded sample: data.root: data/sample"
    )


def read_train(path: Path, *, organs: Collection[str], sources: Collection[str]) -> pd.DataFrame:
    """train.csv: a row per image with its organ, data_source, size, pixel_size (um) and rle, all checked."""
    table = _read(path, TRAIN_COLUMNS, organs, sources)
    check_rles(str(path), table)
    return table


def read_test(path: Path, *, organs: Collection[str], sources: Collection[str]) -> pd.DataFrame:
    """test.csv: as train.csv, without rle."""
    return _read(path, TEST_COLUMNS, organs, sources)


def read_both(
    root: Path, *, organs: Collection[str], sources: Collection[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """train.csv and test.csv of the data set at `root`, checked; no id may stand in both."""
    check_root(root)
    train = read_train(root / "train.csv", organs=organs, sources=sources)
    test = read_test(root / "test.csv", organs=organs, sources=sources)
    if both := set(train["id"]) & set(test["id"]):
        raise InputError(f"{root}: id {sorted(both)[0]} stands in train.csv and in test.csv; keep one")
    return train.assign(set="train"), test.assign(set="test")


def check_rles(name: str, table: pd.DataFrame) -> None:
    """Raise InputError unless each rle of a table (id, rle, img_height, img_width) decodes.

    `name` is what the message calls the table.
    """
    rows = zip(table["id"], table["rle"], table["img_height"], table["img_width"], strict=True)
    for image_id, text, height, width in rows:
        try:
            rle.check(text, height=height, width=width)
        except ValueError as error:
            raise InputError(f"{name}: id {image_id}: rle: {error}; correct the row") from error


def read_sizes(path: Path) -> pd.DataFrame:
    """id, img_height and img_width of a table whose other columns do not matter."""
    table = read_csv(path)
    _check_columns(path, table, ["id", "img_height", "img_width"])
    return table.assign(
        img_height=_numbers(path, table, "img_height", int), img_width=_numbers(path, table, "img_width", int)
    )


def image_path(root: Path, row: ImageRow) -> Path:
    """The TIFF of one image of the data set at `root`."""
    return root / f"{row.set}_images" / f"{row.id}.tiff"


def read_csv(path: Path) -> pd.DataFrame:
    """Any CSV as text, empty cells as empty strings."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); fetch it, or run `dvc repro` if a stage makes it"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as CSV ({str(error).strip()}); fetch the file again"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas shifts such rows to the left
        raise InputError(f"{path}: rows have more cells than the first line names; fetch the file again")
    return table


def read_index(path: Path) -> pd.DataFrame:
    """data/images.csv: the checked rows of both tables, with the column `set` (train or test)."""
    table = read_csv(path)
    _check_columns(path, table, list(ImageRow._fields))
    return table.astype({"img_height": int, "img_width": int, "pixel_size": float})


def image_rows(index: pd.DataFrame) -> list[ImageRow]:
    """The rows of data/images.csv, typed."""
    return [ImageRow(*values) for values in index[list(ImageRow._fields)].itertuples(index=False, name=None)]


def read_folds(path: Path) -> pd.DataFrame:
    """data/folds.csv: id, organ, fold."""
    table = read_csv(path)
    _check_columns(path, table, ["id", "organ", "fold"])
    return table.astype({"fold": int})


def _read(path: Path, columns: list[str], organs: Collection[str], sources: Collection[str]) -> pd.DataFrame:
    table = read_csv(path)
    _check_columns(path, table, columns)
    if table.empty:
        raise InputError(f"{path}: has no rows; fetch the file again")
    table = table[columns]
    _check_ids(path, table["id"])
    _check_named(path, table, "organ", organs)
    _check_named(path, table, "data_source", sources)
    return table.assign(
        img_height=_numbers(path, table, "img_height", int),
        img_width=_numbers(path, table, "img_width", int),
        pixel_size=_numbers(path, table, "pixel_size", float),
    )


def _check_columns(path: Path, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise InputError(f"{path}: has no column {', '.join(missing)}; found {found}; fetch the file again")


def _check_ids(path: Path, ids: pd.Series) -> None:
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise InputError(f"{path}: id {repeated.iloc[0]} stands in more than one row; keep one")
    for line, name in enumerate(ids, start=2):
        if not _ID.fullmatch(name):
            raise InputError(f"{path}: line {line}: id {name!r} is no file name; use letters, digits, . _ -")


def _check_named(path: Path, table: pd.DataFrame, column: str, known: Collection[str]) -> None:
    unknown = table[~table[column].isin(list(known))]
    if len(unknown):
        row = unknown.iloc[0]
        raise InputError(
            f"{path}: id {row['id']}: {column} {row[column]!r} has no threshold in params.yaml, which knows "
            f"{', '.join(sorted(known))}; correct the row, or name it in data and thresholds"
        )


def _numbers(path: Path, table: pd.DataFrame, column: str, kind: type) -> pd.Series:
    """The column as positive numbers of `kind`."""
    values = pd.to_numeric(table[column], errors="coerce")
    wrong = ~(values > 0) | (values > LARGEST) | ((values != values.round()) if kind is int else False)
    if wrong.any():
        row = table[wrong].iloc[0]
        what = "whole number" if kind is int else "number"
        raise InputError(
            f"{path}: id {row['id']}: {column} {row[column]!r} is not a positive {what} up to {LARGEST}; "
            "correct the row"
        )
    return values.astype(kind)
