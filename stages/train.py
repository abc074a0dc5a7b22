"""Train the network on all folds but one."""

from functools import partial
from typing import Any

import pandas as pd

from ftu import folds, paths, schedules, tables
from ftu.params import Params, load_params
from ftu.stage import fold_argument, run, warn
from ftu.whole import whole_folder


def main() -> None:
    fold, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    train(fold, params)


def train(fold: int, params: Params) -> None:
    import torch

    from ftu import artifact, jsonfile, runtime, training
    from ftu.augment import strict_augmentation
    from ftu.checkpoints import Checkpoints
    from ftu.dataset import Samples, batches
    from ftu.segmenter import build_segmenter
    from ftu.weights import load_encoder_weights, non_commercial

    settings, size = params.train, params.resize.size
    device = runtime.choose_device(settings.device)
    runtime.fix_randomness(settings.seed, settings.threads)
    architecture: dict[str, Any] = {**settings.model.model_dump(), "size": size}
    model = build_segmenter(**architecture)
    source = load_encoder_weights(model.encoder, settings.model.encoder, settings.weights)
    warn(non_commercial(source))

    learnt, held_out = folds.divide(tables.read_folds(paths.FOLDS), fold)
    augment = strict_augmentation(size, **params.augment.model_dump())
    part = partial(Samples, image_folder=paths.NORMALIZED / "train", mask_folder=paths.RESIZED / "masks")
    train_samples = part(learnt, augment=augment, seed=settings.seed)
    valid_samples = part(held_out, augment=None, seed=settings.seed)

    model.to(device).to(memory_format=torch.channels_last)
    optimizer, scheduler = training.build_optimizer(
        model, lr=settings.lr, weight_decay=settings.weight_decay, plateau=settings.plateau.model_dump()
    )
    rows, checkpoints = [], Checkpoints(settings.switch_epoch)
    for row in training.fit(
        model,
        batches(train_samples, batch_size=settings.batch_size, shuffle=True, workers=settings.workers),
        batches(valid_samples, batch_size=settings.valid_batch_size, shuffle=False, workers=settings.workers),
        epochs=settings.epochs,
        weights_at=partial(
            schedules.SCHEDULES[settings.aux_loss],
            blocks=settings.aux_blocks,
            weight=settings.aux_weight,
            switch_epoch=settings.switch_epoch,
        ),
        optimizer=optimizer,
        scheduler=scheduler,
        device=device,
        precision=settings.precision,
    ):
        rows.append(row)
        checkpoints.offer(model, int(row["epoch"]), row["valid_dice"])

    with whole_folder(paths.model(fold)) as folder:
        facts = {
            "fold": fold,
            "seed": settings.seed,
            "encoder_weights": source,
            "checkpoint": settings.checkpoint,
        }
        artifact.save(folder, model, checkpoints.kept[settings.checkpoint].state, architecture, facts)
        jsonfile.write(folder / "metrics.json", checkpoints.scores())
        pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)


if __name__ == "__main__":
    run(main)
