"""A network of each of the other papers' families, through the real stages."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ftu.files import folds
from ftu.networks.common import saved
from ftu.networks.common.contract import Probabilities
from ftu.probabilities import fold_maps
from imports import ROOT

pytestmark = pytest.mark.slow

ROW = {"width": 4, "norm": "batch", "activation": "relu", "dropout": "none", "init": "he"}
MODELS = [
    {"family": "unet", "encoder": "plain", "decoder": "attunet", "fuse": "skip", **ROW},
    {"family": "unetr", "encoder": "yvit-mini", "decoder": "ynetr", **ROW},
    {
        "family": "ms_twins", "encoder": "tu-twins_svt_small", "decoder": "mstwins", "fuse": "ms_fif",
        "cascade": "residual", "drop_path": 0.1,
    },
]  # fmt: skip
CASCADE = {"aux_loss": "cascade", "loss": {"bce": 0.0, "dice": 0.0, "focal": 0.0, "lovasz": 0.0}}
STAGES = ("sample", "decode", "resize", "normalize", "shift", "split", "train --fold 0", "predict --fold 0")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["family"])
def test_it_trains_and_predicts(new_project, model):
    train = {"model": model, "weights": "none", "epochs": 2, "switch_epoch": 1, "aux_loss": "switched"}
    train |= CASCADE if "cascade" in model else {}
    project = new_project(
        sample={"train": 10, "test": 2},
        stain={"backend": "none"},
        resize={"side": 64},
        split={"run": [0]},
        train=train | {"standardize": "unit"},
        predict={"tta": "flips"},
    )
    for stage in STAGES:
        name, *arguments = stage.split()
        done = subprocess.run(
            [sys.executable, str(ROOT / "stages" / f"{name}.py"), *arguments],
            cwd=project.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    folder = project.folder / "models" / "fold_0"
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert facts["architecture"] == model | {"size": 64}
    assert (facts["mean"], facts["encoder_weights"]["source"]) == ([0.0] * 3, "none")
    network, _ = saved.load(folder)
    header = (folder / "history.csv").read_text(encoding="utf-8").split("\n")[0]
    assert ("train_level_4,train_level_3,train_level_2,train_level_1,train_contrast" in header) == (
        "cascade" in model
    )
    assert Probabilities(network).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)
    predicted = project.folder / "data" / "predictions" / "fold_0"
    _, held_out = folds.divide(folds.read_folds(project.folder / "data" / "folds.csv"), 0)
    assert held_out
    assert all(fold_maps.map_path(predicted, "oof", "flips", name).is_file() for name in held_out)
