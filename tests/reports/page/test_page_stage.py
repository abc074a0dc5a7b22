"""The stage, run for real on maps that a test made: for several classes, groups and layouts."""

import json
import math
import shutil

import numpy as np
import pytest

import predicted
from ftu.files import csvfile, jsonfile, png
from ftu.files.index import read_index
from ftu.masks import rules
from ftu.masks.classes import ClassRule
from ftu.masks.cutting import Rule
from ftu.probabilities import map_file
from ftu.reports.page import pictures
from pages import Page

pytestmark = pytest.mark.slow  # each runs a stage, or two

GEOMETRY = "organ,data_source,set,images,network_um,against_train,against_train_min,against_train_max\n"
QUALITY = "id,set,reason,residual,gain,clipped,artefacts\n"
IMAGES = "Out-of-fold scores by image"


@pytest.fixture(scope="module")
def evaluated(new_project, small_sample):
    """Two folds' predictions of six training images, evaluated; do not write into it."""
    project = new_project(small_sample, split={"count": 2, "run": [0, 1]})
    predicted.prepare(project)
    predicted.predict(project.folder)
    complete(project)
    rule = Rule(0.5, smallest_object=0, largest_hole=0, foreground=math.nan)
    data = project.params["data"]
    table = {source: dict.fromkeys(data["organs"], rule) for source in data["sources"]}
    rules.write(project.folder / "data/rules.json", rules.Rules("flips", 1.0, {}, "table", table, {}))
    project.prepared("evaluate")
    return project


def complete(project) -> None:
    """What calibrate, resize, normalize and members leave, where they have nothing to say."""
    (project.folder / "reports").mkdir()
    (project.folder / "reports/geometry.csv").write_text(GEOMETRY)
    jsonfile.write(project.folder / "reports/calibration.json", {"enabled": False})
    for name in ("members", "normalized"):
        (project.folder / "data" / name).mkdir()
    (project.folder / "data/normalized/qc.csv").write_text(QUALITY)
    jsonfile.write(project.folder / "data/members/members.json", {"members": {}})


@pytest.fixture
def project(evaluated, new_project):
    copy = new_project()
    shutil.copytree(evaluated.folder, copy.folder, dirs_exist_ok=True)
    copy.set(data={"root": "data/raw"}, split={"count": 2, "run": [0, 1]})
    return copy


def page_of(project) -> Page:
    """The page that the stage makes, whose pictures are those that lie beside it."""
    done = project.run("report")
    assert done.returncode == 0, done.stderr
    found = Page((project.folder / "reports/index.html").read_text(encoding="utf-8"))
    files = {f"page/{path.name}" for path in (project.folder / "reports/page").iterdir()}
    assert {image["src"] for image in found.all("img")} == files
    return found


def test_the_page_tells_what_evaluate_found_and_the_next_run_gives_its_bytes(project):
    before = project.contents()
    found = page_of(project)
    scores = csvfile.read_csv(project.folder / "reports/dice.csv")
    summary = jsonfile.read(project.folder / "reports/metrics.json", "")
    assert f"mean out-of-fold Dice {summary['dice']:.3f}" in found.text
    for name, dice in summary["baseline"].items():
        assert f"baseline: {name} {dice:.3f}" in found.text
    for row in found.table("By organ"):
        assert row[2].startswith(f"{summary['organ'][row[0]]:.3f} n ")
    told = {row[0]: row[4] for row in found.table(IMAGES)}
    assert told == {
        name: f"{float(dice):.3f}" for name, dice in zip(scores["id"], scores["dice"], strict=True)
    }
    made = project.contents()
    assert {name for name in set(made) - set(before) if not name.startswith("reports/page/")} == {
        "reports/index.html", "reports/page"
    }  # fmt: skip
    assert {name: made[name] for name in before} == before
    count = len(found.all("img")) // 5
    assert count == len(told) <= pictures.WORST
    project.set(compute={"workers": 2})
    page_of(project)
    assert project.contents() | {"params.yaml": made["params.yaml"]} == made


