"""The submission table: id, rle; the ids of test.csv in their order. Of several classes id, class, rle.

`python -m ftu.masks.submission check FILE --test test.csv` checks any CSV and says all that is wrong.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ftu.errors import InputError, flush_output, open_standard_files, some, speak_any_language
from ftu.files import csvfile, png, rle
from ftu.pipeline import failures

COLUMNS = ["id", "rle"]


def check(submission: pd.DataFrame, test: pd.DataFrame, classes: int) -> None:
    """`check_submission` for any number of `classes`: of several, the rows of each are checked so."""
    if classes == 1:
        return check_submission(submission, test)
    told = [
        f"class {number}: {one}"
        for number, own in _by_class(submission, classes)
        for one in problems(own, test)
    ]
    if len(submission) != classes * len(test):
        told.append(f"has {len(submission)} rows for {len(test)} images and {classes} classes")
    if told:
        raise InputError("\n".join(f"submission: {problem}" for problem in told))
    return None


def _by_class(submission: pd.DataFrame, classes: int) -> Iterator[tuple[int, pd.DataFrame]]:
    for number in range(1, classes + 1):
        yield number, submission.loc[submission["class"] == number, COLUMNS]


def check_submission(submission: pd.DataFrame, test: pd.DataFrame, *, name: str = "submission") -> None:
    """Raise InputError, with a line for each of its problems, unless `submission` answers `test`.

    `test` has id, img_height and img_width. Checked: columns, ids and their order, and that each rle decodes:
    pairs, bounds, order, no overlap. Ids may be numbers, and an empty rle may be nan, as pandas reads them.
    """
    if found := problems(submission, test):
        raise InputError("\n".join(f"{name}: {problem}" for problem in found))


def problems(submission: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """Everything that is wrong with a submission, a sentence each; none when Kaggle will take it."""
    found = list(_about_columns(list(submission.columns)))
    if not set(COLUMNS) <= set(submission.columns):
        return found
    rows = submission[COLUMNS].astype(object).fillna("").astype(str)  # an all-nan column is of floats
    expected = test["id"].astype(str)
    found += _about_ids(list(rows["id"]), list(expected))
    sizes = dict(zip(expected, zip(test["img_height"], test["img_width"], strict=True), strict=True))
    return found + list(_about_rles(rows, sizes))


def build_submission(ids: Iterable[str], rles: Iterable[str]) -> pd.DataFrame:
    """The table of a submission, not yet checked."""
    return pd.DataFrame({"id": list(ids), "rle": list(map(csvfile.whole, rles))}, columns=COLUMNS)


def build(ids: Sequence[str], rles: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The table of a submission of any number of classes, of each image a text for each of them.

    Of several there is a row for each image and class: id, class (its number in a mask), rle.
    """
    count = len(rles[0]) if rles else 1
    if count == 1:
        return build_submission(ids, [text for (text,) in rles])
    return pd.DataFrame(
        {
            "id": [name for name in ids for _ in range(count)],
            "class": list(range(1, count + 1)) * len(ids),
            "rle": [csvfile.whole(text) for texts in rles for text in texts],
        }
    )


def place(image: str) -> Path:
    """Where the mask of an image lies among others, by the image's place in its data set: NAME.png.

    Where sources have folders, SOURCE/NAME.png.
    """
    path = Path(image)
    return Path(*path.parts[:-3], f"{path.stem}.png")


def write_mask_file(target: Path, texts: Sequence[str], shape: tuple[int, int]) -> None:
    """Write a mask at this (height, width), of the RLE of each class."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    for number, text in enumerate(texts, start=1):
        mask[rle.decode(text, height=shape[0], width=shape[1]) > 0] = number
    png.write_mask(target, mask, len(texts))


def _about_columns(columns: list[str]) -> Iterator[str]:
    if columns == COLUMNS:
        return
    index = "; write it without the table's index" if set(columns) - {"Unnamed: 0"} == set(COLUMNS) else ""
    yield f"columns are {', '.join(columns)}; they must be id, rle{index}"


def _about_ids(found: list[str], expected: list[str]) -> Iterator[str]:
    empty = [str(line) for line, image_id in enumerate(found, start=2) if not image_id]
    if empty:
        yield f"line {some(empty)} has no id"
    if missing := sorted(set(expected) - set(found)):
        yield f"has no row for id {some(missing)}"
    if unknown := sorted(set(found) - set(expected) - {""}):
        yield f"id {some(unknown)} is not in the test table"
    if repeated := sorted(image_id for image_id, times in Counter(found).items() if times > 1 and image_id):
        yield f"id {some(repeated)} stands in more than one row"
    if sorted(found) == sorted(expected) and found != expected:
        ours, theirs = next(pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1])
        yield f"id {ours} stands where the test table has {theirs}; keep its order"


def _about_rles(rows: pd.DataFrame, sizes: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """The rles that do not decode; of an unknown id no size is known."""
    for image_id, text in zip(rows["id"], rows["rle"], strict=True):
        if image_id in sizes:
            height, width = sizes[image_id]
            try:
                rle.check(text, height=height, width=width)
            except ValueError as error:
                yield f"id {image_id}: rle: {error}; correct the row"


def main() -> None:
    """Check a CSV from the command line; status 0 when it can be submitted, 1 when not."""
    open_standard_files()
    speak_any_language()
    parser = argparse.ArgumentParser(
        prog="python -m ftu.masks.submission", description=check_submission.__doc__
    )
    parser.add_argument("command", choices=["check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--test", type=Path, required=True, help="the competition's test.csv")
    arguments = parser.parse_args()
    try:
        test = csvfile.read_sizes(arguments.test)
        check_submission(csvfile.read_csv(arguments.file), test, name=str(arguments.file))
        flush_output(f"{arguments.file}: valid, {len(test)} rows\n")
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    try:
        main()
    except Exception as fault:
        sys.exit(failures.told("submission", fault))
