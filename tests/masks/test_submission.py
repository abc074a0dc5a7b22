"""A submission is accepted as a whole or refused with its row, from Python and from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.files import csvfile
from ftu.masks.submission import build_submission, check_submission
from imports import ROOT

IDS = ["78", "00008", "127"]
TEST = pd.DataFrame({"id": IDS, "img_height": [3, 5, 2], "img_width": [4, 2, 3]})
GOOD = build_submission(IDS, ["2 1", "", "1 4"])


def refused(submission: pd.DataFrame, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        check_submission(submission, TEST, name="mine.csv")
    for part in ("mine.csv", *parts):
        assert part in str(caught.value)


def test_a_good_submission_is_accepted():
    assert list(GOOD.columns) == ["id", "rle"]
    check_submission(GOOD, TEST)


@pytest.mark.parametrize(
    "columns", [["rle", "id"], ["id"], ["id", "rle", "rle.1"], ["id", "RLE"], ["Unnamed: 0", "id", "rle"]]
)
def test_the_columns_are_id_and_rle(columns):
    refused(GOOD.reindex(columns=columns), ", ".join(columns), "must be id, rle")


@pytest.mark.parametrize("image_id", IDS)
def test_a_missing_id_is_named(image_id):
    refused(GOOD[GOOD["id"] != image_id], f"no row for id {image_id}")


@pytest.mark.parametrize("image_id", ["8", "078", "127 ", "x"])
def test_an_unknown_id_is_named(image_id):
    more = pd.concat([GOOD, build_submission([image_id], [""])])
    refused(more, f"id {image_id} is not in the test table")


@pytest.mark.parametrize("image_id", IDS)
def test_a_repeated_id_is_named(image_id):
    refused(pd.concat([GOOD, GOOD[GOOD["id"] == image_id]]), f"id {image_id} stands in more than one row")


@given(order=st.permutations(range(3)).filter(lambda order: list(order) != [0, 1, 2]))
def test_another_order_is_refused_where_it_differs_first(order):
    found, expected = next((GOOD["id"][i], IDS[k]) for k, i in enumerate(order) if i != k)
    refused(GOOD.iloc[list(order)], f"id {found} stands where the test table has {expected}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1", "no length"),
        ("1 x", "'x'"),
        ("1 0", "length 0"),
        ("1 -2", "'-2'"),
        ("0 1", "start 0"),
        ("6 2", "ends past 6 (height 2 x width 3)"),
        ("1 2 2 1", "must not overlap"),
        ("3 1 1 1", "must be sorted"),
    ],
)
def test_a_bad_rle_is_refused_with_its_row_and_the_size_of_that_image(text, found):
    refused(GOOD.assign(rle=["", "", text]), "id 127: rle", found)


def test_all_that_is_wrong_is_said_at_once():
    wrong = build_submission(["127", "127", "x", ""], ["1 7", "3 1 1 1", "", ""]).assign(extra=1)
    with pytest.raises(InputError) as caught:
        check_submission(wrong, TEST, name="mine.csv")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("mine.csv: ") for line in lines)
    said = [line.removeprefix("mine.csv: ") for line in lines]
    assert said[:5] == [
        "columns are id, rle, extra; they must be id, rle",
        "line 5 has no id",
        "has no row for id 00008, 78",
        "id x is not in the test table",
        "id 127 stands in more than one row",
    ]
    assert "not within 1 to 6" in said[5]
    assert "must be sorted" in said[6]
    assert len(said) == 7


def test_an_index_that_pandas_wrote_is_recognised(tmp_path):
    GOOD.to_csv(tmp_path / "mine.csv")
    refused(pd.read_csv(tmp_path / "mine.csv", dtype={"id": str}), "without the table's index")


def test_a_word_for_nothing_is_no_rle():
    refused(GOOD.assign(rle=["2 1", "nan", "1 4"]), "id 00008: rle", "'nan'")


def test_many_ids_are_counted():
    test = pd.DataFrame({"id": [f"{i:03}" for i in range(30)], "img_height": 2, "img_width": 2})
    with pytest.raises(InputError, match=r"has no row for id 000, 001, .*, 004 and 25 more$"):
        check_submission(build_submission([], []), test)


def test_tables_are_taken_as_pandas_reads_them(tmp_path):
    """Ids as integers, an empty rle as nan."""
    test = TEST.assign(id=["78", "8", "127"])
    for name, table in {"test": test, "mine": GOOD.assign(id=test["id"])}.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    mine, plain = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("mine", "test"))
    assert mine["id"].dtype == plain["id"].dtype == int
    assert mine["rle"].isna().tolist() == [False, True, False]
    check_submission(mine, plain)
    check_submission(mine, test)
    with pytest.raises(InputError, match="id 127: rle: RLE pair 1: start 9"):
        check_submission(mine.assign(rle=["2 1", float("nan"), "9 1"]), plain)
    with pytest.raises(InputError, match="no row for id 8"):
        check_submission(mine.drop(index=1), plain)


@pytest.mark.filterwarnings("error")
def test_a_submission_without_any_unit_is_taken_as_pandas_reads_it(tmp_path):
    GOOD.assign(rle="").to_csv(tmp_path / "mine.csv", index=False)
    mine = pd.read_csv(tmp_path / "mine.csv", dtype={"id": str})
    assert mine["rle"].dtype == float  # a column of nan
    check_submission(mine, TEST)


# ------------------------------------------------------------------ the command line


def check(folder: Path, submission: pd.DataFrame) -> subprocess.CompletedProcess[str]:
    TEST.assign(organ="lung").to_csv(folder / "test.csv", index=False)
    submission.to_csv(folder / "mine.csv", index=False)
    return subprocess.run(
        [sys.executable, "-m", "ftu.masks.submission", "check", "mine.csv", "--test", "test.csv"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_accepts(tmp_path):
    done = check(tmp_path, GOOD)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine.csv: valid, 3 rows\n"


def test_the_command_line_refuses_with_a_line_for_each_problem_and_a_status(tmp_path):
    done = check(tmp_path, GOOD.assign(rle="13 1"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("submission: error: mine.csv: id 78: rle: RLE pair 1: start 13")
    lines = done.stderr.splitlines()
    assert [line.removeprefix("submission: error: ").split(": rle")[0] for line in lines] == [
        f"mine.csv: id {image_id}" for image_id in IDS
    ]


def test_an_rle_that_would_look_cut_is_written_so_that_it_does_not(tmp_path):
    for length in csvfile.CUTS:
        text = "1 1 3 " + "1".rjust(length - 6, "0")
        table = build_submission(["a"], [text])
        table.to_csv(tmp_path / "a.csv", index=False)
        assert csvfile.read_csv(tmp_path / "a.csv")["rle"][0] == text + "  "
        check_submission(table, pd.DataFrame({"id": ["a"], "img_height": 3, "img_width": 1}))
    assert build_submission(["a"], ["1 1"])["rle"].tolist() == ["1 1"]


def test_the_command_line_needs_the_test_table(tmp_path):
    GOOD.to_csv(tmp_path / "mine.csv", index=False)
    command = [sys.executable, "-m", "ftu.masks.submission", "check", str(tmp_path / "mine.csv")]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--test" in done.stderr
    assert "Traceback" not in done.stderr