def test_parameters_stand_there_but_those_that_change_no_result(project):
    found = page_of(project)
    told = {row[0]: row[1] for row in found.all_rows if len(row) == 2}
    params = project.params
    assert json.loads(told["resize.side"]) == params["resize"]["side"]
    assert json.loads(told["data.organs"]) == params["data"]["organs"]
    sections = {name.split(".")[0] for name in told if "." in name and "/" not in name}
    assert sections == set(params) - {"compute"}


def test_groups_and_a_pretrained_network_are_told(project):
    path = project.folder / "data/folds.csv"
    folds = csvfile.read_csv(path)
    folds.assign(group="of " + folds["fold"]).to_csv(path, index=False)
    for fold in (0, 1):
        model = project.folder / f"models/fold_{fold}/model.json"
        steps = {"steps": ["repair"], "transductive": False, "images": {"test": 0}}
        jsonfile.write(model, jsonfile.read(model, "") | {"pretrained": steps})
    project.prepared("evaluate")
    found = page_of(project)
    assert sorted(row[0] for row in found.table("By group")) == ["of 0", "of 1"]
    assert "over groups" in found.text
    assert "pre-trained (repair)" in found.text


def test_several_classes_in_maps_of_several_bands(project):
    classes, data, rng = ["nucleus", "cell"], project.folder / "data", np.random.default_rng(0)
    project.set(
        data={"classes": classes, "layout": "folders", "pixel_size": 1.0},
        postprocess={"method": "argmax"},
    )
    project.params["thresholds"] = {}
    project.set()
    shape = (predicted.GRID, predicted.GRID)
    for path in [*(data / "predictions").rglob("*.tif")]:
        path.unlink()
        with map_file.writer(path, *shape, classes=2) as write:
            write(rng.uniform(0, 0.5, (2, *shape)).astype(np.float32))
    for path in (data / "masks").iterdir():
        mask = png.read_mask(path)
        mask[: len(mask) // 2] *= 2
        png.write_mask(path, mask, classes=2)
    sizes = ClassRule((0.0, 0.0), (0.0, 0.0))
    params = project.params["data"]
    table = {source: dict.fromkeys(params["organs"], sizes) for source in params["sources"]}
    made = rules.Rules("flips", 1.0, {}, "argmax", {}, {}, tuple(classes), table)
    rules.write(data / "rules.json", made)
    project.prepared("evaluate")
    found = page_of(project)
    assert [row[0] for row in found.table("By class")] == [*classes, "mean"]
    assert "of several classes each pixel is of the likeliest" in found.text


def test_own_images_in_folders_with_test_masks(project):
    """What a folder layout changes for this stage: where images lie, and masks of test images."""
    index = read_index(project.folder / "data/images.csv")
    for part in ("train", "test"):
        folder = project.folder / "data/raw" / part / "images"
        folder.mkdir(parents=True)
        for path in (project.folder / f"data/raw/{part}_images").iterdir():
            path.rename(folder / f"no. {path.name}")
    moved = [f"{part}/images/no. {name}.tiff" for part, name in zip(index["set"], index["id"], strict=True)]
    index.assign(image=moved).to_csv(project.folder / "data/images.csv", index=False)
    test = index[index["set"] == "test"]
    (project.folder / "data/masks_test").mkdir()
    for name, height, width in zip(test["id"], test["img_height"], test["img_width"], strict=True):
        png.write_mask(project.folder / f"data/masks_test/{name}.png", np.ones((height, width), np.uint8))
    project.set(data={"layout": "folders", "pixel_size": 1.0})
    project.prepared("evaluate")
    found = page_of(project)
    assert "test images with masks" in found.text
    assert found.table("By class, test images")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "reports/dice.csv").unlink(), "reports/dice.csv: cannot be read"),
        (lambda folder: shutil.rmtree(folder / "data/predictions/fold_1"), "the fold was not predicted"),
        (
            lambda folder: jsonfile.write(folder / "reports/calibration.json", {"estimates": {"a": {}}}),
            "reports/calibration.json: has no images",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(project, break_it, words):
    break_it(project.folder)
    before = project.contents()
    done = project.run("report")
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert project.contents() == before
