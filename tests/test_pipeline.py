"""The user's own commands on a reduced sample, in a copy of the repository: what runs again, what not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from imports import ROOT

pytestmark = pytest.mark.slow

REDUCED = {
    "sample": {"train": 10, "test": 4},
    "resize": {"size": 64},
    "split": {"count": 2, "run": [0, 1]},
    "train": {"epochs": 2, "switch_epoch": 1},
}
FOLDS = ("train@0", "train@1", "predict@0", "predict@1", "evaluate", "submit")


def run(project: Path, *command: str, status: int = 0) -> str:
    """Run a command as the user would, the environment activated; return what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTHONPATH"))
    }
    done = subprocess.run(
        command, cwd=project, env=environment | {"PATH": path}, text=True, stdout=-1, stderr=subprocess.STDOUT
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def stages_run(output: str) -> list[str]:
    return sorted(re.findall(r"Running stage '(.+)'", output))


def set_params(project: Path, changes: dict) -> None:
    yaml, path = YAML(), project / "params.yaml"
    params = yaml.load(path)
    for section, values in changes.items():
        params[section].update(values)
    yaml.dump(params, path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own: the working tree's files, reduced parameters, one whole run, committed."""
    folder = tmp_path_factory.mktemp("clone") / "ftu"
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    set_params(folder, REDUCED)
    for words in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        run(folder, "git", *words)
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


@pytest.fixture(autouse=True)
def _undone(project: Path) -> None:
    """Each test starts from the committed run."""
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q")


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "run")


def test_nothing_runs_twice(project: Path) -> None:
    assert stages_run(run(project, "dvc", "repro")) == []
    assert run(project, "git", "status", "--short") == ""


def test_the_submission_is_valid(project: Path) -> None:
    submission = pd.read_csv(project / "submissions/submission.csv", dtype=str)
    assert list(submission["id"]) == list(pd.read_csv(project / "data/sample/test.csv", dtype=str)["id"])


def test_an_aux_loss_is_one_word(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "train.aux_loss=switched")
    assert stages_run(output) == sorted(FOLDS)
    for fold in (0, 1):
        assert list(pd.read_csv(project / f"models/fold_{fold}/history.csv")["active_block"]) == [2, 1]
    assert "switched" in run(project, "dvc", "exp", "show", "--only-changed", "--no-pager")
    assert "dice" in run(project, "dvc", "metrics", "diff")
    assert "history" in run(project, "dvc", "plots", "diff", "--json")


def test_a_threshold_costs_no_training(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "thresholds.HPA.kidney=0.3")
    assert stages_run(output) == ["evaluate", "submit"]


def test_a_forced_run_gives_the_same_lock(project: Path) -> None:
    before = (project / "dvc.lock").read_text()
    output = run(project, "dvc", "repro", "--force")
    assert len(stages_run(output)) == 11
    assert (project / "dvc.lock").read_text() == before


def test_a_dropped_fold_is_not_used(project: Path) -> None:
    set_params(project, {"split": {"run": [0]}})
    output = run(project, "dvc", "repro")
    assert not [stage for stage in stages_run(output) if stage.startswith(("train", "predict"))]
    assert "over 5 images" in output


def test_a_fold_that_is_missing_or_stale_is_named(project: Path) -> None:
    environment = ["env", "PYTHONPATH=src", "python", "stages/submit.py"]
    next((project / "data/predictions/fold_1/test").glob("*.png")).unlink()
    assert "data/predictions/fold_1/test: holds 3 images where 4 are due" in run(
        project, *environment, status=2
    )
    shutil.rmtree(project / "data/predictions/fold_0")
    assert "data/predictions/fold_0: the fold was not predicted" in run(project, *environment, status=2)


def test_a_temporary_experiment_runs_its_own_copy(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", "-S", "thresholds.HPA.spleen=0.9")
    assert stages_run(output) == ["evaluate", "submit"]
    assert run(project, "git", "status", "--short") == ""
