"""An encoder whose weights were trained with means and deviations of 0.5, through the real stages."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch

from ftu.files import folds, png
from ftu.networks.common import saved
from ftu.networks.common.contract import Probabilities
from ftu.networks.common.standardize import image_tensor
from ftu.probabilities import fold_maps
from ftu.training import loop
from ftu.training.samples import Samples, ValidBatches, loader
from imports import ROOT
from maps import read_probability
from toy import cpu

pytestmark = pytest.mark.slow

NAME = "tf_mobilenetv3_small_minimal_100"
MODEL = {
    "family": "encoder_decoder",
    "encoder": f"tu-{NAME}",
    "decoder": "daformer",
    "width": 16,
    "fuse": "conv3x3",
    "drop_path": 0.1,
}


@pytest.fixture(scope="module")
def folder(new_project, tmp_path_factory):
    """A project after predict, of one fold, whose encoder began with a file."""
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(timm.create_model(NAME).state_dict(), weights)
    train = {"model": MODEL, "weights": str(weights), "epochs": 2, "switch_epoch": 1, "aux_source": "serial"}
    project = new_project(
        sample={"train": 10, "test": 2},
        stain={"backend": "none"},
        resize={"side": 64},
        split={"run": [0]},
        train=train | {"aux_loss": "single"},
        predict={"tta": "none"},
    )
    stages = [
        "sample",
        "decode",
        "resize",
        "normalize",
        "shift",
        "split",
        "train --fold 0",
        "predict --fold 0",
    ]
    for stage in stages:
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
    return project.folder


def test_the_model_says_how_its_images_are_standardised(folder):
    facts = json.loads((folder / "models/fold_0/model.json").read_text())
    assert (facts["mean"], facts["std"]) == ([0.5] * 3, [0.5] * 3)
    assert facts["architecture"] == MODEL | {"size": 64}


def test_predictions_are_made_of_images_that_are_standardised_so(folder):
    network = Probabilities(saved.load(folder / "models/fold_0")[0]).eval()
    for source in sorted((folder / "data/normalized/test").glob("*.png")):
        image = png.read_image(source)
        with torch.no_grad():
            own, others = (network(one[None])[0, 0].numpy() for one in (
                image_tensor(image, (0.5,) * 3, (0.5,) * 3), image_tensor(image)
            ))  # fmt: skip
        written = read_probability(
            fold_maps.map_path(folder / "data/predictions/fold_0", "test", "none", source.stem)
        )
        np.testing.assert_allclose(written, own, rtol=0, atol=2e-5)
        assert np.abs(own - others).max() > 1e-3


def test_training_saw_images_that_are_standardised_so(folder):
    """The Dice that training records is that of the shipped weights on such images."""
    segmenter, facts = saved.load(folder / "models/fold_0")
    kept = json.loads((folder / "models/fold_0/metrics.json").read_text())[facts["checkpoint"]]
    history = np.genfromtxt(folder / "models/fold_0/history.csv", delimiter=",", names=True)
    held_out = folds.divide(folds.read_folds(folder / "data/folds.csv"), 0)[1]
    data = folder / "data"
    recorded = history["valid_main"][kept["epoch"]]
    for statistics, same in (((facts["mean"], facts["std"]), True), (((0.0,) * 3, (1.0,) * 3), False)):
        mean, std = statistics
        samples = Samples(
            data / "normalized/train", data / "resized/masks", held_out, 64, None, 0,
            cache=False, mean=mean, std=std,
        )  # fmt: skip
        passes = ValidBatches(len(held_out), batch_size=8, rank=0, processes=1)
        again = loop.validate(segmenter, loader(samples, passes, 0, pin=False), cpu(), {"bce": 1.0})
        assert (again["valid_main"] == pytest.approx(recorded, rel=1e-4)) == same
