"""The submission table: id, rle; the ids of test.csv in their order.

`python -m ftu.submission check FILE --test test.csv` checks any CSV.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ftu import tables
from ftu.errors import InputError

COLUMNS = ["id", "rle"]


def check_submission(submission: pd.DataFrame, test: pd.DataFrame, *, name: str = "submission") -> None:
    """Raise InputError unless `submission` answers `test` (id, img_height, img_width).

    Checked: columns, ids and their order, and that each rle decodes: pairs, bounds, order, no overlap.
    Ids may be numbers, and an empty rle may be nan, as pandas reads them.
    """
    if list(submission.columns) != COLUMNS:
        raise InputError(f"{name}: columns are {', '.join(submission.columns)}; they must be id, rle")
    submission = submission.astype(object).fillna("").astype(str)  # an all-nan column is of floats
    _check_ids(list(submission["id"]), list(test["id"].astype(str)), name)
    sizes = test[["img_height", "img_width"]].reset_index(drop=True)
    tables.check_rles(name, submission.reset_index(drop=True).join(sizes))


def build_submission(ids: Iterable[str], rles: Iterable[str]) -> pd.DataFrame:
    """The table of a submission, not yet checked."""
    return pd.DataFrame({"id": list(ids), "rle": list(rles)}, columns=COLUMNS)


def _check_ids(found: list[str], expected: list[str], name: str) -> None:
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    if missing:
        raise InputError(f"{name}: has no row for id {', '.join(missing[:5])} ({len(missing)} in all)")
    if unknown:
        raise InputError(
            f"{name}: id {', '.join(unknown[:5])} is not in the test table ({len(unknown)} in all)"
        )
    if len(found) != len(set(found)):
        repeated = next(image_id for image_id in found if found.count(image_id) > 1)
        raise InputError(f"{name}: id {repeated} stands in more than one row")
    wrong = next((pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]), None)
    if wrong:
        raise InputError(f"{name}: id {wrong[0]} stands where the test table has {wrong[1]}; keep its order")


def main() -> None:
    """Check a CSV from the command line; status 0 when it can be submitted, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m ftu.submission", description=check_submission.__doc__)
    parser.add_argument("command", choices=["check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--test", type=Path, required=True, help="the competition's test.csv")
    arguments = parser.parse_args()
    try:
        test = tables.read_sizes(arguments.test)
        check_submission(tables.read_csv(arguments.file), test, name=str(arguments.file))
    except InputError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{arguments.file}: valid, {len(test)} rows\n")


if __name__ == "__main__":
    main()
