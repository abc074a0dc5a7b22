"""evaluate and submit, run for real on maps that a test made: the masks, their scores, the guard's table."""

import math
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

import predicted
from ftu.files import csvfile, jsonfile, png, rle
from ftu.files.index import ImageRow, image_rows, read_index
from ftu.masks import metrics, rules, submission
from ftu.masks.cutting import Rule
from ftu.probabilities import fold_maps
from maps import read_probability

pytestmark = pytest.mark.slow  # each runs a stage, or two

OUTPUTS = {
    "reports": {
        "calibration.json",
        "curves.png",
        "dice.csv",
        "dice_shifted.csv",
        "dice_test.csv",
        "gallery.png",
        "metrics.json",
        "scores.csv",
        "scores.json",
        "summary.md",
    },
    "submissions": {"guard.csv", "masks", "submission.csv"},
}


def set_rules(project, *, threshold: float = 0.5, **changes) -> None:
    rule = Rule(threshold, smallest_object=0, largest_hole=0, foreground=math.nan)
    data = project.params["data"]
    table = {source: dict.fromkeys(data["organs"], rule) for source in data["sources"]}
    written = rules.Rules("flips", 1.0, {}, "table", table, {})
    rules.write(project.folder / "data" / "rules.json", written._replace(**changes))


def add_member(project, name: str) -> None:
    """Another experiment of two folds, and no more than fetching it leaves behind."""
    other = project.folder.with_name(f"other-{name}")
    shutil.copytree(project.folder / "data", other / "data", ignore=lambda *_: ["predictions", "members"])
    predicted.predict(other, seed=5)
    shutil.move(other / "data" / "predictions", project.folder / "data" / "members" / name)
    shutil.rmtree(other)
    listed = {"members": {name: {"folder": name, "folds": [0, 1]}}}
    jsonfile.write(project.folder / "data" / "members" / "members.json", listed)


@pytest.fixture(scope="module")
def predicted_project(new_project, small_sample):
    """Two folds' predictions of six training and two test images; do not write into it."""
    project = new_project(small_sample, split={"count": 2, "run": [0, 1]})
    predicted.prepare(project)
    data = project.folder / "data"
    moved = (
        read_index(data / "images.csv").query("set == 'train'").assign(set="shifted", data_source="Hubmap")
    )
    moved.to_csv(data / "shifted" / "shifted.csv", index=False)
    shutil.copytree(data / "masks", data / "shifted" / "masks")
    predicted.predict(project.folder)
    (project.folder / "reports").mkdir()
    jsonfile.write(project.folder / "reports" / "calibration.json", {"enabled": False})
    (data / "members").mkdir()
    jsonfile.write(data / "members" / "members.json", {"members": {}})
    set_rules(project)
    return project


@pytest.fixture
def project(predicted_project, new_project):
    copy = new_project()
    shutil.copytree(predicted_project.folder, copy.folder, dirs_exist_ok=True)
    copy.set(data={"root": "data/raw"}, split={"count": 2, "run": [0, 1]})
    return copy


def done(project, stage: str) -> str:
    result = project.run(stage)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (project.folder / "reports").glob("*")} in (
        OUTPUTS["reports"],
        {"calibration.json"},
    )
    assert {path.name for path in (project.folder / "submissions").glob("*")} in (
        OUTPUTS["submissions"],
        set(),
    )
    return result.stdout


def refused(project, stage: str, *parts: str) -> None:
    before = project.contents()
    result = project.run(stage)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for part in (f"{stage}: error: ", *parts):
        assert part in result.stderr
    assert project.contents() == before


def rows_of(project, part: str) -> list[ImageRow]:
    index = read_index(project.folder / "data" / "images.csv")
    return image_rows(index[index["set"] == part])


def by_hand(
    project, row: ImageRow, part: str, *, threshold: float = 0.5, members: tuple[str, ...] = ()
) -> np.ndarray:
    """Per experiment the mean of its folds' maps at native size; their plain mean; the cut."""
    data, natives = project.folder / "data", []
    for root in (data / "predictions", *(data / "members" / name for name in members)):
        paths = [fold_maps.map_path(root / f"fold_{fold}", part, "flips", row.id) for fold in (0, 1)]
        maps = [read_probability(path) for path in paths if path.exists()]
        assert len(maps) == (2 if part == "test" else 1)
        native = cv2.resize(np.asarray(np.mean(maps, axis=0)), (row.img_width, row.img_height))
        natives.append(native)
    return (np.mean(natives, axis=0) > np.float32(threshold)).astype(np.uint8)


