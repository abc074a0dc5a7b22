"""Train the network on all folds but one; a run that was stopped goes on after its last whole epoch."""

from typing import Any

from ftu.files import folds
from ftu.pipeline import launch, paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import fold_argument, run, warn
from ftu.training.losses import schedules

LOADING = {"batch_size", "accumulate", "valid_batch_size", "workers"}
RUNNING = {"seed", "epochs", "lr", "weight_decay", "scheduler", "clip", "ema", "compile", "switch_epoch"}


def main() -> str:
    held_out, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    launch.launch(params.train.processes)
    return train(held_out, params)


def train(number: int, params: Params) -> str:
    from ftu.networks.common import build, devices, first_weights
    from ftu.training import fold, resume
    from ftu.training.accelerator import accelerate, explain_out_of_memory
    from ftu.training.run import Run
    from ftu.training.samples import batches

    settings, side = params.train, params.resize.side
    device = devices.choose_device(settings.device, launch.local(settings.processes))
    accelerator = accelerate(device, settings.precision, settings.accumulate)
    devices.fix_randomness(settings.seed, settings.threads, settings.device)
    architecture: dict[str, Any] = {**settings.model.model_dump(), "size": side}
    model = build.build(architecture)
    source = first_weights.load_encoder_weights(model.encoder, settings.model.encoder, settings.weights)
    model.aux_source = settings.aux_source
    mean, std = first_weights.statistics(settings.model.encoder, settings.weights)
    facts = {"fold": number, "seed": settings.seed, "encoder_weights": source, "mean": mean, "std": std}
    warn(first_weights.non_commercial(source) if accelerator.is_main_process else "")

    samples = fold.samples(
        paths.NORMALIZED / "train",
        paths.RESIZED / "masks",
        *folds.divide(folds.read_folds(paths.FOLDS), number),
        **params.resize.model_dump(include={"side", "mode"}),
        augment=params.augment.model_dump(),
        **settings.model_dump(include={"seed", "cache"}),
        mean=mean,
        std=std,
    )
    loaders = batches(*samples, accelerator, **settings.model_dump(include=LOADING))
    files = [paths.FOLDS, *samples[0].files(), *samples[1].files()]
    values = params.model_dump(include={"augment", "resize", "train"})
    key = resume.run_key(files, fold=number, params=values, weights=source)
    blocks, switch = settings.aux_blocks, settings.switch_epoch
    schedule = schedules.choose(settings.aux_loss, blocks, settings.aux_weight, switch)
    state = resume.StateFile(paths.state(number, key), writes=accelerator.is_main_process)
    with state.held(), explain_out_of_memory(settings.batch_size, side):
        steps = len(samples[0]) // settings.batch_size
        running = Run(model, accelerator, side, steps, **settings.model_dump(include=RUNNING))
        fold.fit(running, state, loaders, schedule, patience=settings.early_stopping)
        if accelerator.is_main_process:
            with whole_folder(paths.model(number)) as folder:
                fold.save(folder, running, settings.checkpoint, architecture, facts)
        state.remove()
    dice = running.checkpoints.kept[settings.checkpoint].dice
    return f"{len(running.rows)} epochs, Dice {dice:.4f}" if accelerator.is_main_process else ""


if __name__ == "__main__":
    run(main)
