"""What a stage and the doctor say where params.yaml differs from the last commit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftu.pipeline import uncommitted
from ftu_tools.doctor import doctor
from imports import ROOT

WORDS = "params.yaml differs from the last commit in train.lr, thresholds.lung"
BACK = "git checkout params.yaml && dvc checkout"
STAGE = """from ftu.errors import InputError
from ftu.pipeline.stage import run
def main():
    raise InputError("no good")
run(main)
"""


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit of params.yaml, in which two values have been changed since."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  lr: 2e-3\n  seed: 1\nempty: {}\n")
    git(tmp_path, "init")
    git(tmp_path, "add", "params.yaml")
    git(tmp_path, "commit", "-m", "one")
    path.write_text("empty: {}\ntrain: {lr: 1e300, seed: 1} # moved\nthresholds: {lung: 0.5}\n")
    return tmp_path


def said(folder: Path, name: str) -> str:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(STAGE)
    settings = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, name], cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    return done.stderr


def test_a_stage_that_fails_names_what_differs_and_the_way_back(project):
    told = said(project, "stages/train.py").splitlines()
    assert told[0] == "train: error: no good"
    assert told[1].startswith(WORDS)
    assert told[1].endswith(BACK)
    assert said(project, "tool.py") == "tool: error: no good\n"


@pytest.mark.usefixtures("project")
def test_the_doctor_says_it_too():
    (finding,) = doctor.left_params()
    assert (finding.level, finding.about) == ("warning", "params")
    assert finding.words.startswith(WORDS)


def test_another_order_layout_or_comment_is_no_difference(project):
    (project / "params.yaml").write_text("# new\nempty: {}\ntrain: {seed: 1, lr: 0.002}\n")
    assert uncommitted.in_words() == ""


@pytest.mark.parametrize("lacking", ["git", "commit", "file", "yaml", "program", "copy"])
def test_where_nothing_can_be_compared_nothing_is_said(project, lacking, monkeypatch):
    if lacking == "git":
        (project / ".git").rename(project / "git")
    elif lacking == "commit":
        git(project, "update-ref", "-d", "HEAD")
    elif lacking == "file":
        (project / "params.yaml").unlink()
    elif lacking == "yaml":
        (project / "params.yaml").write_text("a: [")
    elif lacking == "program":
        monkeypatch.setenv("PATH", str(project))
    else:  # as `dvc exp run --temp` runs it
        monkeypatch.setenv("DVC_ROOT", "/")
    assert uncommitted.in_words() == ""
    assert list(doctor.left_params()) == []
