"""stages/calibrate.py, run for real on small projects whose best threshold is known."""

import json
import math
import shutil

import pandas as pd
import pytest

from blobs import LEVEL, write_map, write_project
from ftu.files import jsonfile, png
from ftu.masks import rules
from maps import read_probability

pytestmark = pytest.mark.slow  # each runs a stage, or two

CALIBRATE = {"enabled": True, "fewest": 4, "flat": 0.002, "bootstrap": 200, "smallest_objects": [0, 100],
             "largest_holes": [0, 100]}  # fmt: skip
ON = {"split": {"count": 3, "run": [0, 1, 2]}, "calibrate": CALIBRATE}
FILES = ["calibration.json", "calibration.md", "calibration.png"]


@pytest.fixture
def project(new_project):
    made = new_project(**ON)
    write_project(made.folder, {"kidney": 9, "lung": 3}, folds=3)
    return made


def found(project):
    """Run the stage; the rules, and the report for programs."""
    result = project.run("calibrate")
    assert result.returncode == 0, result.stderr
    data = project.params["data"]
    read = rules.read(project.folder / "data" / "rules.json", organs=data["organs"], sources=data["sources"])
    return read, json.loads((project.folder / "reports" / "calibration.json").read_text())


def refused(project, message: str) -> None:
    before = project.contents()
    result = project.run("calibrate")
    assert result.returncode == 2, result.stderr
    assert f"calibrate: error: {message}" in result.stderr
    assert project.contents() == before


# ------------------------------------------------------------------ off


def test_off_the_rules_are_those_of_the_parameters(project):
    project.set(calibrate={"enabled": False}, postprocess={"smallest_object": 30.0, "method": "quantile"})
    shutil.rmtree(project.folder / "data" / "predictions")  # it needs none
    read, report = found(project)
    assert (read.tta, read.own, read.members, read.method) == ("flips", 1.0, {}, "quantile")
    for source, organs in project.params["thresholds"].items():
        for organ, threshold in organs.items():
            assert read.table[source][organ][:3] == (threshold, 30.0, 0.0)
    masks = [png.read_mask(path) for path in (project.folder / "data" / "masks").glob("kidney*")]
    share = sum(mask.mean() for mask in masks) / len(masks)
    assert read.table["HPA"]["kidney"].foreground == pytest.approx(share)
    assert math.isnan(read.table["HPA"]["spleen"].foreground)  # no image
    assert report == {"enabled": False}
    assert sorted(path.name for path in (project.folder / "reports").iterdir()) == FILES


def test_members_keep_the_weights_of_the_parameters(project):
    project.set(calibrate={"enabled": False}, ensemble={"members": [{"name": "other", "weight": 2.0}]})
    assert found(project)[0].members == {"other": 2.0}


# ------------------------------------------------------------------ on


def test_the_known_threshold_is_found_and_the_report_says_what_it_is_worth(project):
    read, report = found(project)
    assert read.table["HPA"]["kidney"].threshold == pytest.approx(LEVEL, abs=0.02)
    assert read.table["HPA"]["lung"].threshold == 0.15
    assert read.why["rules"]["HPA"]["lung"] == "kept: fewer than 4 training images"
    row = report["estimates"]["HPA kidney"]
    assert row["images"] == 9
    assert row["nested"]["dice"] > 0.97 > row["table"]["dice"]
    assert row["gain"]["low"] > 0
    assert row["in_sample"]["low"] <= row["in_sample"]["dice"] <= row["in_sample"]["high"]
    lung = report["estimates"]["HPA lung"]
    assert lung["nested"] == lung["in_sample"] == lung["table"]
    assert sorted(report["folds"]) == ["0", "1", "2"]
    assert report["estimates"]["all oof"]["images"] == 12
    assert sorted(path.name for path in (project.folder / "reports").iterdir()) == FILES
    words = (project.folder / "reports" / "calibration.md").read_text()
    assert "| HPA lung | 3 |" in words
    assert "kept: fewer than 4 training images" in words


def test_a_source_without_images_takes_the_threshold_by_the_ratio_of_the_table(project):
    read, _ = found(project)
    kidney = read.table["HPA"]["kidney"]
    carried = read.table["Hubmap"]["kidney"]
    assert carried.threshold == pytest.approx(kidney.threshold * 0.4 / 0.5)
    assert carried[1:] == kidney[1:]
    assert read.table["Hubmap"]["lung"].threshold == 0.1  # unchanged there, so exactly the table's
    assert read.table["Hubmap"]["spleen"].threshold == 0.4
    assert "0.4 / 0.5" in read.why["rules"]["Hubmap"]["kidney"]


def test_the_number_of_workers_changes_no_byte(project):
    found(project)
    before = project.contents()
    project.set(compute={"workers": 2})
    found(project)
    assert project.contents() | {"params.yaml": before["params.yaml"]} == before


@pytest.mark.parametrize("method", ["otsu", "quantile"])
def test_other_methods_keep_the_thresholds_and_choose_sizes(project, method):
    project.set(postprocess={"method": method})
    read, report = found(project)
    assert read.method == method
    assert read.table["HPA"]["kidney"].threshold == 0.5
    assert report["estimates"]["HPA kidney"]["nested"]["dice"] > 0.5


