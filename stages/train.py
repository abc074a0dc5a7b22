"""Train the network on all folds but one; a run that was stopped goes on after its last whole epoch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftu.files import folds
from ftu.pipeline import launch, paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import fold_argument, run, warn
from ftu.training.losses import schedules

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftu.networks.common.contract import Segmenter
    from ftu.training.pretraining.watched import Watched
    from ftu.training.samples import Samples

Facts = dict[str, Any]  # of model.json
LOADING = {"batch_size", "accumulate", "valid_batch_size", "workers"}
SAMPLING = {"seed", "cache", "balance", "organ_weights", "crops"}
DEALING = {"batch_size", "accumulate", "processes"}
RUNNING = {
    "seed", "epochs", "lr", "weight_decay", "decay_norms", "lr_decoder", "scheduler", "clip", "ema",
    "compile", "recompute", "aux_target", "restart_at_switch", "checkpoint", "optimizer",
    "freeze", "watch",
}  # fmt: skip


def main() -> str:
    held_out, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    launch.launch(params.train.processes)
    return train(held_out, params)


def train(number: int, params: Params) -> str:
    from ftu.networks.common import build, devices
    from ftu.training import fold, resume
    from ftu.training.accelerator import accelerate, explain_out_of_memory
    from ftu.training.rounds import Rounds
    from ftu.training.run import Run
    from ftu.training.samples import batches

    settings, classes = params.train, params.data.classes
    device = devices.choose_device(settings.device, launch.local(settings.processes))
    precision = devices.usable_precision(device, settings.precision, "train.precision")
    accelerator = accelerate(device, precision, settings.accumulate)
    size = {"size": params.resize.side, "channels": params.data.channels, "classes": len(classes)}
    architecture = build.described(settings.model.model_dump(), **size)
    rounds = Rounds(architecture, **settings.model_dump(include=DEALING))
    rounds.check()  # draws random numbers
    rounds.try_step()
    devices.fix_randomness(settings.seed, settings.threads, settings.device)
    model, source, before = begin(number, params, architecture)
    told = learnt_from(params, before)
    if accelerator.is_main_process:
        tell(source, settings.precision, precision)

    samples, files = read(number, params)
    loaders = batches(*samples, accelerator, **settings.model_dump(include=LOADING))
    beside = looking(number, params, samples[0], accelerator) if settings.watch == "solidity" else None
    files += beside.files if beside else []
    values = params.model_dump(include={"augment", "resize", "train"}) | {"architecture": architecture}
    key = resume.run_key(files, fold=number, params=values, weights=source, pretrained=before)
    numbers = (settings.aux_weight, settings.switch, settings.loss.model_dump())
    schedule = schedules.choose(settings.aux_loss, settings.aux_blocks, *numbers, settings.contrast_weight)
    state = resume.StateFile(paths.state(number, key), writes=accelerator.is_main_process)
    with state.held(), explain_out_of_memory(settings.batch_size, params.resize.side, rounds.smaller):
        steps = samples[0].drawn // settings.batch_size
        how, switch = settings.model_dump(include=RUNNING), settings.switch
        running = Run(model, accelerator, params.resize.side, steps, switch_epoch=switch, **how)
        running.beside = beside or running.beside
        fold.fit(running, state, loaders, schedule, patience=settings.early_stopping)
        if accelerator.is_main_process:
            warn(fold.phase_one(running) if settings.aux_loss == "switched" else "")
            facts = {"fold": number, "seed": settings.seed, "precision": precision}
            facts |= {"encoder_weights": source, "mean": samples[0].mean, "std": samples[0].std}
            facts |= told | ({"watched": len(beside.images.ids)} if beside else {})
            with whole_folder(paths.model(number)) as folder:
                fold.save(folder, running, architecture, facts)
        state.remove()
    dice = running.checkpoints.shipped.dice
    return f"{len(running.rows)} epochs, Dice {dice:.4f}" if accelerator.is_main_process else ""


def begin(number: int, params: Params, architecture: dict[str, Any]) -> tuple[Segmenter, Facts, Facts]:
    """The network with its first weights, where these come from, and what it learnt before, {} if nothing."""
    from ftu.training import fold, frozen
    from ftu.training.pretraining import kept

    settings = params.train
    first = {"encoder": settings.model.encoder, "weights": settings.weights}
    model, source = fold.network(
        architecture, **first, aux_source=settings.aux_source, parts=settings.weights_parts
    )
    before = kept.take_over(model, paths.pretrained(number)) if params.pretrain.steps else {}
    frozen.freeze(model, settings.freeze)
    frozen.check_learning(model, frozen.OF_MASKS)
    return model, source, before


def read(number: int, params: Params) -> tuple[tuple[Samples, Samples], list[Path]]:
    """The samples to learn from and those held out, and every file that they are made of."""
    from ftu.training import fold

    settings, channels = params.train, params.data.channels
    table, images = folds.read_folds(paths.FOLDS), paths.NORMALIZED / "train"
    learnt, held_out = folds.divide(table, number)
    mean, std = fold.statistics(
        settings.standardize,
        encoder=settings.model.encoder,
        weights=settings.weights,
        channels=channels,
        images=[images / f"{name}.png" for name in learnt],
    )
    matched = [paths.LEVELS] if params.augment.match else []
    samples = fold.samples(
        images,
        paths.RESIZED / "masks",
        learnt,
        held_out,
        organs=dict(zip(table["id"], table["organ"], strict=True)),
        **params.resize.model_dump(include={"side", "mode"}),
        augment=params.augment.model_dump() | {"levels": fold.levels(matched)},
        **settings.model_dump(include=SAMPLING),
        mean=mean,
        std=std,
        channels=channels,
    )
    return samples, [paths.FOLDS, *matched, *samples[0].files(), *samples[1].files()]


def looking(number: int, params: Params, learnt: Samples, accelerator: Accelerator) -> Watched:
    """What looks at the test images after each epoch: train.watch solidity."""
    from ftu.training.pretraining.watched import Watched

    settings, classes = params.train, len(params.data.classes)
    how = {"batch_size": settings.valid_batch_size, "workers": settings.workers, "classes": classes}
    return Watched(paths.pretrained(number), learnt, accelerator, **how)


def learnt_from(params: Params, before: Facts) -> Facts:
    """What model.json says beside what it always says: of classes, of other steps, of test images."""
    from ftu.training import fold

    settings, classes = params.train, params.data.classes
    match = bool(params.augment.match) or any(step.match for step in params.pretrain.steps)
    test_images = fold.test_images_matched(paths.LEVELS, match)
    facts = {"classes": classes} if len(classes) > 1 else {}
    facts |= {"pretrained": before} if before else {}
    facts |= {"matched_to": test_images} if test_images else {}
    return facts | ({"watch": settings.watch} if settings.watch == "loss" else {})


def tell(source: dict[str, str], asked: str, precision: str) -> None:
    """Warn of what the user may not have meant: the weights' licence, another precision."""
    from ftu.networks.common import first_weights

    warn(first_weights.non_commercial(source))
    warn(
        f"train.precision: this CPU computes no {asked}; trained in {precision}" if asked != precision else ""
    )


if __name__ == "__main__":
    run(main)
