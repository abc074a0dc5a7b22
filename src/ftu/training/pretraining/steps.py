"""The steps before training: each takes over the network of the one before, with an optimiser of its own."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator

from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common import build
from ftu.networks.common.contract import Segmenter
from ftu.training import frozen, loop
from ftu.training.accelerator import explain_out_of_memory
from ftu.training.augmentation.compose import sample_seed, strict_augmentation
from ftu.training.losses.schedules import MAIN_TERMS
from ftu.training.pretraining.samples import LABELLED, RepairSamples
from ftu.training.resume import StateFile
from ftu.training.run import Run
from ftu.training.samples import steps as loader

LOOKED_AT, FLAT = 8, 0.1  # samples; of the contrast, below which it is flat
LEARNING = ("epochs", "lr", "weight_decay", "optimizer", "scheduler", "freeze")

# What a step does not choose: values of Run. Its weights are those of the last epoch.
FIXED = {
    "decay_norms": True, "lr_decoder": 1.0, "clip": 0.0, "ema": 0.0, "compile": False, "recompute": False,
    "restart_at_switch": False, "checkpoint": "last", "watch": "train", "switch_epoch": 0,
}  # fmt: skip


def described(
    model: Mapping[str, Any], reconstruct: str, *, size: int, channels: int, classes: int
) -> dict[str, Any]:
    """What `build` takes for the network that gives images back: with the last layer for them (`head`), or
    with a second decoder (`decoder`)."""
    if reconstruct == "decoder":
        found = build.described(model, size=size, channels=channels, classes=classes)
        return found | {"reconstruct": True}
    found = build.described(model, size=size, channels=channels, classes=1)
    return found | {"channels": channels, "outputs": channels}


def samples(
    normalized: Path,
    masks: Path,
    names: Sequence[str],
    *,
    side: int,
    mode: str,
    augment: Mapping[str, Any],
    seed: int,
    cache: bool,
    mean: Sequence[float],
    std: Sequence[float],
    channels: int,
    crops: int,
    corrupt: str,
    match: float,
) -> RepairSamples:
    """The images of a step, `train/NAME` and `test/NAME` under `normalized`, augmented and corrupted.

    `match` takes the place of `augment`'s, for images of `train`.
    """
    windows = mode == "microns"
    if not windows:
        png.check_squares([normalized / f"{name}.png" for name in names], side)
    own = partial(strict_augmentation, side, windows=windows, channels=channels)
    drawn, as_is = own(**{**augment, "match": match}), own(**{**augment, "match": 0.0})
    how = {"mean": mean, "std": std, "stains": augment["stain"] > 0, "cache": cache, "crops": crops}
    return RepairSamples(normalized, masks, names, side, drawn, seed, as_is=as_is, corrupt=corrupt, **how)


def shown(use: Sequence[str], learnt: Sequence[str], test: Sequence[str]) -> list[str]:
    """The ids of a step's images: of those that the fold learns from, and of the test set."""
    sets = {LABELLED: learnt, "test": test}
    return [f"{part}/{name}" for part, names in sets.items() if part in use for name in names]


def check_images(
    key: str, use: Sequence[str], batch_size: int, crops: int, names: Sequence[str], test: Sequence[str]
) -> None:
    """Raise InputError unless the step at `key` of params.yaml finds what it wants; it shows `names`."""
    if "test" in use and not test:
        raise InputError(
            f"{key}.use: {[*use]} names the test images, and there are none; put some there, or use [train]"
        )
    if len(names) * crops < batch_size:
        raise InputError(
            f"{key}.batch_size: a step of {batch_size} images is larger than the {len(names) * crops} that "
            "it is shown in an epoch; use a smaller one"
        )


def reached(terms: Mapping[str, float], reconstruct: str) -> list[str]:
    """The parts of the network that the loss of these terms reaches; auxiliary heads aside, which teach the
    encoder."""
    found = {"encoder"}
    if terms.get("main") or reconstruct == "head":
        found |= {*frozen.OF_MASKS}
    if terms.get("reconstruct") and reconstruct == "decoder":
        found |= {"reconstruction"}
    return sorted(found)


