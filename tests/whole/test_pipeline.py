"""The user's own commands on a reduced sample, in a copy of the repository: what runs again, what not."""

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import rasterio

from ftu.files import csvfile, folds, png, rle
from ftu.files.index import ImageRow, image_rows, read_index
from ftu.masks import submission
from ftu.pipeline.params import load_params
from maps import read_probability
from project import commit, copy_repository, environment, run, set_params, stages_run
from terminal import SUMMARY, shown

pytestmark = pytest.mark.slow

REDUCED = {
    "sample": {"train": 10, "test": 4},
    "resize": {"side": 64},
    "split": {"count": 2, "run": [0, 1]},
    "train": {"epochs": 2, "switch_epoch": 1},
}
OUTPUTS = ("data/sample/train.csv", "data/images.csv", "reports/dice.csv", "submissions/submission.csv")
FOLDS = ("train@0", "train@1", "predict@0", "predict@1", "calibrate", "evaluate", "report", "submit")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with reduced parameters and one whole run, committed; and what the run said."""
    folder = tmp_path_factory.mktemp("clone") / "ftu"
    copy_repository(folder)
    set_params(folder, REDUCED)
    said = run(folder, "dvc", "repro")
    commit(folder)
    return folder, said


@pytest.fixture(scope="module")
def project(first_run: tuple[Path, str]) -> Path:
    return first_run[0]


@pytest.fixture(autouse=True)
def _undone(project: Path) -> None:
    """Each test starts from the committed run."""
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q")


def test_each_stage_ends_with_one_line_and_shows_no_bar_away_from_a_terminal(
    first_run: tuple[Path, str],
) -> None:
    _, said = first_run
    ran = [stage.split("@")[0] for stage in stages_run(said)]
    assert len(ran) == 17
    assert sorted(SUMMARY.findall(said)) == sorted(ran)
    assert "\r" not in said


def test_nothing_runs_twice(project: Path) -> None:
    assert stages_run(run(project, "dvc", "repro")) == []
    assert run(project, "git", "status", "--short") == ""


def answers_of(project: Path) -> pd.DataFrame:
    return csvfile.read_csv(project / "submissions/submission.csv")


def rows_of(project: Path) -> dict[str, ImageRow]:
    return {row.id: row for row in image_rows(read_index(project / "data/images.csv"))}


def mask_of(project: Path, row: ImageRow, maps: list[Path]) -> np.ndarray:
    """What the maps say of an image, by hand: the mean, native size, the threshold of the image's row."""
    probability = np.asarray(np.mean([read_probability(path) for path in maps], axis=0))
    native = cv2.resize(probability, (row.img_width, row.img_height), interpolation=cv2.INTER_LINEAR)
    threshold = load_params(project / "params.yaml").thresholds[row.data_source][row.organ]
    return (native > np.float32(threshold)).astype(np.uint8)


def expected_rles(project: Path) -> dict[str, str]:
    return {
        name: rle.encode(
            mask_of(
                project,
                row,
                [project / f"data/predictions/fold_{fold}/test/flips/{name}.tif" for fold in (0, 1)],
            )
        )
        for name, row in rows_of(project).items()
        if row.set == "test"
    }


def test_the_submission_is_valid(project: Path) -> None:
    answers, test = answers_of(project), csvfile.read_sizes(project / "data/sample/test.csv")
    assert list(answers["id"]) == list(test["id"])
    submission.check_submission(answers, test)


def test_each_rle_is_that_of_the_mean_of_the_folds(project: Path) -> None:
    answers = answers_of(project)
    assert dict(zip(answers["id"], answers["rle"], strict=True)) == expected_rles(project)
    assert answers["rle"].str.len().gt(0).any()  # or all of this says little


def test_each_score_is_that_of_the_fold_that_held_the_image_out(project: Path) -> None:
    scores = csvfile.read_csv(project / "reports/dice.csv").set_index("id")["dice"].astype(float)
    table, rows = folds.read_folds(project / "data/folds.csv"), rows_of(project)
    assert sorted(scores.index) == sorted(table["id"])
    for name, fold in zip(table["id"], table["fold"], strict=True):
        path = project / f"data/predictions/fold_{fold}/oof/flips/{name}.tif"
        found = mask_of(project, rows[name], [path])
        truth = png.read_mask(project / f"data/masks/{name}.png")
        assert scores[name] == pytest.approx(
            2 * (found & truth).sum() / (found.sum() + truth.sum()), abs=1e-6
        )


