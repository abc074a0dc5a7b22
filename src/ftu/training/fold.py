"""One fold from its files to a trained model: what the stage train does with the values that it was given."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ftu.files import jsonfile, png
from ftu.networks.common import saved
from ftu.training import loop
from ftu.training.augmentation import strict_augmentation
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
) -> tuple[Samples, Samples]:
    """The images to learn from, augmented, and those that are held out, of the PNGs in two folders.

    `mode` and `side` (px) are those of resize, `augment` is what `augmentation` takes; `mean` and
    `std` are those of the encoder's weights. Raises InputError for an image that is not as they say.
    """
    windows = mode == "microns"  # then images have any size
    if not windows:
        names = [f"{name}.png" for name in (*learnt, *held_out)]
        png.check_squares([folder / name for folder in (images, masks) for name in names], side)
    drawn = strict_augmentation(side, windows=windows, **augment)
    part = partial(Samples, images, masks, cache=cache, mean=mean, std=std)
    return part(learnt, side, drawn, seed), part(held_out, side, None, seed)


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


def save(folder: Path, running: Run, choice: str, architecture: dict, facts: dict) -> None:
    """Write the model of the checkpoint `choice`, its scores and the history of the run."""
    checkpoints = running.checkpoints
    weights = checkpoints.kept[choice].state
    saved.save(folder, running.segmenter, weights, architecture, facts | {"checkpoint": choice})
    jsonfile.write(folder / "metrics.json", checkpoints.scores())
    pd.DataFrame(running.rows).to_csv(folder / "history.csv", index=False)
