"""Volumes through the stages but for the network: what it would predict comes back to patients."""

import hashlib
from typing import Any

import numpy as np
import pytest

from ftu.files import folds, jsonfile, png, yamlfile
from ftu.files.index import read_index
from ftu.probabilities import fold_maps, map_file
from ftu_tools.dataset.volumes.__main__ import bring_back
from imports import ROOT
from nifti_files import CLASSES, acdc, loaded
from own_data import run

pytestmark = pytest.mark.slow  # runs four stages

TOLD = "--classes", CLASSES, "--percentiles", "0.5,99.5"


def certain(mask: np.ndarray) -> np.ndarray:
    """(C, H, W) maps, from which a mask (H, W) of the numbers of C classes follows; at twice its size."""
    enlarged = mask.repeat(2, axis=0).repeat(2, axis=1)
    return np.stack([enlarged == number for number in range(1, 4)]).astype(np.float32)


def predict(project: Any) -> None:
    """Maps of the folds and the test images as if a network had found all."""
    data = project.folder / "data"
    index, dealt = read_index(data / "images.csv"), folds.read_folds(data / "folds.csv")
    test = index.loc[index["set"] == "test", "id"]
    for fold in project.params["split"]["run"]:
        weights = hashlib.sha256(b"%d" % fold).hexdigest()
        made, model = data / f"predictions/fold_{fold}", project.folder / f"models/fold_{fold}"
        held_out = folds.divide(dealt, fold)[1]
        for part, names, masks in (("oof", held_out, "masks"), ("test", test, "masks_test")):
            for name in names:
                path = fold_maps.map_path(made, part, "none", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                found = certain(png.read_mask(data / masks / f"{name}.png"))
                _, height, width = found.shape
                with map_file.writer(path, height, width, classes=len(found)) as write:
                    write(found)
        jsonfile.write(made / fold_maps.FACTS, {"fold": fold, "sets": ["none"], "weights_sha256": weights})
        model.mkdir(parents=True)
        jsonfile.write(model / "model.json", {"weights_sha256": weights, "checkpoint": "last"})
    (data / "members").mkdir()
    jsonfile.write(data / "members/members.json", {"members": {}})


def test_what_submit_writes_of_slices_comes_back_to_their_volumes(tmp_path, new_project):
    project = new_project()
    root = project.folder / "data/acdc-volumes"
    for number, patient in enumerate(("patient001", "patient002")):
        acdc(tmp_path / "training", patient, seed=10 * number)
    acdc(tmp_path / "testing", "patient101", seed=30)
    run(tmp_path / "s", tmp_path / "training", "--to", root, *TOLD)
    run(tmp_path / "s", tmp_path / "testing", "--to", root, *TOLD, "--set", "test")
    project.params = yamlfile.read(ROOT / "profiles/acdc.yaml", "it is committed")
    project.set(data={}, split={"count": 2, "run": [0]}, compute={"workers": 1})
    project.prepared("decode", "split")
    predict(project)
    project.prepared("calibrate", "submit")
    bring_back(root, project.folder / "submissions/masks", tmp_path / "volumes")
    for frame in ("01", "12"):
        found = loaded(tmp_path / f"volumes/patient101_frame{frame}.nii.gz")
        expected = loaded(tmp_path / f"testing/patient101/patient101_frame{frame}_gt.nii.gz")
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
        np.testing.assert_array_equal(found.affine, expected.affine)
