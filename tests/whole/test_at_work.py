"""What is seen of a stage at work: bars on a terminal and nowhere else, and one line at its end."""

import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ftu.calibration import choose_mixture, nested_cv
from ftu.calibration.held_out import Held
from ftu.datasets import sample
from ftu.errors import InputError
from ftu.files import png
from ftu.pipeline import stage
from ftu.preprocessing import normalization
from ftu.probabilities import members
from ftu.probabilities.ensemble import Experiment
from ftu.probabilities.projects import find
from imports import ROOT
from maps import write_probability
from terminal import SUMMARY, shown


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("resize: 38 images and 30 masks, 37 from the cache, 1.2 s", "resize"),
        ("train: 12 epochs, Dice 0.8123, 61.0 s, 1 warning", "train"),
        ("members: no other experiments, 0.0 s, 12 warnings", "members"),
        ("decode: error: data/raw/train.csv: has no rows, 1.2 s", ""),
        ("submissions/submission.csv: 8 images, valid for Kaggle", ""),
        ("resize: 38 images, 1.2 s, 1 warnings.", ""),
    ],
)
def test_the_grammar_of_a_summary(line: str, stage: str) -> None:
    assert SUMMARY.findall(line) == [stage] * bool(stage)


@pytest.fixture
def project(new_project):
    return new_project(sample={"train": 2, "test": 1})


def test_away_from_a_terminal_a_stage_writes_its_summary_alone(project) -> None:
    done = project.run("sample")
    assert re.fullmatch(r"sample: 3 images drawn, \d+\.\d s\n", done.stderr)


@pytest.fixture
def _runs_here(monkeypatch) -> None:
    """What a stage sets for its process is not set for the process of the tests."""
    monkeypatch.setattr(sys, "argv", ["stages/sample.py"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "environ", {})


@pytest.mark.usefixtures("_runs_here")
def test_a_package_that_is_run_is_called_by_its_name(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["src/ftu_tools/segment/__main__.py"])
    stage.run(lambda: "2 slides")
    assert capsys.readouterr().err.startswith("segment: 2 slides, ")


@pytest.mark.usefixtures("_runs_here")
def test_a_run_counts_its_own_warnings(capsys) -> None:
    def refused() -> None:
        stage.warn("three")
        raise InputError("no images")

    def main() -> str:
        stage.warn("two")
        stage.run(lambda: "1 image")
        with pytest.raises(SystemExit):
            stage.run(refused)
        stage.warn("four")
        return "3 images"

    stage.warn("one")
    stage.run(main)
    told = re.sub(r"\d+\.\d s", "0.0 s", capsys.readouterr().err).splitlines()
    assert [line for line in told if not line.startswith("warning: ")] == [
        "sample: 1 image, 0.0 s",
        "sample: error: no images",
        "sample: 3 images, 0.0 s, 2 warnings",
    ]


@pytest.mark.usefixtures("_runs_here")
def test_the_summary_counts_the_time_that_dvcs_cache_was_looked_at(project, monkeypatch, capsys) -> None:
    clock = iter([0.0, 5.0, 7.0])
    monkeypatch.chdir(project.folder)
    monkeypatch.setitem(os.environ, "DVC_STAGE", "sample")
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(stage, "end_with_dvc", lambda: None)
    monkeypatch.setattr(stage, "remove_new_damaged", lambda *_: time.monotonic() and [])
    stage.run(lambda: "3 images")
    assert capsys.readouterr().err == "sample: 3 images, 7.0 s\n"


def test_on_a_terminal_a_stage_shows_a_bar_and_its_summary(project) -> None:
    command = [sys.executable, ROOT / "stages/sample.py"]
    output = shown(command, project.folder, os.environ | {"PYTHONPATH": str(ROOT / "src")})
    assert "\rdraw: 100%" in output
    assert SUMMARY.findall(output.replace("\r\n", "\n")) == ["sample"]


class Stream(io.StringIO):
    """A standard error that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def has_bar(request, monkeypatch) -> Callable[[str, Callable[[], object]], bool]:
    """Whether a call shows a bar of that name on a terminal; whether it writes nothing, elsewhere."""
    monkeypatch.setenv("COLUMNS", "120")

    def shows(name: str, call: Callable[[], object]) -> bool:
        stream = Stream(request.param)
        with redirect_stderr(stream):
            call()
        written = stream.getvalue()
        return f"\r{name}: 100%" in written if request.param else not written

    return shows


def test_drawing_has_a_bar(has_bar, tmp_path) -> None:
    assert has_bar("draw", lambda: sample.write_histology(tmp_path, train=1, test=1, seed=0))


def test_reading_a_target_of_several_images_has_a_bar(has_bar, tmp_path) -> None:
    (tmp_path / "train").mkdir()
    for name in "ab":
        png.write_image(tmp_path / "train" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    index = pd.DataFrame({"id": ["a", "b"], "set": "train"})
    ask = partial(normalization.target_image, tmp_path, index, kind="mosaic", source="", file="")
    assert has_bar("target", lambda: ask(ids=["a", "b"]))


def test_checking_maps_and_choosing_have_bars(has_bar, tmp_path) -> None:
    write_map(tmp_path)
    case = Held("a", "lung", "HPA", 0, "oof", Path("a.png"), 1.0, 0.5)
    own = Experiment("own", tmp_path, (0,), 1.0, "flips")
    assert has_bar("check maps", lambda: choose_mixture.check([case], [own], ["flips"]))
    assert has_bar("choose", lambda: nested_cv.choices([case], lambda positions: positions))  # pyright: ignore


def test_copying_maps_of_a_member_has_a_bar(has_bar, tmp_path) -> None:
    write_map(tmp_path / "other" / "data" / "predictions")
    member = members.Member(find("other", tmp_path), {"folds": [0], "parts": ["oof"], "sets": ["flips"]})
    assert has_bar("fetch other", lambda: members.fetch(member, tmp_path / "copy"))
    assert (tmp_path / "copy/fold_0/oof/flips/a.tif").is_file()


def write_map(folder: Path) -> None:
    path = folder / "fold_0/oof/flips/a.tif"
    path.parent.mkdir(parents=True)
    write_probability(path, np.zeros((4, 4), np.float32))