@pytest.mark.parametrize("part", ["oof", "test"])
def test_each_map_tells_the_pixel_size_that_its_images_have_in_it(project: Path, part: str) -> None:
    rows = rows_of(project)
    maps = list((project / f"data/predictions/fold_0/{part}/flips").glob("*.tif"))
    assert maps
    for path in maps:
        row = rows[path.stem]
        with rasterio.open(path) as tiff:
            tags, field = tiff.tags(), (row.img_height * row.pixel_size, row.img_width * row.pixel_size)
            down, across = (1e4 / float(tags[f"TIFFTAG_{axis}RESOLUTION"]) for axis in "YX")
            assert (down * tiff.height, across * tiff.width) == pytest.approx(field, rel=1e-4)


def test_an_aux_loss_is_one_word(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "train.aux_loss=switched")
    assert stages_run(output) == sorted(FOLDS)
    for fold in (0, 1):
        assert list(pd.read_csv(project / f"models/fold_{fold}/history.csv")["active_block"]) == [2, 1]
    shown = run(project, "dvc", "exp", "show", "--csv")  # the table for people leaves columns out
    assert set(pd.read_csv(io.StringIO(shown))["train.aux_loss"]) == {"none", "switched"}
    assert "dice" in run(project, "dvc", "metrics", "diff", "--all")  # all: so short a run may score alike
    assert "history" in run(project, "dvc", "plots", "diff", "--json")


def test_a_threshold_costs_no_training(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "-S", "thresholds.HPA.kidney=0.3")
    assert stages_run(output) == ["calibrate", "evaluate", "report", "submit"]


def test_a_threshold_changes_only_the_rows_of_its_organ_and_source(project: Path) -> None:
    before, rows = answers_of(project), rows_of(project)
    row = next(row for row in rows.values() if row.set == "test" and row.data_source == "Hubmap")
    threshold = 1.0 if before.set_index("id")["rle"][row.id] else 0.0  # nothing, or nearly everything
    run(project, "dvc", "exp", "run", "-S", f"thresholds.Hubmap.{row.organ}={threshold}")
    after = answers_of(project)
    assert dict(zip(after["id"], after["rle"], strict=True)) == expected_rles(project)
    changed = set(after["id"][after["rle"] != before["rle"]])
    assert row.id in changed
    assert {(rows[name].data_source, rows[name].organ) for name in changed} == {("Hubmap", row.organ)}


def test_data_that_are_not_there_are_told_in_words_and_cost_nothing(project: Path) -> None:
    before = {name: (project / name).read_bytes() for name in OUTPUTS}
    set_params(project, {"data": {"root": "data/absent"}})
    output = run(project, "dvc", "repro", status=255)
    assert stages_run(output) == ["sample"]
    for words in ("data.root", "data/absent does not exist", "kaggle competitions download"):
        assert words in output
    assert "Errno 2" not in output
    assert "Traceback" not in output
    run(project, "git", "checkout", "-q", "params.yaml")
    run(project, "dvc", "checkout")
    assert {name: (project / name).read_bytes() for name in OUTPUTS} == before
    assert stages_run(run(project, "dvc", "repro")) == []
    assert run(project, "git", "status", "--short") == ""


BARS = ("draw", "check images", "resize images", "resize masks", "target", "normalize", "read", "epochs",
        "predict", "foreground", "score oof", "submit", "draw pictures")  # fmt: skip


def test_another_clone_with_another_number_of_workers_gives_the_same_lock_and_shows_bars(
    project: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "ftu"  # without a cache
    copy_repository(clone)
    set_params(clone, REDUCED | {"compute": {"workers": 2}})
    seen = shown(["dvc", "repro"], clone, environment())
    assert len(stages_run(seen)) == 17
    assert [name for name in BARS if f"\r{name}: " not in seen] == []
    assert (clone / "dvc.lock").read_text() == (project / "dvc.lock").read_text()


def test_a_dropped_fold_is_not_used(project: Path) -> None:
    set_params(project, {"split": {"run": [0]}})
    output = run(project, "dvc", "repro")
    assert not [stage for stage in stages_run(output) if stage.startswith(("train", "predict"))]
    assert "over 5 images" in output


def test_a_fold_that_is_missing_or_stale_is_named(project: Path) -> None:
    environment = ["env", "PYTHONPATH=src", "python", "stages/submit.py"]
    next((project / "data/predictions/fold_1/test/flips").glob("*.tif")).unlink()
    assert "data/predictions/fold_1/test/flips: holds 3 images where 4 are due" in run(
        project, *environment, status=2
    )
    shutil.rmtree(project / "data/predictions/fold_0")
    assert "data/predictions/fold_0/prediction.json: is missing; the fold was not predicted" in run(
        project, *environment, status=2
    )


def test_a_temporary_experiment_runs_its_own_copy(project: Path) -> None:
    output = run(project, "dvc", "exp", "run", "--temp", "-S", "thresholds.HPA.spleen=0.9")
    assert stages_run(output) == ["calibrate", "evaluate", "report", "submit"]
    assert run(project, "git", "status", "--short") == ""