def answers(project) -> dict[str, str]:
    table = csvfile.read_csv(project.folder / "submissions" / "submission.csv")
    submission.check_submission(table, csvfile.read_sizes(project.folder / "data" / "raw" / "test.csv"))
    return dict(zip(table["id"], table["rle"], strict=True))


def test_what_is_submitted_is_the_mean_of_the_folds_cut_at_native_size(project):
    printed = done(project, "submit")
    assert answers(project) == {
        row.id: rle.encode(by_hand(project, row, "test")) for row in rows_of(project, "test")
    }
    assert "never-empty guard (warn): 2 of 2 masks hold an object\n" in printed
    guard = pd.read_csv(project.folder / "submissions" / "guard.csv", dtype={"id": str})
    assert list(guard.columns) == ["id", "organ", "data_source", "asked", "used", "objects", "action"]
    assert guard["id"].tolist() == [row.id for row in rows_of(project, "test")]
    assert (guard["asked"] == 0.5).all()
    assert (guard["used"] == 0.5).all()
    assert (guard["objects"] >= 1).all()
    assert guard["action"].isna().all()


def test_an_ensemble_takes_the_mean_of_its_experiments(project):
    alone = {row.id: rle.encode(by_hand(project, row, "test")) for row in rows_of(project, "test")}
    add_member(project, "exp")
    set_rules(project, own=0.5, members={"exp": 0.5})
    done(project, "submit")
    both = {
        row.id: rle.encode(by_hand(project, row, "test", members=("exp",)))
        for row in rows_of(project, "test")
    }
    assert answers(project) == both != alone
    set_rules(project, own=3.0, members={"exp": 0.0})
    done(project, "submit")
    assert answers(project) == alone


def test_evaluate_scores_the_mask_that_submit_would_make_of_the_fold_that_held_the_image_out(project):
    printed = done(project, "evaluate")
    table = pd.read_csv(project.folder / "reports" / "dice.csv", dtype={"id": str}).set_index("id")
    for row in rows_of(project, "train"):
        truth = png.read_mask(project.folder / "data" / "masks" / f"{row.id}.png")
        expected = metrics.dice(by_hand(project, row, "oof"), truth)
        assert table["dice"][row.id] == pytest.approx(expected, abs=1e-6)
    scores = jsonfile.read(project.folder / "reports" / "metrics.json", "")
    assert (scores["images"], scores["empty"]) == (6, 0)
    assert scores["dice"] == pytest.approx(table["dice"].mean(), abs=1e-6)
    assert scores["dice"] > 0.5
    shifted = pd.read_csv(project.folder / "reports" / "dice_shifted.csv")
    assert scores["dice_shifted"] == pytest.approx(
        shifted.groupby("organ")["dice"].mean().to_dict() | {"mean": shifted["dice"].mean()}, abs=1e-6
    )
    assert set(shifted["data_source"]) == {"Hubmap"}
    assert f"| shifted: mean | 6 | {scores['dice_shifted']['mean']:.3f} |" in printed


def test_scores_name_the_group_of_folds_csv(project):
    path = project.folder / "data" / "folds.csv"
    folds = pd.read_csv(path, dtype=str)
    folds["group"] = "of " + folds["fold"]
    folds.to_csv(path, index=False)
    done(project, "evaluate")
    for name in ("dice.csv", "dice_shifted.csv"):
        table = pd.read_csv(project.folder / "reports" / name, dtype=str)
        assert table["group"].tolist() == folds.set_index("id")["group"][table["id"]].tolist()


def test_the_nested_estimate_of_chosen_rules_stands_beside_their_score(project):
    nested = {"dice": 0.4321, "low": 0.4, "high": 0.5}
    facts = {"enabled": True, "estimates": {"all oof": {"nested": nested}}}
    jsonfile.write(project.folder / "reports" / "calibration.json", facts)
    assert "chosen on other folds: 0.432\n" in done(project, "evaluate")
    assert jsonfile.read(project.folder / "reports" / "metrics.json", "")["nested"] == nested