def test_the_member_that_predicts_better_gets_the_weight(new_project):
    project = new_project(**ON, ensemble={"members": [{"name": "clean", "weight": 0.01}]})
    write_project(project.folder, {"kidney": 9}, folds=3, noise=0.3)
    data = project.folder / "data"
    (data / "clean").rename(data / "members" / "clean")
    members = {"members": {"clean": {"folder": "clean", "folds": [0, 1, 2]}}}
    jsonfile.write(data / "members" / "members.json", members)
    read, _ = found(project)
    assert read.members["clean"] > read.own
    assert read.own + read.members["clean"] == pytest.approx(1, abs=1e-5)
    project.set(calibrate={"choose_weights": False})
    kept, _ = found(project)
    assert (kept.own, kept.members) == (1.0, {"clean": 0.01})


def test_the_better_views_are_chosen(new_project):
    project = new_project(**ON, predict={"candidates": ["d4"]})
    table = write_project(project.folder, {"kidney": 9}, folds=3, noise=0.3)
    data = project.folder / "data"
    for row in table.to_dict("records"):
        fold = f"fold_{row['fold']}"
        target = data / "predictions" / fold / "oof" / "d4"
        target.mkdir(exist_ok=True)
        shutil.copy(data / "clean" / fold / "oof" / "flips" / f"{row['id']}.tif", target)
        made_by = {"weights_sha256": f"of {row['fold']}", "sets": ["flips", "d4"]}
        jsonfile.write(data / "predictions" / fold / "prediction.json", made_by)
    assert found(project)[0].tta == "d4"
    project.set(calibrate={"choose_tta": False})
    assert found(project)[0].tta == "flips"


# ------------------------------------------------------------------ groups


def test_estimates_are_over_the_groups_of_folds_csv(project):
    path = project.folder / "data" / "folds.csv"
    table = pd.read_csv(path, dtype=str)
    table.assign(group=table["organ"] + table["fold"]).to_csv(path, index=False)
    _, report = found(project)
    assert report["estimates"]["all oof"]["groups"] == (table["organ"] + table["fold"]).nunique()
    assert report["estimates"]["all oof"]["images"] == len(table)
    assert "bootstrapped over groups" in (project.folder / "reports" / "calibration.md").read_text()


# ------------------------------------------------------------------ shifted


@pytest.fixture
def shifted(project):
    """The kidneys as Hubmap would show them: there LEVEL / 2 is best."""
    data = project.folder / "data"
    folds = pd.read_csv(data / "folds.csv").set_index("id")["fold"]
    index = pd.read_csv(data / "images.csv")
    rows = index[index["organ"] == "kidney"].assign(set="shifted", data_source="Hubmap", pixel_size=4.0)
    (data / "shifted").mkdir()
    rows.to_csv(data / "shifted" / "shifted.csv", index=False)
    shutil.copytree(data / "masks", data / "shifted" / "masks")
    for name in rows["id"]:
        fold = data / "predictions" / f"fold_{folds[name]}"
        half = read_probability(fold / "oof" / "flips" / f"{name}.tif") / 2
        write_map(fold / "shifted" / "flips" / f"{name}.tif", half)
    project.set(shift={"enabled": True}, calibrate={"metric": "dice_shifted"})
    return project


def test_shifted_images_choose_for_the_source_that_is_absent(shifted):
    read, report = found(shifted)
    assert read.table["HPA"]["kidney"].threshold == pytest.approx(LEVEL, abs=0.02)
    assert read.table["Hubmap"]["kidney"].threshold == pytest.approx(LEVEL / 2, abs=0.02)
    assert report["metric"] == "dice_shifted"
    assert report["estimates"]["all shifted"]["images"] == report["estimates"]["Hubmap kidney"]["images"] == 9
    assert report["estimates"]["all oof"]["images"] == 12


def test_no_shifted_images_are_refused(shifted):
    path = shifted.folder / "data" / "shifted" / "shifted.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    refused(shifted, "calibrate.metric: dice_shifted needs shifted images")


# ------------------------------------------------------------------ refused


def test_a_missing_map_is_named_before_work_starts(project):
    (project.folder / "data/predictions/fold_1/oof/flips/kidney4.tif").unlink()
    refused(
        project,
        "data/predictions/fold_1/oof/flips: holds 3 images where 4 are due (at odds: kidney4)",
    )


def test_a_missing_set_of_views_is_named(project):
    project.set(predict={"candidates": ["d4"]})
    refused(project, "data/predictions/fold_0: has no set d4 (predicted: flips); name it in predict.tta")


def test_a_fold_without_predictions_is_named(project):
    shutil.rmtree(project.folder / "data/predictions/fold_2")
    refused(project, "data/predictions/fold_2/prediction.json: is missing; the fold was not predicted")


def test_predictions_of_an_older_model_are_refused(project):
    jsonfile.write(project.folder / "models/fold_2/model.json", {"weights_sha256": "new"})
    refused(project, "data/predictions/fold_2: is stale, models/fold_2 was trained again since")


def test_a_truncated_map_is_named(project):
    path = project.folder / "data/predictions/fold_1/oof/flips/kidney4.tif"
    path.write_bytes(path.read_bytes()[:300])
    refused(project, "data/predictions/fold_1/oof/flips/kidney4.tif: ")


def test_a_member_without_a_map_is_named(project):
    project.set(ensemble={"members": [{"name": "clean", "weight": 1.0}]})
    data = project.folder / "data"
    (data / "clean").rename(data / "members" / "clean")
    members = {"members": {"clean": {"folder": "clean", "folds": [0, 1]}}}
    jsonfile.write(data / "members" / "members.json", members)
    refused(project, "data/members/clean: no fold of [0, 1] holds oof/flips/kidney2.tif; run `dvc repro`, or")


def test_one_fold_cannot_be_nested(project):
    project.set(split={"run": [0]})
    refused(
        project,
        "params.yaml: calibrate.enabled: split.run is [0], but what is chosen on some folds is scored",
    )
