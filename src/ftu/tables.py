"""The competition's tables, read and checked; errors name the file, the row or column, and the value."""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ftu import limits, rle
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


LARGEST = limits.LONGEST_SIDE  # px or um: no image has more
LARGEST_FILE = 2**30  # bytes, hundreds of times the competition's tables
SETS = ("train", "test", "shifted")


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
    """train.csv: a row per image with its organ, data_source, size, pixel_size (um) and rle, all checked.

    Its last line must have an end: the front of an RLE is an RLE, too, of another mask.
    """
    table = _read(path, TRAIN_COLUMNS, organs, sources)
    if path.read_bytes()[-1:] not in (b"\n", b"\r"):
        raise InputError(
            f"{path}: the last line has no end, as if the file were cut off; fetch it again, or end the line"
        )
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
    check_ids(path, table["id"])
    return _with_sizes(path, table)


def image_path(root: Path, row: ImageRow) -> Path:
    """The TIFF of one image of the data set at `root`."""
    return root / f"{row.set}_images" / f"{row.id}.tiff"


def read_csv(path: Path) -> pd.DataFrame:
    """Any CSV as text, empty cells as empty strings.

    Raises InputError unless it is a file of text with different column names and as many cells in each row:
    pandas renames a column, and takes a cell that is missing for an empty one, which is an empty mask.
    """
    try:
        text = limits.content(path, LARGEST_FILE).decode("utf-8-sig")
        if (place := text.find("\0")) >= 0:
            raise csv.Error(f"character {place} is NUL, which no text holds")
        csv.field_size_limit(LARGEST_FILE)  # a mask is one cell
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        if not rows:
            raise csv.Error("it is empty")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); fetch it, or run `dvc repro` if a stage makes it"
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}); fetch the file again") from error
    names = [name or f"Unnamed: {place}" for place, name in enumerate(rows[0])]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: names the column {twice[:40]!r} twice; keep one")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            what = "fewer" if len(row) < len(names) else "more"
            raise InputError(
                f"{path}: row {number} has {what} cells than the first line names; fetch the file again"
            )
    return pd.DataFrame(rows[1:], columns=names, dtype=str)


def read_index(path: Path) -> pd.DataFrame:
    """data/images.csv: the checked rows of both tables, with the column `set` (train or test).

    Checked again, because other projects' and edited ones are read, too.
    """
    table = read_csv(path)
    _check_columns(path, table, list(ImageRow._fields))
    check_ids(path, table["id"])
    for image_id, name in zip(table["id"], table["set"], strict=True):
        if name not in SETS:
            raise InputError(f"{path}: id {image_id}: set {name!r} is not one of {', '.join(SETS)}")
    _numbers(path, table, "pixel_size", float)
    return _with_sizes(path, table).astype({"pixel_size": float})  # which rounds as Python does


def image_rows(index: pd.DataFrame) -> list[ImageRow]:
    """The rows of data/images.csv, typed."""
    return [ImageRow(*values) for values in index[list(ImageRow._fields)].itertuples(index=False, name=None)]


def read_folds(path: Path) -> pd.DataFrame:
    """data/folds.csv: id, organ, fold."""
    table = read_csv(path)
    _check_columns(path, table, ["id", "organ", "fold"])
    check_ids(path, table["id"])
    for image_id, fold in zip(table["id"], table["fold"], strict=True):
        if not (fold.isascii() and fold.isdigit() and len(fold) < 10):
            raise InputError(
                f"{path}: id {image_id}: fold {fold[:40]!r} is no number from 0; run `dvc repro`"
            )
    return table.astype({"fold": int})


def _read(path: Path, columns: list[str], organs: Collection[str], sources: Collection[str]) -> pd.DataFrame:
    table = read_csv(path)
    _check_columns(path, table, columns)
    if table.empty:
        raise InputError(f"{path}: has no rows; fetch the file again")
    table = table[columns]
    check_ids(path, table["id"])
    _check_named(path, table, "organ", organs)
    _check_named(path, table, "data_source", sources)
    return _with_sizes(path, table).assign(pixel_size=_numbers(path, table, "pixel_size", float))


def _check_columns(path: Path, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)[:200] or "none"
        raise InputError(f"{path}: has no column {', '.join(missing)}; found {found}; fetch the file again")


def check_ids(path: Path, ids: pd.Series) -> None:
    """Raise InputError unless every id of a table is there once, and names files: see `limits.name_fault`."""
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise InputError(
            f"{path}: id {repeated.iloc[0][: limits.LONGEST_NAME]} stands in more than one row; keep one"
        )
    for line, name in enumerate(ids, start=2):
        if fault := limits.name_fault(name):
            raise InputError(f"{path}: line {line}: id {fault}")


def _check_named(path: Path, table: pd.DataFrame, column: str, known: Collection[str]) -> None:
    unknown = table[~table[column].isin(list(known))]
    if len(unknown):
        row = unknown.iloc[0]
        raise InputError(
            f"{path}: id {row['id']}: {column} {row[column][:40]!r} has no threshold in params.yaml, which "
            f"knows {', '.join(sorted(known))}; correct the row, or name it in data and thresholds"
        )


def _numbers(path: Path, table: pd.DataFrame, column: str, kind: type) -> pd.Series:
    """The column as positive numbers of `kind`."""
    values = pd.to_numeric(table[column], errors="coerce")
    wrong = ~(values > 0) | (values > LARGEST) | ((values != values.round()) if kind is int else False)
    if wrong.any():
        row = table[wrong].iloc[0]
        what = "whole number" if kind is int else "number"
        raise InputError(
            f"{path}: id {row['id']}: {column} {row[column][:40]!r} is not a positive {what} up to "
            f"{LARGEST}; correct the row"
        )
    return values.astype(kind)


def _with_sizes(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with img_height and img_width as numbers, of images that are not too large."""
    sizes = {column: _numbers(path, table, column, int) for column in ("img_height", "img_width")}
    for image_id, height, width in zip(table["id"], *sizes.values(), strict=True):
        if fault := limits.size_fault(int(height), int(width)):
            raise InputError(
                f"{path}: id {image_id}: img_height and img_width: {fault}; correct the row, or cut the image"
            )
    return table.assign(**sizes)
