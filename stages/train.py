"""Train the network on all folds but one; a run that was stopped goes on after its last whole epoch."""

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ftu import schedules
from ftu.files import folds, jsonfile, png
from ftu.pipeline import launch, paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import fold_argument, run, warn

if TYPE_CHECKING:
    from ftu.run import Run

LOADING = {"batch_size", "accumulate", "valid_batch_size", "workers"}
RUNNING = {"seed", "epochs", "lr", "weight_decay", "scheduler", "clip", "ema", "compile", "switch_epoch"}


def main() -> str:
    fold, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    launch.launch(params.train.processes)
    return train(fold, params)


def train(fold: int, params: Params) -> str:
    from ftu import dataset, resume, runtime, training
    from ftu.augment import strict_augmentation
    from ftu.run import Run, accelerate
    from ftu.segmenter import build_segmenter
    from ftu.weights import load_encoder_weights, non_commercial

    settings, size = params.train, params.resize.side
    device = runtime.choose_device(settings.device, launch.local(settings.processes))
    accelerator = accelerate(device, settings.precision, settings.accumulate)
    runtime.fix_randomness(settings.seed, settings.threads, settings.device)
    architecture: dict[str, Any] = {**settings.model.model_dump(exclude={"family"}), "size": size}
    model = build_segmenter(**architecture)
    source = load_encoder_weights(model.encoder, settings.model.encoder, settings.weights)
    warn(non_commercial(source) if accelerator.is_main_process else "")

    learnt, held_out = folds.divide(folds.read_folds(paths.FOLDS), fold)
    windows = params.resize.mode == "microns"  # then images have any size
    augment = strict_augmentation(size, windows=windows, **params.augment.model_dump())
    folders = paths.NORMALIZED / "train", paths.RESIZED / "masks"
    if not windows:
        names = [f"{name}.png" for name in (*learnt, *held_out)]
        png.check_squares([folder / name for folder in folders for name in names], size)
    part = partial(dataset.Samples, *folders, cache=settings.cache)
    samples = part(learnt, size, augment, settings.seed), part(held_out, size, None, settings.seed)
    batches = dataset.batches(*samples, accelerator, **settings.model_dump(include=LOADING))
    key = resume.run_key(
        [paths.FOLDS, *samples[0].files(), *samples[1].files()],
        fold=fold,
        params=params.model_dump(include={"augment", "resize", "train"}),
        weights=source,
    )
    weights_at = schedules.choose(
        settings.aux_loss, settings.aux_blocks, settings.aux_weight, settings.switch_epoch
    )

    state = resume.StateFile(paths.state(fold, key), writes=accelerator.is_main_process)
    with state.held(), runtime.explain_out_of_memory(settings.batch_size, size):
        running = Run(
            model,
            accelerator,
            size,
            len(samples[0]) // settings.batch_size,
            **settings.model_dump(include=RUNNING),
        )
        running.resume(state)
        for _ in training.fit(running, *batches, weights_at, patience=settings.early_stopping):
            state.write(running.state_dict())
        if accelerator.is_main_process:
            facts = {"fold": fold, "seed": settings.seed, "encoder_weights": source}
            save(running, settings.checkpoint, architecture, facts)
        state.remove()
    dice = running.checkpoints.kept[settings.checkpoint].dice
    return f"{len(running.rows)} epochs, Dice {dice:.4f}" if accelerator.is_main_process else ""


def save(running: "Run", choice: str, architecture: dict, facts: dict) -> None:
    from ftu import artifact

    checkpoints = running.checkpoints
    with whole_folder(paths.model(facts["fold"])) as folder:
        weights = checkpoints.kept[choice].state
        artifact.save(folder, running.segmenter, weights, architecture, facts | {"checkpoint": choice})
        jsonfile.write(folder / "metrics.json", checkpoints.scores())
        pd.DataFrame(running.rows).to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    run(main)
