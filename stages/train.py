"""Train the network on all folds but one; a run that was stopped goes on after its last whole epoch."""

from ftu.files import folds
from ftu.pipeline import launch, paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import fold_argument, run, warn
from ftu.training.losses import schedules

LOADING = {"batch_size", "accumulate", "valid_batch_size", "workers"}
SAMPLING = {"seed", "cache", "balance", "organ_weights", "crops"}
DEALING = {"batch_size", "accumulate", "processes"}
RUNNING = {
    "seed", "epochs", "lr", "weight_decay", "decay_norms", "lr_decoder", "scheduler", "clip", "ema",
    "compile", "recompute", "aux_target", "switch_epoch", "restart_at_switch", "checkpoint", "optimizer",
    "freeze", "watch",
}  # fmt: skip


def main() -> str:
    held_out, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    launch.launch(params.train.processes)
    return train(held_out, params)


def train(number: int, params: Params) -> str:
    from ftu.networks.common import build, devices
    from ftu.training import fold, frozen, resume
    from ftu.training.accelerator import accelerate, explain_out_of_memory, usable_precision
    from ftu.training.pretraining import kept, watched
    from ftu.training.rounds import Rounds
    from ftu.training.run import Run
    from ftu.training.samples import batches

    settings, side = params.train, params.resize.side
    channels, classes = params.data.channels, params.data.classes
    device = devices.choose_device(settings.device, launch.local(settings.processes))
    precision = usable_precision(device, settings.precision)
    accelerator = accelerate(device, precision, settings.accumulate)
    size = {"size": side, "channels": channels, "classes": len(classes)}
    architecture = build.described(settings.model.model_dump(), **size)
    rounds = Rounds(architecture, **settings.model_dump(include=DEALING))
    rounds.check()  # draws random numbers
    rounds.try_step()
    devices.fix_randomness(settings.seed, settings.threads, settings.device)
    first = {"encoder": settings.model.encoder, "weights": settings.weights}
    model, source = fold.network(
        architecture, **first, aux_source=settings.aux_source, parts=settings.weights_parts
    )
    before = kept.take_over(model, paths.pretrained(number)) if params.pretrain.steps else {}
    frozen.freeze(model, settings.freeze)
    frozen.check_learning(model, frozen.OF_MASKS)
    if accelerator.is_main_process:
        tell(source, settings.precision, precision)

    table, images = folds.read_folds(paths.FOLDS), paths.NORMALIZED / "train"
    learnt, held_out = folds.divide(table, number)
    seen = [images / f"{name}.png" for name in learnt]
    mean, std = fold.statistics(settings.standardize, **first, channels=channels, images=seen)
    matched = [paths.LEVELS] if params.augment.match else []
    match = bool(matched) or any(step.match for step in params.pretrain.steps)
    test_images = fold.test_images_matched(paths.LEVELS, match)
    augment = params.augment.model_dump() | {"levels": fold.levels(matched)}
    samples = fold.samples(
        images,
        paths.RESIZED / "masks",
        learnt,
        held_out,
        organs=dict(zip(table["id"], table["organ"], strict=True)),
        **params.resize.model_dump(include={"side", "mode"}),
        augment=augment,
        **settings.model_dump(include=SAMPLING),
        mean=mean,
        std=std,
        channels=channels,
    )
    loaders = batches(*samples, accelerator, **settings.model_dump(include=LOADING))
    how = {"batch_size": settings.valid_batch_size, "workers": settings.workers, "classes": len(classes)}
    folder = paths.pretrained(number) if settings.watch == "solidity" else None
    beside = watched.Watched(folder, samples[0], accelerator, **how) if folder else None
    files = [
        paths.FOLDS,
        *matched,
        *samples[0].files(),
        *samples[1].files(),
        *(beside.files if beside else []),
    ]
    values = params.model_dump(include={"augment", "resize", "train"}) | {"architecture": architecture}
    key = resume.run_key(files, fold=number, params=values, weights=source, pretrained=before)
    blocks, switch = settings.aux_blocks, settings.switch_epoch
    main = settings.loss.model_dump()
    numbers = (settings.aux_weight, switch, main, settings.contrast_weight)
    schedule = schedules.choose(settings.aux_loss, blocks, *numbers)
    state = resume.StateFile(paths.state(number, key), writes=accelerator.is_main_process)
    with state.held(), explain_out_of_memory(settings.batch_size, side, rounds.smaller):
        steps = samples[0].drawn // settings.batch_size
        running = Run(model, accelerator, side, steps, **settings.model_dump(include=RUNNING))
        running.beside = beside or running.beside
        fold.fit(running, state, loaders, schedule, patience=settings.early_stopping)
        if accelerator.is_main_process:
            warn(fold.phase_one(running) if settings.aux_loss == "switched" else "")
            facts = {"fold": number, "seed": settings.seed, "precision": precision}
            facts |= {"encoder_weights": source, "mean": mean, "std": std}
            facts |= {"classes": classes} if len(classes) > 1 else {}
            facts |= {"pretrained": before} if before else {}
            facts |= {"matched_to": test_images} if test_images else {}
            facts |= {"watch": settings.watch} if settings.watch == "loss" else {}
            facts |= {"watched": len(beside.images.ids)} if beside else {}
            with whole_folder(paths.model(number)) as folder:
                fold.save(folder, running, architecture, facts)
        state.remove()
    dice = running.checkpoints.shipped.dice
    return f"{len(running.rows)} epochs, Dice {dice:.4f}" if accelerator.is_main_process else ""


def tell(source: dict[str, str], asked: str, precision: str) -> None:
    """Warn of what the user may not have meant: the weights' licence, another precision."""
    from ftu.networks.common import first_weights

    warn(first_weights.non_commercial(source))
    warn(
        f"train.precision: this CPU computes no {asked}; trained in {precision}" if asked != precision else ""
    )


if __name__ == "__main__":
    run(main)
