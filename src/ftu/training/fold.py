"""One fold from its files to a trained model: what the stage train does with the values that it was given."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftu.files import jsonfile, png
from ftu.networks.common import build, first_weights, saved, standardize
from ftu.networks.common.contract import AuxSource, Segmenter
from ftu.training import loop
from ftu.training.augmentation.compose import strict_augmentation
from ftu.training.resume import StateFile
from ftu.training.run import Run
from ftu.training.samples import Batches, Samples


def samples(
    images: Path,
    masks: Path,
    learnt: Sequence[str],
    held_out: Sequence[str],
    *,
    side: int,
    mode: str,
    augment: Mapping[str, Any],
    seed: int,
    cache: bool,
    mean: Sequence[float],
    std: Sequence[float],
    organs: Mapping[str, str],
    balance: str,
    organ_weights: Mapping[str, float],
    crops: int,
    channels: int,
) -> tuple[Samples, Samples]:
    """The images to learn from, augmented, and those that are held out, of the PNGs in two folders.

    `mode` and `side` (px) are those of resize, `augment` is what `augmentation` takes; `mean` and `std` are
    those of the encoder's weights. `organs` is that of each image; `balance` organ draws each organ as often,
    foreground every second window over a mask; `organ_weights` weight an organ's loss; an epoch has `crops`
    windows of each image, whose `channels` are 3 or 1. Raises InputError for an image that is not as they
    say.
    """
    windows = mode == "microns"  # then images have any size
    if not windows:
        names = [f"{name}.png" for name in (*learnt, *held_out)]
        png.check_squares([folder / name for folder in (images, masks) for name in names], side)
    foreground = balance == "foreground"
    drawn = strict_augmentation(side, windows=windows, foreground=foreground, channels=channels, **augment)
    part = partial(Samples, images, masks, cache=cache, mean=mean, std=std)
    importance = {name: organ_weights.get(organs[name], 1.0) for name in learnt} if organ_weights else None
    shares = even_shares({name: organs[name] for name in learnt}) if balance == "organ" else None
    swapped = augment["stain"] > 0
    drawing = {"importance": importance, "shares": shares, "stains": swapped, "crops": crops}
    return part(learnt, side, drawn, seed, **drawing), part(held_out, side, None, seed)


def levels(files: Sequence[Path]) -> np.ndarray | None:
    """(C, 256): the histogram, of the one file, that images are matched to in training; none without one."""
    for path in files:
        with jsonfile.facts(path, "run `dvc repro`") as facts:
            return np.array(facts["levels"], dtype=float)
    return None


def test_images_matched(file: Path, match: bool) -> int:
    """How many test images the levels are of that training images have: in the histogram of `file`, which
    they got before, or get while they are shown (`match`)."""
    with jsonfile.facts(file, "run `dvc repro`") as facts:
        return facts.get("test", 0) if match or facts.get("matched", False) else 0


def network(
    architecture: dict[str, Any], *, encoder: str, weights: str, aux_source: AuxSource, parts: str = "all"
) -> tuple[Segmenter, dict[str, str]]:
    """The network with `parts` of its encoder's first weights, and where these come from."""
    model = build.build(architecture)
    source = first_weights.load_encoder_weights(model.encoder, encoder, weights, parts)
    model.aux_source = aux_source
    return model, source


def statistics(
    kind: str, *, encoder: str, weights: str, channels: int, images: Sequence[Path]
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, as shares of the full range, to standardise with.

    `kind` is train.standardize: those of the encoder's weights, none (unit), or those of `images` (dataset).
    """
    if kind == "unit":
        return [0.0] * channels, [1.0] * channels
    if kind == "dataset":
        return standardize.of_files(images)
    return first_weights.statistics(encoder, weights, channels)


def even_shares(organs: Mapping[str, str]) -> dict[str, float]:
    """How often to draw each image (name -> organ) so that each organ is drawn as often as the others."""
    counts = Counter(organs.values())
    return {name: 1 / counts[organ] for name, organ in organs.items()}


def fit(
    running: Run,
    state: StateFile,
    batches: Batches,
    schedule: Callable[[int], dict[str, float]],
    *,
    patience: int,
) -> None:
    """Train to the end, from the `state` where there is one; it is written after each epoch."""
    running.resume(state)
    for _ in loop.fit(running, *batches, schedule, patience=patience):
        state.write(running.state_dict())


def phase_one(running: Run) -> str:
    """A warning where the epoch that ships lies before the switch: its network saw the first phase alone."""
    epoch, switch = running.checkpoints.shipped.epoch, running.switch_epoch
    if epoch >= switch:
        return ""
    return (
        f"train.checkpoint {running.checkpoints.ships} ships epoch {epoch}, which lies before "
        f"train.switch_epoch {switch}: train.aux_loss switched never switched in this network; use "
        "train.checkpoint best_after_switch or last"
    )


def save(folder: Path, running: Run, architecture: dict, facts: dict) -> None:
    """Write the model of the epoch that ships, the scores of the others, and the history of the run."""
    checkpoints = running.checkpoints
    chosen = {
        "checkpoint": checkpoints.ships,
        "epoch": checkpoints.shipped.epoch,
        "switch_epoch": running.switch_epoch,
        "stopped_early": len(running.rows) < running.epochs,
    }
    weights = checkpoints.weights(running.shipped)
    saved.save(folder, running.segmenter, weights, architecture, facts | chosen)
    jsonfile.write(folder / "metrics.json", checkpoints.scores())
    pd.DataFrame(running.rows).to_csv(folder / "history.csv", index=False)
