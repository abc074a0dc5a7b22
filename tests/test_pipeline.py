"""The user's own commands on a reduced sample, in a copy of the repository: what runs again, what not."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from project import commit, copy_repository, run, set_params, stages_run

pytestmark = pytest.mark.slow

REDUCED = {
    "sample": {"train": 10, "test": 4},
    "resize": {"size": 64},
    "split": {"count": 2, "run": [0, 1]},
    "train": {"epochs": 2, "switch_epoch": 1},
}
FOLDS = ("train@0", "train@1", "predict@0", "predict@1", "evaluate", "submit")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with reduced parameters and one whole run, committed."""
    folder = tmp_path_factory.mktemp("clone") / "ftu"
    copy_repository(folder)
    set_params(folder, REDUCED)
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


@pytest.fixture(autouse=True)
def _undone(project: Path) -> None:
    """Each test starts from the committed run."""
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q")


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
    assert "dice" in run(project, "dvc", "metrics", "diff", "--all")  # all: so short a run may score alike
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
    assert "data/predictions/fold_0/prediction.json: is missing; the fold was not predicted" in run(
        project, *environment, status=2
    )


def test_a_temporary_experiment_runs_its_own_copy(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", "-S", "thresholds.HPA.spleen=0.9")
    assert stages_run(output) == ["evaluate", "submit"]
    assert run(project, "git", "status", "--short") == ""
