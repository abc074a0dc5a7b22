"""CSV files, read strictly and checked; errors name the file, the row or column, and the value."""

import csv
import io
from pathlib import Path

import pandas as pd

from ftu.errors import InputError
from ftu.files import limits, rle

LARGEST = limits.LONGEST_SIDE  # px or um: no image has more
LARGEST_FILE = 2**30  # bytes, hundreds of times the competition's tables


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
    check_columns(path, table, ["id", "img_height", "img_width"])
    check_ids(path, table["id"])
    return with_sizes(path, table)


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


def check_columns(path: Path, table: pd.DataFrame, columns: list[str]) -> None:
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


def numbers(path: Path, table: pd.DataFrame, column: str, kind: type) -> pd.Series:
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


def with_sizes(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with img_height and img_width as numbers, of images that are not too large."""
    sizes = {column: numbers(path, table, column, int) for column in ("img_height", "img_width")}
    for image_id, height, width in zip(table["id"], *sizes.values(), strict=True):
        if fault := limits.size_fault(int(height), int(width)):
            raise InputError(
                f"{path}: id {image_id}: img_height and img_width: {fault}; correct the row, or cut the image"
            )
    return table.assign(**sizes)
