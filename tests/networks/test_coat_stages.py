"""The paper's family of networks, CoaT with DaFormer, through the real stage scripts."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import toy
from ftu.files import csvfile, folds, png
from ftu.files.index import read_index
from ftu.masks import submission
from ftu.networks.common import saved
from ftu.networks.common.contract import Probabilities
from ftu.networks.common.standardize import image_tensor
from ftu.probabilities import fold_maps
from ftu.training import loop
from ftu.training.checkpoints import CHOICES
from ftu.training.samples import Samples, ValidBatches, loader
from imports import ROOT
from maps import read_probability

pytestmark = pytest.mark.slow

SIZE = 64
CHANGES = {
    "sample": {"train": 10, "test": 4},
    "resize": {"side": SIZE},
    "split": {"run": [0]},
    "train": {
        "model": {
            "family": "encoder_decoder",
            "encoder": "coat_lite_tiny",
            "decoder": "daformer",
            "width": 32,
            "fuse": "conv1x1",
            "drop_path": 0.0,
        },
        "epochs": 2,
        "switch_epoch": 1,
        "aux_loss": "switched",
        "checkpoint": "best_after_switch",
    },
}
BEFORE = ["sample", "decode", "resize", "normalize", "shift", "split"]
STAGES = [*BEFORE, "train --fold 0", "predict --fold 0", "members", "calibrate", "evaluate", "submit"]


def run(folder, stage):
    name, *arguments = stage.split()
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{name}.py"), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def folder(new_project):
    """A project after all stages, of one fold."""
    project = new_project(**CHANGES)
    for stage in STAGES:
        run(project.folder, stage)
    return project.folder


@pytest.fixture(scope="module")
def model(folder):
    return saved.load(folder / "models/fold_0")


def test_both_blocks_were_active(folder):
    history = pd.read_csv(folder / "models/fold_0/history.csv")
    assert history["active_block"].tolist() == [2, 1]
    assert history["train_aux_2"].notna().tolist() == [True, False]
    assert history["train_aux_1"].notna().tolist() == [False, True]
    gradients = [f"gradient_{block}" for block in range(1, 5)]
    numbers = ["train_total", "train_main", *gradients, "valid_main", "valid_dice"]
    assert np.isfinite(history[numbers]).all(axis=None)
    assert (history[gradients] > 0).all(axis=None)


def test_the_model_says_what_it_is(folder, model):
    _, facts = model
    assert facts["architecture"] == CHANGES["train"]["model"] | {"size": SIZE}
    assert facts["encoder_weights"] == {"source": "none", "licence": "none"}
    assert facts["checkpoint"] == "best_after_switch"
    scores = json.loads((folder / "models/fold_0/metrics.json").read_text())
    assert scores["best_after_switch"]["epoch"] == 1


def test_every_image_has_a_prediction_of_the_networks_size(folder):
    index, table = read_index(folder / "data/images.csv"), folds.read_folds(folder / "data/folds.csv")
    due = {"oof": folds.divide(table, 0)[1], "test": index.loc[index["set"] == "test", "id"].tolist()}
    made = folder / "data/predictions/fold_0"
    fold_maps.check_fold(made, folder / "models/fold_0", tta="flips", due=due)
    for part, ids in due.items():
        for name in ids:
            path = fold_maps.map_path(made, part, "flips", name)
            assert read_probability(path).shape == (SIZE, SIZE)


def test_the_saved_weights_give_the_predictions(folder, model):
    segmenter, facts = model
    made = folder / "data/predictions/fold_0"
    made_by = json.loads((made / "prediction.json").read_text())
    assert made_by == {"fold": 0, "sets": ["flips"], "weights_sha256": facts["weights_sha256"]}
    network = Probabilities(segmenter).eval()
    for source in sorted((folder / "data/normalized/test").glob("*.png")):
        image = image_tensor(png.read_image(source), facts["mean"], facts["std"])[None]
        with torch.no_grad():
            views = [network(image), network(image.flip(3)).flip(3), network(image.flip(2)).flip(2)]
        written = read_probability(fold_maps.map_path(made, "test", "flips", source.stem))
        np.testing.assert_allclose(written, torch.stack(views).mean(0)[0, 0].numpy(), rtol=0, atol=2e-5)


def test_training_again_repeats_every_byte(folder):
    written = sorted((folder / "models/fold_0").iterdir())
    before = {path.name: path.read_bytes() for path in written}
    run(folder, "train --fold 0")
    assert {path.name: path.read_bytes() for path in written} == before
    assert set(before) == {"history.csv", "metrics.json", "model.json", "weights.safetensors"}


def test_evaluate_scores_the_images_of_the_fold(folder):
    table = csvfile.read_csv(folder / "reports/dice.csv")
    held_out = folds.divide(folds.read_folds(folder / "data/folds.csv"), 0)[1]
    assert sorted(table["id"]) == sorted(held_out)
    assert table["dice"].astype(float).between(0, 1).all()
    written = {path.name for path in (folder / "reports").iterdir()}
    assert {"dice.csv", "metrics.json", "summary.md", "curves.png", "gallery.png"} <= written


def test_the_submission_answers_the_test_table(folder):
    answers = csvfile.read_csv(folder / "submissions/submission.csv")
    submission.check_submission(answers, csvfile.read_sizes(folder / "data/sample/test.csv"))


# ------------------------------------------------------------------ which checkpoint ships


@pytest.fixture(scope="module")
def choices(folder, new_project):
    """The same training under each choice of a checkpoint, at a rate that makes the last epoch a bad one."""
    made = {}
    for choice in CHOICES:
        project = new_project(**CHANGES)
        shutil.copytree(folder / "data", project.folder / "data")
        project.set(train={"epochs": 4, "switch_epoch": 3, "lr": 0.01, "checkpoint": choice})
        said = run(project.folder, "train --fold 0")
        assert ("train.checkpoint best ships epoch" in said) == (choice == "best")  # one before the switch
        made[choice] = project.folder
    return made


def model_of(folder):
    return folder / "models/fold_0"


def test_all_choices_record_the_same_training_whose_best_epochs_differ(choices):
    for name in ("metrics.json", "history.csv"):
        assert len({(model_of(choices[choice]) / name).read_bytes() for choice in CHOICES}) == 1
    scores = json.loads((model_of(choices["best"]) / "metrics.json").read_text())
    assert scores["last"] == scores["best_after_switch"]
    assert scores["best_after_switch"]["epoch"] == 3
    assert scores["best"]["epoch"] < 3
    assert scores["best"]["dice"] > scores["best_after_switch"]["dice"] + 0.01


@pytest.mark.parametrize("choice", CHOICES)
def test_the_shipped_weights_are_those_of_the_epoch_that_was_chosen(choices, choice):
    folder = choices[choice]
    segmenter, facts = saved.load(model_of(folder))
    kept = json.loads((model_of(folder) / "metrics.json").read_text())[choice]
    row = pd.read_csv(model_of(folder) / "history.csv").set_index("epoch").loc[kept["epoch"]]
    held_out = folds.divide(folds.read_folds(folder / "data/folds.csv"), 0)[1]
    data = folder / "data"
    size, pixels, masks = SIZE, data / "normalized/train", data / "resized/masks"
    samples = Samples(pixels, masks, held_out, size, None, 0, cache=False)
    passes = ValidBatches(len(held_out), batch_size=8, rank=0, processes=1)
    again = loop.validate(segmenter, loader(samples, passes, 0, pin=False), toy.cpu(), {"bce": 1.0})
    assert facts["checkpoint"] == choice
    assert again["valid_dice"] == pytest.approx(kept["dice"], abs=1e-3)
    assert again["valid_dice"] == pytest.approx(row["valid_dice"], abs=1e-3)
    assert again["valid_main"] == pytest.approx(row["valid_main"], rel=1e-4)
