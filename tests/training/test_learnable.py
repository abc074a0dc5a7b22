"""The newcomer's command, as committed: real training on the sample, well above what nobody trained."""

import json
import sys
from pathlib import Path

import pytest

from project import copy_repository, run

pytestmark = pytest.mark.slow


def test_the_sample_is_learnt_and_the_scores_are_told(tmp_path: Path) -> None:
    copy_repository(tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)  # made already, as `make env` leaves it
    output = run(tmp_path, "make", "repro")
    scores = json.loads((tmp_path / "reports/metrics.json").read_text())
    assert scores["dice"] >= 0.70
    assert max(scores["baseline"].values()) < 0.5
    assert f"Mean out-of-fold Dice: {scores['dice']:.3f} over 30 images" in output
    assert "Submission: submissions/submission.csv" in output
    command = ["python", "-m", "ftu.masks.submission", "check", "submissions/submission.csv"]
    checked = run(tmp_path, "env", "PYTHONPATH=src", *command, "--test", "data/sample/test.csv")
    assert "valid, 8 rows" in checked
