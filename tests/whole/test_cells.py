"""The sample of cells by its profile: grey slices of two volumes, three classes, and a labelled test set."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftu.files import csvfile
from ftu.files.index import read_index
from project import commit, copy_repository, run, stages_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after a run of the committed profile, on the sample as if it were the user's own."""
    folder = tmp_path_factory.mktemp("clone") / "ftu"
    copy_repository(folder)
    shutil.copy2(folder / "profiles/cells.yaml", folder / "params.yaml")
    run(folder, "dvc", "repro", "sample")
    shutil.copytree(folder / "data/sample", folder / "data/raw")
    (folder / "data/raw/SYNTHETIC.md").unlink()
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(params.replace("data/sample", "data/raw"), encoding="utf-8")
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


def scores(project: Path) -> dict:
    return json.loads((project / "reports/scores.json").read_text(encoding="utf-8"))


def test_it_learns_all_three_classes(project):
    """Mean IoU by volume, on a volume that the network has not seen and on test slices."""
    metrics = json.loads((project / "reports/metrics.json").read_text(encoding="utf-8"))
    for part, facts in scores(project).items():
        assert facts["mean"]["iou_volume"] > 0.6, part
        assert min(facts[name]["iou_volume"] for name in ("membrane", "mitochondrion", "vesicle")) > 0.4, part
    assert metrics["dice"] > max(metrics["baseline"].values()) + 0.2
    groups = csvfile.read_csv(project / "data/folds.csv").groupby("group")["fold"].nunique()
    assert len(groups) == 2  # volumes
    assert (groups == 1).all()


def test_answers_are_masks_of_class_numbers_and_their_runs(project):
    index = read_index(project / "data/images.csv")
    test = index[index["set"] == "test"]
    table = csvfile.read_csv(project / "submissions/submission.csv")
    assert table["id"].tolist() == [name for name in test["id"] for _ in range(3)]
    assert table["class"].tolist() == ["1", "2", "3"] * len(test)
    seen = set()
    for row in test.itertuples():
        mask = cv2.imread(str(project / f"submissions/masks/{row.name}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        assert mask.shape == (row.img_height, row.img_width)
        seen |= set(np.unique(mask).tolist())
    assert seen == {0, 1, 2, 3}


def test_masks_of_test_images_move_their_own_scores_and_nothing_else(project, tmp_path):
    project = shutil.copytree(project, tmp_path / "turned", symlinks=True)  # others read these scores, too
    before = {
        path: path.read_bytes()
        for path in sorted(project.glob("data/*.*")) + sorted(project.glob("reports/*.*"))
    }
    locked, was = (project / "submissions/submission.csv").read_bytes(), scores(project)
    for path in (project / "data/raw/test/masks").iterdir():
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert labels is not None
        cv2.imwrite(str(path), np.ascontiguousarray(labels[::-1, ::-1]))
    ran = stages_run(run(project, "dvc", "repro"))
    assert not {"train@0", "predict@0", "calibrate", "submit", "split", "normalize"} & set(ran)
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    written = {"dice_test.csv", "scores.csv", "scores.json", "metrics.json", "summary.md"}
    assert changed == written | {"index.html"}
    assert scores(project)["oof"] == was["oof"]
    assert scores(project)["test"]["mean"]["iou"] < was["test"]["mean"]["iou"]
    assert (project / "submissions/submission.csv").read_bytes() == locked
