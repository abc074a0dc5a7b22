"""The stage pretrain: what it may see, what it leaves, and what training makes of that."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

import toy
from ftu.errors import InputError
from ftu.files import folds, png
from ftu.networks.common import build
from ftu.networks.common.contract import Segmentation
from ftu.probabilities import fold_maps
from ftu.training import frozen
from ftu.training.pretraining import kept, steps
from ftu.training.pretraining.samples import RepairSamples
from ftu.training.resume import StateFile
from imports import ROOT
from undisturbed import STEP
from waiting import wait_until

UNET = {
    "family": "unet", "encoder": "plain", "decoder": "attunet", "width": 2, "fuse": "skip", "norm": "none",
    "activation": "elu", "dropout": "spatial", "init": "he",
}  # fmt: skip
FAST = {"epochs": 2, "switch_epoch": 1, "threads": 1, "weights": "none", "standardize": "unit", "model": UNET}
HELD = "encoder.net.levels.0"
BEFORE = ("sample", "decode", "resize", "normalize", "shift", "split")


def script(folder, name, *, status=0, **environment):
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{name}.py"), "--fold", "0"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def prepared(new_project, **sections):
    sections = {"sample": {"train": 10, "test": 2}, "stain": {"backend": "none"}} | sections
    sections |= {"resize": {"side": 32}, "split": {"count": 2, "run": [0]}}
    sections["train"] = FAST | sections.get("train", {})
    project = new_project(**sections)
    project.prepared(*BEFORE)
    return project


@pytest.fixture(scope="module")
def project(new_project):
    """After pre-training in two steps: repair without masks, and a second decoder beside the masks, with a
    part frozen from then on."""
    terms = {"reconstruct": 0.98, "main": 0.02, "aux_2": 0.1}
    steps = [STEP, STEP | {"name": "both", "terms": terms, "freeze": [HELD]}]
    made = prepared(
        new_project, pretrain={"reconstruct": "decoder", "steps": steps}, train={"freeze": [HELD]}
    )
    table = folds.read_folds(made.folder / "data/folds.csv")
    for name in folds.divide(table, 0)[1]:  # who reads them fails
        (made.folder / f"data/normalized/train/{name}.png").write_bytes(b"")
        (made.folder / f"data/resized/masks/{name}.png").write_bytes(b"")
    script(made.folder, "pretrain")
    return made


@pytest.mark.parametrize("changes", [{}, {"train": {"lr": 0.5}, "augment": {"flip": 0.0}}])
def test_without_steps_it_leaves_the_same_bytes_and_reads_nothing(new_project, changes):
    project = new_project(**changes)  # which has no data, and no torch
    done = project.run("pretrain", "--fold", "3")
    assert done.returncode == 0, done.stderr
    (left,) = (project.folder / "data/pretrained/fold_3").iterdir()
    assert left.name == "pretrain.json"
    assert left.read_bytes() == b'{\n  "steps": []\n}\n'


def test_it_sees_the_folds_own_images_and_what_use_names_alone(project):
    """Those that the fold holds out cannot be read here."""
    facts = json.loads((project.folder / "data/pretrained/fold_0/pretrain.json").read_text(encoding="utf-8"))
    assert (facts["steps"], facts["images"]) == (["repair", "both"], {"train": 5, "test": 2})
    assert facts["transductive"] is True
    assert list(facts["contrast"]) == ["repair", "both"]
    history = pd.read_csv(project.folder / "data/pretrained/fold_0/history.csv")
    assert list(history["step"]) == ["repair"] * 2 + ["both"] * 2
    assert history["train_reconstruct"].notna().all()
    assert list(history["train_bce"].isna()) == [True] * 2 + [False] * 2


def test_a_flat_reconstruction_is_warned_of():
    clean = torch.rand(3, 8, 8)
    drawn = [(clean, None, 0, clean)] * 2  # what is asked of samples

    class Grey(torch.nn.Module):
        def __init__(self, share):
            super().__init__()
            self.share = torch.nn.Parameter(torch.tensor(share))

        def forward(self, images):
            colour = torch.tensor([0.9, 0.5, 0.1]).reshape(3, 1, 1)  # flat, though its channels differ
            return Segmentation(torch.zeros(2, 1, 8, 8), [], self.share * images + colour)

    class Drawn:
        def __len__(self):
            return 2

        def __getitem__(self, key):
            assert key[0] == 0
            return drawn[key[1]]

    for share in (0.0, 0.05, 0.5, 1.0):
        found = steps.contrast(Grey(share), Drawn())  # pyright: ignore[reportArgumentType]
        assert found == pytest.approx(share, abs=1e-6)
        assert bool(steps.flat("images", found)) == (share < 0.1)
    assert "images: what the network gives back is nearly flat, 5%" in steps.flat("images", 0.05)


def test_training_takes_it_over_and_says_so(project):
    folder = project.folder
    table = folds.read_folds(folder / "data/folds.csv")
    for name in folds.divide(table, 0)[1]:  # training validates on them
        for path in ("normalized/train", "resized/masks"):
            other = folds.divide(table, 0)[0][0]
            (folder / f"data/{path}/{name}.png").write_bytes(
                (folder / f"data/{path}/{other}.png").read_bytes()
            )
    script(folder, "train")
    facts = json.loads((folder / "models/fold_0/model.json").read_text(encoding="utf-8"))
    found = facts["pretrained"]
    assert (found["steps"], found["transductive"], found["at_random"]) == (["repair", "both"], True, [])
    assert "reconstruct" not in facts["architecture"]
    made = safetensors.torch.load_file(folder / "data/pretrained/fold_0/weights.safetensors")
    ours = safetensors.torch.load_file(folder / "models/fold_0/weights.safetensors")
    assert set(made) - set(ours) == {name for name in made if name.startswith("reconstruction.")}
    assert set(made) - set(ours)
    same = {name for name in ours if torch.equal(ours[name], made[name])}
    assert {name for name in ours if name.startswith("encoder.")} & same == {
        name for name in ours if name.startswith(f"{HELD}.")
    }


@pytest.mark.slow
def test_the_epoch_whose_objects_are_as_compact_as_the_masks_ships(new_project):
    project = prepared(
        new_project, train={"epochs": 4, "lr": 0.01, "watch": "solidity", "checkpoint": "best"}
    )
    script(project.folder, "pretrain")
    for image in (project.folder / "data/normalized/test").iterdir():
        image.unlink()  # which train does not depend on
    script(project.folder, "train")
    facts = json.loads((project.folder / "models/fold_0/model.json").read_text(encoding="utf-8"))
    gaps = pd.read_csv(project.folder / "models/fold_0/history.csv")["solidity_gap"]
    assert (facts["watched"], facts["epoch"]) == (2, gaps.idxmin())
    assert gaps.between(0, 1).all()
    selection = fold_maps.selection([project.folder / "models/fold_0"])
    assert (selection.named, selection.flatters) == ("best, by test images", False)


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_and_ends_with_the_same_bytes(project):
    """Killed in the second step; the first is not done again."""
    folder = project.folder
    target, states = folder / "data/pretrained/fold_0", folder / ".ftu/training"
    expected = {path.name: path.read_bytes() for path in target.iterdir()}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "stages/pretrain.py"), "--fold", "0"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.DEVNULL,
    )
    whole = "fold_0-????????????????.state"
    wait_until(lambda: len(list(states.glob(whole))) == 2 or process.poll() is not None, 120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {path.name: path.read_bytes() for path in target.iterdir()} == expected
    said = script(folder, "pretrain")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == expected
    assert said.count("epoch ") <= 1, said
    assert not list(states.glob("*.state"))


# ------------------------------------------------------------------ what training takes over


def test_a_step_that_diverges_names_its_own_rate(tmp_path):
    for part in ("train", "masks"):
        (tmp_path / part).mkdir()
    png.write_image(tmp_path / "train" / "001.png", np.full((32, 32, 1), 200, np.uint8))
    png.write_mask(tmp_path / "masks" / "001.png", np.zeros((32, 32), np.uint8))
    how: dict = {"cache": False, "mean": [np.nan], "std": [1.0], "as_is": None, "corrupt": "none"}
    drawn = RepairSamples(tmp_path, tmp_path / "masks", ["train/001"], 32, None, 0, **how)
    step = STEP | {"epochs": 1, "batch_size": 1}
    with pytest.raises(InputError, match=r"has diverged; use a lower pretrain\.steps\.1\.lr, or train\.prec"):
        steps.learn(
            unet(), toy.cpu(), drawn, StateFile(tmp_path / "a.state", writes=True), step=step,
            loss={"bce": 1.0, "dice": 0.0, "focal": 0.0, "lovasz": 0.0}, aux_target="exact", workers=0,
            key="pretrain.steps.1",
        )  # fmt: skip


def test_the_papers_frozen_encoder_has_the_papers_count():
    """Up to the last pooling; the bottleneck stays free."""
    for width, held, free in ((16, 293_232, 885_248), (32, 1_171_680, 3_539_968)):
        network = unet(width=width, reconstruct=True)
        frozen.freeze(network, [f"encoder.net.levels.{level}" for level in range(4)])
        counts = {True: 0, False: 0}
        for value in network.encoder.parameters():
            counts[value.requires_grad] += value.numel()
        assert counts == {False: held, True: free}


def saved(folder, network):
    facts = {"steps": ["a"], "images": {"train": 1}, "transductive": False}
    kept.save(folder, network.state_dict(), facts)
    return folder


def unet(**changes):
    return build.build(UNET | {"size": 32, "channels": 1, "outputs": 1} | changes)


def test_heads_of_another_shape_are_drawn_anew_and_all_else_is_taken_over(tmp_path):
    before, network = unet(), unet(outputs=4)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    facts = kept.take_over(network, saved(tmp_path, before))
    assert facts["at_random"] == ["aux_heads", "head"]
    for name, value in network.state_dict().items():
        anew = name.startswith(("head.", "aux_heads."))
        assert torch.equal(value, (own if anew else before.state_dict())[name])


def test_where_the_head_fits_it_is_taken_over_and_the_second_decoder_is_left(tmp_path):
    before, network = unet(reconstruct=True), unet()
    assert kept.take_over(network, saved(tmp_path, before))["at_random"] == []
    assert torch.equal(network.head.weight, before.head.weight)  # pyright: ignore


@pytest.mark.parametrize(("reconstruct", "anew"), [("head", ["aux_heads", "head"]), ("decoder", [])])
def test_red_green_and_blue_are_no_background_and_two_classes(tmp_path, reconstruct, anew):
    """Both have three outputs."""
    before = build.build(steps.described(UNET, reconstruct, size=32, channels=3, classes=2))
    network = build.build(build.described(UNET, size=32, channels=3, classes=2))
    assert kept.take_over(network, saved(tmp_path, before))["at_random"] == anew
    taken = torch.equal(network.head.weight, before.head.weight)  # pyright: ignore
    assert taken == (reconstruct == "decoder")


@pytest.mark.parametrize("changes", [{"width": 4}, {"decoder": "unet2d"}, {"channels": 3}])
def test_weights_of_another_network_are_refused(tmp_path, changes):
    with pytest.raises(InputError, match=r"weights\.safetensors: are of another network than train\.model: "):
        kept.take_over(unet(**changes), saved(tmp_path, unet()))


def test_damaged_weights_are_refused(tmp_path):
    saved(tmp_path, unet())
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"are not those that pretrain\.json names; run `dvc repro`"):
        kept.take_over(unet(), tmp_path)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("reconstruct", "changes", "words"),
    [
        ("head", {"corrupt": "cutuot"}, "pretrain.steps.0.corrupt: Input should be 'none', 'cutout'"),
        ("head", {"terms": {"reconstrct": 1.0}}, "pretrain.steps.0.terms.reconstrct"),
        (
            "head",
            {"terms": {"main": 1.0}, "use": ["test"], "corrupt": "none"},
            "is of masks, and use: ['test']",
        ),
        ("head", {"terms": {"main": 1.0}, "corrupt": "none"}, "terms.main needs the head that"),
        ("head", {"terms": {"reconstruct": 0.0}}, "every weight is 0"),
        ("decoder", {"terms": {"main": 1.0}}, "without terms.reconstruct: nothing would be repaired"),
        ("head", {"use": []}, "pretrain.steps.0.use"),
        (
            "head",
            {"use": ["test"], "match": 0.5},
            "match 0.5 is of training images, and use: ['test']",
        ),
        ("head", {"crops": 2}, "crops 2 draws windows of an image, and resize.mode fixed"),
        (
            "head",
            {"scheduler": STEP["scheduler"] | {"min_lr": 1.0}},
            "scheduler.min_lr 1 lies above lr 0.001",
        ),
        ("decoder", {}, "pretrain.reconstruct decoder: family encoder_decoder has no decoder for images"),
    ],
)
def test_a_step_that_cannot_work_is_refused_before_any_work(new_project, reconstruct, changes, words):
    train = {} if words.startswith("pretrain.reconstruct") else {"model": UNET, "weights": "none"}
    project = new_project(train=train, pretrain={"reconstruct": reconstruct, "steps": [STEP | changes]})
    done = project.run("decode")
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("use", "batch_size", "crops", "test", "words"),
    [
        (["train", "test"], 2, 1, [], r"steps\.1\.use: \['train', 'test'\] names the test images, and there"),
        (["train"], 5, 2, ["NA"], r"steps\.1\.batch_size: a step of 5 images is larger than the 4 that"),
        (["test"], 1, 1, [], "names the test images"),
        (["train"], 4, 2, [], ""),
        (["train", "test"], 3, 1, ["NA"], ""),
    ],
)
def test_a_step_finds_the_images_that_it_names(use, batch_size, crops, test, words):
    names = steps.shown(use, ["001", "1e5"], test)
    check = partial(steps.check_images, "pretrain.steps.1", use, batch_size, crops, names, test)
    if not words:
        return check()
    with pytest.raises(InputError, match=words):
        check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({}, "pretrain.steps.1.batch_size: a step of 40 images is larger than the 5 that"),
        ({"watch": "solidity", "checkpoint": "best"}, "train.watch solidity looks at the test images"),
    ],
)
def test_what_a_later_step_or_training_lacks_is_told_before_the_first_step(new_project, train, words):
    later = STEP | {"name": "later", "batch_size": 4 if train else 40}
    first = STEP | {"use": ["train"]}
    project = new_project(train=FAST | train, pretrain={"steps": [first, later | {"use": ["train"]}]})
    data = project.folder / "data"
    data.mkdir()
    names = [f"{number:03}" for number in range(6)]
    rows = [f"{name},train,lung,HPA,40,50,0.4" for name in names]
    head = "id,set,organ,data_source,img_height,img_width,pixel_size"
    (data / "images.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    dealt = [f"{name},lung,{int(name != '000')}" for name in names]
    (data / "folds.csv").write_text("\n".join(["id,organ,fold", *dealt, ""]), encoding="utf-8")
    said = script(project.folder, "pretrain", status=2)  # which finds no image to begin with
    assert words in said


def test_two_steps_have_two_names(new_project):
    done = new_project(pretrain={"steps": [STEP, STEP]}).run("decode")
    assert "steps: repair stands there twice" in done.stderr


def test_a_part_to_freeze_that_is_not_there_is_refused_before_images_are_read(new_project):
    step = STEP | {"freeze": ["encoder.net.level.0"]}
    project = new_project(train=FAST, pretrain={"steps": [step]})  # without data
    said = script(project.folder, "pretrain", status=2)
    assert "pretrain.steps.0.freeze: 'encoder.net.level.0' is no part of this network" in said
    assert "encoder.net.levels.0" in said
