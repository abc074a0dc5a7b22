"""One optimiser step of the competition profile at its own size: what a GPU is to repeat for days."""

import numpy as np
import pytest
import torch

from ftu import images, schedules, synthetic, training
from ftu.augment import strict_augmentation
from ftu.dataset import Samples, batches
from ftu.params import load_params
from ftu.segmenter import build_segmenter
from imports import ROOT

pytestmark = pytest.mark.slow

TAPPED = 2  # the block that is supervised before the switch


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "profiles" / "competition.yaml")


@pytest.fixture(scope="module")
def loader(params, tmp_path_factory):
    """One synthetic image, augmented as the profile says. Batch 1: one image takes about 5 GB."""
    folder, size = tmp_path_factory.mktemp("samples"), params.resize.size
    rng = np.random.default_rng(0)
    image, mask = synthetic.draw("kidney", "HPA", height=size, width=size, pixel_size=1000 / size, rng=rng)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    images.write_rgb(folder / "images" / "0.png", image)
    images.write_mask(folder / "masks" / "0.png", mask)
    augment = strict_augmentation(size, **params.augment.model_dump())
    samples = Samples(["0"], folder / "images", folder / "masks", augment, params.train.seed)
    return batches(samples, batch_size=1, shuffle=True, workers=0)


def test_one_step_moves_what_has_a_gradient_and_no_head_that_is_not_tapped(params, loader):
    settings = params.train
    torch.manual_seed(settings.seed)
    model = build_segmenter(**settings.model.model_dump(), size=params.resize.size)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    weights = schedules.switched(
        0, blocks=settings.aux_blocks, weight=settings.aux_weight, switch_epoch=settings.switch_epoch
    )
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    row = training.train_epoch(model, loader, 0, weights, optimizer, scaler, torch.device("cpu"), "fp32")

    assert schedules.active_block(weights) == TAPPED
    assert np.isfinite([row["train_total"], row["train_main"], row[f"train_aux_{TAPPED}"]]).all()
    resting = {f"aux_heads.{head}.{part}" for head in (0, 2, 3) for part in ("weight", "bias")}
    for name, parameter in model.named_parameters():
        if name in resting:
            assert parameter.grad is None, name
            assert torch.equal(parameter, before[name]), name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert not torch.equal(parameter, before[name]), name
