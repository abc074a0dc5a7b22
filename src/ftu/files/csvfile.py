"""CSV files, read strictly and checked; errors name the file, the row or column, and the value."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ftu.errors import InputError
from ftu.files import limits, rle

LARGEST = limits.LONGEST_SIDE  # px or um: no image has more
LARGEST_FILE = 2**30  # bytes, hundreds of times the competition's tables
OTHER_SIGNS = ";\t|"  # between cells, of other programs and countries
# Characters that programs leave of a cell, or of a line that is pasted, without a word.
CUTS = {
    255: "a text field of Access, MySQL or ODBC",
    4_000: "Oracle",
    4_095: "a line of a terminal",
    8_000: "SQL Server",
    32_766: "Excel, where the last character is a space",
    32_767: "Excel",
    50_000: "Google Sheets",
    65_535: "LibreOffice, or a text of MySQL,",
}
ALWAYS = 32_766  # shorter masks are common: their lengths tell only where no rle is longer


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
    """Any CSV as text, empty cells as empty strings; see `parse`."""
    try:
        content = limits.content(path, LARGEST_FILE)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); fetch it, or run `dvc repro` if a stage makes it"
        ) from error
    return parse(content, str(path))


def parse(content: bytes, name: str) -> pd.DataFrame:
    """The cells of a CSV as text; `name` is what messages call it.

    Raises InputError unless it is a whole file of UTF-8 with different column names, a comma between cells,
    as many of them in each row, and an end behind the last: pandas renames a column, takes a cell that is
    missing for an empty one, which is an empty mask, and an id called NA for none.
    """
    try:
        text = limits.text(content)
        csv.field_size_limit(LARGEST_FILE)  # a mask is one cell
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        if not rows:
            raise csv.Error("it is empty")
    except (csv.Error, ValueError) as error:
        raise InputError(f"{name}: cannot be read as CSV ({error}); fetch the file again") from error
    names = [column or f"Unnamed: {place}" for place, column in enumerate(rows[0])]
    _check_names(name, names)
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            what = "fewer" if len(row) < len(names) else "more"
            raise InputError(
                f"{name}: row {number} has {what} cells than the first line names; fetch the file again"
            )
    if len(rows) > 1 and text[-1] not in "\r\n":
        raise InputError(
            f"{name}: the last line has no end, as if the file were cut off; fetch it again, or end the line"
        )
    table = pd.DataFrame(rows[1:], columns=names, dtype=str)
    if "rle" in table:
        _check_whole(name, table)
    return table


def _check_names(name: str, names: list[str]) -> None:
    """Raise InputError where columns share a name, or another sign than a comma parts them."""
    if len(set(names)) < len(names):
        twice = next(column for column in names if names.count(column) > 1)
        raise InputError(f"{name}: names the column {twice[:40]!r} twice; keep one")
    if len(names) == 1 and (sign := next((sign for sign in OTHER_SIGNS if sign in names[0]), "")):
        raise InputError(
            f"{name}: cells are parted by {sign!r}, not by a comma; save it with commas, and decimal points"
        )


def _check_whole(name: str, table: pd.DataFrame) -> None:
    """Raise InputError where a program has cut RLEs: the front of one is an RLE, too, of another mask."""
    lengths = table["rle"].str.len()
    for row, (length, text) in enumerate(zip(lengths, table["rle"], strict=True), start=1):
        if length in CUTS and (length >= ALWAYS or length == lengths.max()):
            who = f"id {table['id'].iloc[row - 1][: limits.LONGEST_NAME]}" if "id" in table else f"row {row}"
            raise InputError(
                f"{name}: {who}: rle has exactly {length} characters, and {CUTS[length]} cuts cells there: "
                f"it ends with {text[-20:]!r}; fetch the file again, and open it in no such program. If the "
                "mask is whole (compare the end with where it was made), put two spaces behind the rle"
            )


def whole(rle: str) -> str:
    """The RLE as a table of ours holds it: with two spaces behind it where its length looks like a cut."""
    return f"{rle}  " if len(rle) in CUTS else rle


def check_columns(path: Path | str, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)[:200] or "none"
        raise InputError(f"{path}: has no column {', '.join(missing)}; found {found}; fetch the file again")


def check_ids(path: Path | str, ids: pd.Series) -> None:
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


def measured(name: str, table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The table with these columns as floats, nan where a cell is empty."""
    try:
        found = {column: table[column].replace("", "nan").astype(float) for column in columns}
    except ValueError as error:
        raise InputError(f"{name}: {error}; run `dvc repro`, or fetch the file again") from error
    return table.assign(**found)


def with_sizes(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with img_height and img_width as numbers, of images that are not too large."""
    sizes = {column: numbers(path, table, column, int) for column in ("img_height", "img_width")}
    for image_id, height, width in zip(table["id"], *sizes.values(), strict=True):
        if fault := limits.size_fault(int(height), int(width)):
            raise InputError(
                f"{path}: id {image_id}: img_height and img_width: {fault}; correct the row, or cut the image"
            )
    return table.assign(**sizes)
