"""The competition's data set, its tables read and checked; errors name file, row and value."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ftu.errors import InputError, some
from ftu.files import names, rle
from ftu.files.csvfile import check_columns, check_ids, check_rles, numbers, read_csv, with_sizes
from ftu.files.png import write_mask


class Decoding(NamedTuple):
    """What makes masks: a function, how many files it reads, and the columns of its first arguments."""

    function: Callable[..., None]
    reads: int
    columns: Sequence[Sequence]


TEST_COLUMNS = ["id", "organ", "data_source", "img_height", "img_width", "pixel_size"]
NAMED_IN = {"organ": "data.organs", "data_source": "data.sources"}  # what knows the values of a column
TRAIN_COLUMNS = [*TEST_COLUMNS, "rle"]


def check_root(root: Path) -> None:
    """Raise InputError unless `root` looks like the competition's data set."""
    os.fsencode(root)  # raises UnicodeEncodeError where a locale cannot name it: then nothing would be there
    parts = ["train.csv", "train_images", "test.csv", "test_images"]
    missing = [part for part in parts if not (root / part).exists()]
    if not missing:
        return
    if root.exists() and not root.is_dir():
        raise InputError(f"data.root: {root} is a file; unpack it, and name the folder that holds {parts[0]}")
    what = f"has no {', '.join(missing)}" if root.is_dir() else "does not exist"
    raise InputError(
        f"data.root: the folder {root} {what}. Get the competition's data with\n"
        "    kaggle competitions download -c hubmap-organ-segmentation\n"
        f"    unzip hubmap-organ-segmentation.zip -d {root}\n"
        "or use the embedded sample: data.root: data/sample"
    )


def read_train(
    path: Path, *, organs: Collection[str], sources: Collection[str], group: Sequence[str] = ()
) -> pd.DataFrame:
    """train.csv: a row per image with its organ, data_source, size, pixel_size (um) and rle, all checked.

    Behind these come the columns in `group` (data.group), as text that may be empty.
    """
    table = _read(path, TRAIN_COLUMNS, organs, sources, group)
    check_rles(str(path), table)
    return table


def read_test(path: Path, *, organs: Collection[str], sources: Collection[str]) -> pd.DataFrame:
    """test.csv: as train.csv, without rle."""
    return _read(path, TEST_COLUMNS, organs, sources)


def read_both(
    root: Path,
    *,
    organs: Collection[str],
    sources: Collection[str],
    pixel_size: float = 0,  # noqa: ARG001  # its tables say
    told: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """train.csv, with the columns in `told`, and test.csv of the data set at `root`; no id is in both."""
    check_root(root)
    group = [name for name in told if not names.is_pattern(name)]
    train = read_train(root / "train.csv", organs=organs, sources=sources, group=group)
    test = read_test(root / "test.csv", organs=organs, sources=sources)
    if both := set(train["id"]) & set(test["id"]):
        raise InputError(f"{root}: id {sorted(both)[0]} stands in train.csv and in test.csv; keep one")
    return located(train, "train"), located(test, "test")


def located(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table of the set `name` (train or test) with `set` and `image`: where each TIFF lies."""
    return table.assign(set=name, image=[f"{name}_images/{image_id}.tiff" for image_id in table["id"]])


def left_out(root: Path, tables: Iterable[pd.DataFrame], told: Sequence[str] = ()) -> str:  # noqa: ARG001
    """A warning where image files have no row in their `located` table, empty where all have.

    A table that was cut off between two lines is a smaller table; the images tell.
    """
    for table in tables:
        (folder,) = {Path(image).parent for image in table["image"]}
        named = {Path(image).name for image in table["image"]}
        if more := sorted({path.name for path in (root / folder).glob("*.tiff")} - named):
            return (
                f"{root / folder}: {len(more)} of {len(more) + len(named)} images have no row in "
                f"{table['set'].iloc[0]}.csv and are left out: {some(more)}; if that is not meant, the table "
                "was cut off: fetch it again"
            )
    return ""


def _read(
    path: Path,
    columns: list[str],
    organs: Collection[str],
    sources: Collection[str],
    group: Sequence[str] = (),
) -> pd.DataFrame:
    if taken := sorted({"set", "image"} & set(group)):
        raise InputError(
            f"{path}: column {taken[0]}, which data.group names, is one that this pipeline makes itself; "
            "rename it in the table and in data.group"
        )
    table = read_csv(path)
    check_columns(path, table, columns)
    if missing := [column for column in group if column not in table]:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}, which data.group names; found "
            f"{', '.join(table.columns)[:200]}; name columns of it, or set data.group: []"
        )
    if table.empty:
        raise InputError(f"{path}: has no rows; fetch the file again")
    table = table[[*columns, *(column for column in group if column not in columns)]]
    check_ids(path, table["id"])
    check_named(path, table, "organ", organs)
    check_named(path, table, "data_source", sources)
    return with_sizes(path, table).assign(pixel_size=numbers(path, table, "pixel_size", float))


def check_named(path: Path, table: pd.DataFrame, column: str, known: Collection[str]) -> None:
    """Raise InputError for the first row (id, and `column`) whose value is not among those `known`."""
    unknown = table[~table[column].isin(list(known))]
    if len(unknown):
        row = unknown.iloc[0]
        raise InputError(
            f"{path}: id {row['id']}: {column} {row[column][:40]!r} is not in {NAMED_IN[column]} "
            f"({', '.join(sorted(known))}); correct the row, or name it there, and of one class in "
            "thresholds"
        )


def labelled(test: pd.DataFrame) -> pd.DataFrame:
    """None of the test images: their masks are Kaggle's."""
    return test[:0]


def decoding(
    rows: pd.DataFrame,
    root: Path,  # noqa: ARG001
    targets: Sequence[Path],
    classes: Sequence[str],  # noqa: ARG001
) -> Decoding:
    """What writes the masks of these rows of train.csv to `targets`: it reads the table alone."""
    return Decoding(decode_mask_file, 0, [targets, list(rows.get("rle", []))])


def decode_mask_file(target: Path, text: str, shape: tuple[int, int]) -> None:
    """Write the mask of an RLE at this (height, width)."""
    write_mask(target, rle.decode(text, height=shape[0], width=shape[1]))