def test_the_optimism_of_epochs_that_were_chosen_stands_beside_their_score(project):
    assert "no epoch was chosen" in done(project, "evaluate")
    metrics_file = project.folder / "reports" / "metrics.json"
    assert jsonfile.read(metrics_file, "")["checkpoint"] == {"rule": "last"}
    for fold, dices in enumerate(([0.9, 0.5], [0.7, 0.8])):
        model = project.folder / "models" / f"fold_{fold}"
        facts = jsonfile.read(model / "model.json", "")
        jsonfile.write(model / "model.json", facts | {"checkpoint": "best"})
        pd.read_csv(model / "history.csv").assign(valid_dice=dices).to_csv(model / "history.csv", index=False)
    printed = done(project, "evaluate")
    found = {"rule": "best", "best_minus_last": 0.2, "best_minus_chosen_on_others": 0.25}
    assert jsonfile.read(metrics_file, "")["checkpoint"] == found
    assert "best minus last epoch: 0.2000. Best minus the epoch chosen on the other folds: 0.2500." in printed
    assert printed == (project.folder / "reports" / "summary.md").read_text()


def test_no_shifted_images_are_no_shifted_score(project):
    (project.folder / "data/shifted/shifted.csv").write_text(",".join(ImageRow._fields) + "\n")
    for path in (project.folder / "data/predictions").glob("fold_*/shifted"):
        shutil.rmtree(path)
    done(project, "evaluate")
    assert "dice_shifted" not in jsonfile.read(project.folder / "reports/metrics.json", "")
    assert (
        project.folder / "reports/dice_shifted.csv"
    ).read_text() == "id,organ,data_source,dice,objects,action\n"


def test_the_guard_lowers_a_threshold_says_so_and_can_be_off(project):
    set_rules(project, threshold=1.0)
    for guard in ("warn", "lower", "off"):
        project.set(postprocess={"never_empty": guard})
        printed = done(project, "submit")
        table = pd.read_csv(project.folder / "submissions/guard.csv", keep_default_na=False)
        actions = {"warn": "empty", "lower": "lowered", "off": ""}
        assert set(table["action"]) == {actions[guard]}
        assert (table["objects"] > 0).all() == (guard == "lower")
        assert (table["used"] < table["asked"]).all() == (guard == "lower")
        names = [row.id for row in rows_of(project, "test")]
        assert all(f"{name} (" in printed for name in names) == (guard != "off")
        assert (
            f"never-empty guard ({guard}): {2 if guard == 'lower' else 0} of 2 masks hold an object"
            in printed
        )
    assert set(answers(project).values()) == {""}


def test_workers_change_no_byte(project):
    for stage in ("evaluate", "submit"):
        done(project, stage)
    before = project.contents()
    project.set(compute={"workers": 2})
    for stage in ("evaluate", "submit"):
        done(project, stage)
    assert project.contents() | {"params.yaml": before["params.yaml"]} == before


# ------------------------------------------------------------------ refused

both_stages = pytest.mark.parametrize("stage", ["evaluate", "submit"])


def a_map(project, stage: str):
    part = "oof" if stage == "evaluate" else "test"
    return max((project.folder / "data" / "predictions" / "fold_1" / part / "flips").iterdir())


@both_stages
def test_a_map_that_was_cut_off_is_refused_before_any_is_read(project, stage):
    path = a_map(project, stage)
    path.write_bytes(path.read_bytes()[:-100])
    refused(project, stage, f"{path.relative_to(project.folder)}: ", "run `dvc repro`")


@both_stages
def test_a_map_that_is_missing_is_refused(project, stage):
    path = a_map(project, stage)
    path.unlink()
    refused(
        project,
        stage,
        str(path.parent.relative_to(project.folder)),
        f"at odds: {path.stem}",
        "run `dvc repro`",
    )


@both_stages
def test_rules_of_other_members_are_refused(project, stage):
    set_rules(project, members={"gone": 1.0})
    refused(project, stage, "data/members: holds [] but the rules weigh ['gone']; run `dvc repro`")


@both_stages
def test_rules_of_views_that_were_not_predicted_are_refused(project, stage):
    set_rules(project, tta="d4")
    refused(project, stage, "data/predictions/fold_0: has no set d4", "predict.tta or predict.candidates")


@both_stages
def test_a_threshold_outside_0_to_1_is_refused(project, stage):
    set_rules(project, threshold=1.5)
    refused(project, stage, "data/rules.json: rules.HPA.kidney.threshold is 1.5, which is no number in 0..1")