def weights(terms: Mapping[str, float], loss: Mapping[str, float]) -> dict[str, float]:
    """The weights of the loss terms: `main` is each term of `loss` times its weight; those of 0 are left
    out."""
    main = {name: terms.get("main", 0.0) * loss[name] for name in MAIN_TERMS}
    others = {name: weight for name, weight in terms.items() if name != "main"}
    return {name: weight for name, weight in (main | others).items() if weight}


def learn(
    network: Segmenter,
    accelerator: Accelerator,
    drawn: RepairSamples,
    state: StateFile,
    *,
    step: Mapping[str, Any],
    loss: Mapping[str, float],
    aux_target: str,
    workers: int,
    key: str,
) -> Run:
    """Train `network` to the end of one step, from `state` where there is one; it is written after each
    epoch, and stays there, as the end of this step is where the next begins.

    `key` is where the step stands in params.yaml, for messages.
    """
    size = step["batch_size"]
    shown = loader(drawn, accelerator, batch_size=size, workers=workers, key=f"{key}.batch_size")
    how = {name: step[name] for name in LEARNING}
    run = Run(
        network,
        accelerator,
        drawn.size,
        drawn.drawn // size,
        seed=drawn.seed,
        aux_target=aux_target,
        **how,
        **FIXED,
    )
    run.remedy = f"a lower {key}.lr"
    terms = weights(step["terms"], loss)
    with state.held(), explain_out_of_memory(size, drawn.size, lower=f"{key}.batch_size"):
        run.resume(state)
        for _ in loop.fit(run, shown, None, lambda _: terms, patience=step["patience"]):
            state.write(run.state_dict())
    return run


@torch.no_grad()
def contrast(network: Segmenter, drawn: RepairSamples) -> float:
    """How much of an image's contrast its reconstruction has: the ratio of their standard deviations, over
    the first samples of an epoch, each channel by itself. Near 0 it is one flat grey or colour, from which
    nothing was learnt.

    It happens to a decoder without skips (Gonzalez Marfil 2022, Attention Y-Net, without its first step).
    """
    number = min(len(drawn), LOOKED_AT)
    shown, _, _, clean = zip(*(drawn[0, place] for place in range(number)), strict=True)
    device = next(network.parameters()).device
    output = network.eval()(torch.stack(shown).to(device))
    made = output.logits.sigmoid() if output.reconstruction is None else output.reconstruction
    spread = [images.float().std(dim=(2, 3)).mean().item() for images in (made, torch.stack(clean))]
    return spread[0] / spread[1] if spread[1] else 1.0


def flat(name: str, share: float) -> str:
    """A warning where reconstructions have next to no contrast, '' where they have."""
    if share >= FLAT:
        return ""
    return (
        f"pretrain: {name}: what the network gives back is nearly flat, {share:.0%} of the images' contrast; "
        "begin with a step of masks and images (terms main and reconstruct), or lower lr"
    )


def renewed(architecture: Mapping[str, Any], run: Run) -> Segmenter:
    """A network of its own for the next step, with the weights that this one ends with."""
    network = build.build(architecture)
    network.load_state_dict(run.segmenter.state_dict())
    network.aux_source = run.segmenter.aux_source
    run.accelerator.free_memory()  # nothing waits for gradients of the old one any more
    return network


def facts(steps: Sequence[Mapping[str, Any]], learnt: Sequence[str], test: Sequence[str]) -> dict[str, Any]:
    """What pretrain.json says of the steps, for people and for model.json."""
    used = {part for step in steps for part in step["use"]}
    counts = {part: len(names) for part, names in ((LABELLED, learnt), ("test", test)) if part in used}
    names = [step["name"] for step in steps]
    return {"steps": names, "images": counts, "transductive": "test" in used}


def seed_of(seed: int, number: int) -> int:
    """Each step's own seed: with one for all, a step would show each image as the one before did."""
    return sample_seed(seed, number, 0)


def history(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> pd.DataFrame:
    """A row for each epoch of each step; columns that no step fills are left out."""
    table = pd.DataFrame([{"step": name, **row} for name, found in rows.items() for row in found])
    return table.dropna(axis="columns", how="all")
