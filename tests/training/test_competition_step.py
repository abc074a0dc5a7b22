"""One optimiser step of the competition profile at its own size: what a GPU is to repeat for days."""

from inspect import signature

import numpy as np
import pytest
import torch

import toy
from ftu.datasets.synthetic import histology
from ftu.files import png
from ftu.networks.common.build import build
from ftu.pipeline.params import load_params
from ftu.training import loop
from ftu.training.augmentation.compose import strict_augmentation
from ftu.training.losses import schedules
from ftu.training.run import Run
from ftu.training.samples import Samples, batches
from imports import ROOT

pytestmark = pytest.mark.slow

RUNNING = {name for name, one in signature(Run).parameters.items() if one.kind is one.KEYWORD_ONLY}
TAPPED = 2  # the block that is supervised before the switch


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "profiles" / "competition.yaml")


@pytest.fixture(scope="module")
def loaders(params, tmp_path_factory):
    """One synthetic image, augmented as the profile says. Batch 1: one image takes about 5 GB."""
    folder, size = tmp_path_factory.mktemp("samples"), params.resize.side
    rng = np.random.default_rng(0)
    image, mask = histology.draw("kidney", "HPA", height=size, width=size, pixel_size=1000 / size, rng=rng)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    png.write_image(folder / "images" / "0.png", image)
    png.write_mask(folder / "masks" / "0.png", mask)
    augment = strict_augmentation(size, windows=False, **params.augment.model_dump())
    part = folder / "images", folder / "masks"
    samples = Samples(*part, ["0"], size, augment, params.train.seed, cache=True)
    sizes = {"batch_size": 1, "accumulate": 1, "valid_batch_size": 1, "workers": 0}
    return batches(samples, samples, toy.cpu(), **sizes)


def test_one_step_moves_what_has_a_gradient_and_no_head_that_is_not_tapped(params, loaders):
    settings = params.train
    torch.manual_seed(settings.seed)
    model = build({**settings.model.model_dump(), "size": params.resize.side})
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    numbers = settings.aux_blocks, settings.aux_weight, settings.switch
    weights = schedules.choose("switched", *numbers, settings.loss.model_dump())(0)
    run = Run(
        model,
        toy.cpu(),
        params.resize.side,
        1,
        **(settings.model_dump(include=RUNNING) | {"switch_epoch": settings.switch}),
    )
    gradients = {}

    def look(*_) -> None:
        gradients.update({name: parameter.grad for name, parameter in model.named_parameters()})

    run.optimizer.optimizer.register_step_pre_hook(look)
    row = loop.train_epoch(run, loaders[0], 0, weights)

    assert schedules.active_block(weights) == TAPPED
    norms = [row[f"gradient_{block}"] for block in range(1, 5)]
    losses = [row["train_total"], row["train_main"], row[f"train_aux_{TAPPED}"]]
    assert np.isfinite(losses + norms).all()
    assert min(norms) > 0
    resting = {f"aux_heads.{head}.{part}" for head in (0, 2, 3) for part in ("weight", "bias")}
    for name, parameter in model.named_parameters():
        if name in resting:
            assert gradients[name] is None, name
            assert torch.equal(parameter, before[name]), name
        else:
            assert gradients[name] is not None, name
            assert gradients[name].isfinite().all(), name
            assert not torch.equal(parameter, before[name]), name
