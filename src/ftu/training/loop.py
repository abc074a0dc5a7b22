"""The training loop, on one screen. Shapes: B batch, S image size (px)."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ftu.errors import InputError
from ftu.networks.common.contract import Segmenter
from ftu.training import frozen
from ftu.training.gradient_norms import GradientNorms
from ftu.training.losses.schedules import (
    AUX_TERMS,
    CONTRAST,
    LEVEL_TERMS,
    MAIN_TERMS,
    RECONSTRUCT,
    active_block,
    main_terms,
)
from ftu.training.losses.terms import loss_terms, main_loss, total_loss
from ftu.training.optimizer import by_epoch
from ftu.training.run import Row, Run
from ftu.training.samples import EpochBatches


def fit(
    run: Run,
    train_batches: DataLoader,
    valid_batches: DataLoader | None,
    weights_at: Callable[[int], dict[str, float]],
    *,
    patience: int,
) -> Iterator[Row]:
    """Train from where `run` stands, and yield a row of history after each epoch; `run` has it already.

    `weights_at` is the loss schedule. Scheduler, checkpoints and patience watch the main validation loss
    or Dice alone, so that schedules stay comparable; without `valid_batches`, the training loss. Weights are
    kept across a switch; so are moments and learning rate, unless the run restarts them there, whatever the
    schedule. Progress is a line an epoch; on a terminal a bar below it.
    """
    start, quiet = len(run.rows), None if run.accelerator.is_main_process else True
    shown = len(valid_batches.dataset.ids) if valid_batches else 0  # pyright: ignore[reportAttributeAccessIssue]
    begun = time.monotonic()
    for epoch in tqdm(range(start, run.epochs), "epochs", initial=start, total=run.epochs, disable=quiet):
        if out_of_patience([run.score(row) for row in run.rows], patience, run.switch_epoch):
            return
        if run.restart_at_switch and epoch == run.switch_epoch:
            run.restart()
        weights = weights_at(epoch)
        row: Row = {
            "epoch": epoch,
            "lr": run.optimizer.param_groups[0]["lr"],
            "active_block": active_block(weights),
        }
        row |= train_epoch(run, train_batches, epoch, weights)
        run.share_statistics()
        if valid_batches:
            row |= validated(run, valid_batches, weights)
            refuse_divergence(row["valid_main"], row["lr"], f"epoch {epoch}: valid_main", run.remedy)
        row |= run.beside(run.shipped)
        if by_epoch(run.scheduler):
            run.scheduler.step(row["valid_main" if valid_batches else "train_total"])  # pyright: ignore[reportArgumentType]
        run.record(row)
        if not quiet:
            left = (time.monotonic() - begun) / (epoch + 1 - start) * (run.epochs - epoch - 1)
            tqdm.write(epoch_line(run, row, shown, left), file=sys.stderr)  # above the bar
        yield row


def train_epoch(run: Run, batches: DataLoader, epoch: int, weights: dict[str, float]) -> Row:
    """One pass over the training images: the mean of each loss term, nan for a term without a weight, and the
    mean norm of each encoder block's gradient."""
    at_epoch(batches, epoch)
    importance = batches.dataset.importance  # pyright: ignore[reportAttributeAccessIssue]
    sums, norms, accelerator = {}, GradientNorms(run.blocks), run.accelerator
    steps = []
    run.objective.train()
    frozen.hold(run.segmenter, run.frozen)
    for images, masks, indices, *clean in batches:
        with accelerator.accumulate(run.objective):
            masks = masks.to(accelerator.device, non_blocking=True)
            counts = None if importance is None else importance[indices].to(accelerator.device)
            clean = [each.to(accelerator.device, non_blocking=True) for each in clean]
            terms = run.objective(channels_last(images, accelerator), masks, weights, counts, *clean)
            total = total_loss(terms, weights)
            accelerator.backward(total)
            if accelerator.sync_gradients:
                accelerator.unscale_gradients()
                norms.add()
                if run.clip:
                    nn.utils.clip_grad_norm_(run.segmenter.parameters(), run.clip)
            run.optimizer.step()
            run.optimizer.zero_grad()
        if accelerator.sync_gradients:
            run.after_step()
        main = {"main": main_loss(terms, weights)} if main_terms(weights) else {}
        for name, value in ({"total": total} | main | terms).items():
            sums[name] = sums.get(name, 0.0) + value.detach().double()
        steps.append((total.detach(), indices, run.optimizer.param_groups[0]["lr"]))
    losses = torch.stack([loss for loss, _, _ in steps]).tolist()  # once: each look waits for the GPU
    for number, (loss, (_, indices, lr)) in enumerate(zip(losses, steps, strict=True)):
        ids = [batches.dataset.ids[index] for index in indices]  # pyright: ignore[reportAttributeAccessIssue]
        where = f"epoch {epoch}, batch {number} (images {', '.join(ids)}): train_total"
        refuse_divergence(loss, lr, where, run.remedy)
    rarer = [name for name in (RECONSTRUCT, *LEVEL_TERMS, CONTRAST) if name in weights]
    names = ("total", "main", *MAIN_TERMS, *AUX_TERMS, *rarer)
    means = [float(sums.get(name, math.nan)) / len(batches) for name in names]
    means = mean_of_processes(means, accelerator)
    return dict(zip((f"train_{name}" for name in names), means, strict=True)) | norms.means()


def validated(run: Run, batches: DataLoader, weights: Mapping[str, float]) -> Row:
    """What `validate` says of the network and of its average, nan where there is none."""
    row = validate(run.segmenter, batches, run.accelerator, weights, run.aux_target)
    if not run.average:
        return row | {"ema_main": math.nan, "ema_dice": math.nan}
    averaged = validate(run.shipped, batches, run.accelerator, weights, run.aux_target)
    return row | {name.replace("valid", "ema"): value for name, value in averaged.items()}


@torch.no_grad()
def validate(
    model: Segmenter,
    batches: DataLoader,
    accelerator: Accelerator,
    weights: Mapping[str, float],
    target: str = "exact",
) -> Row:
    """The main validation loss (of the main terms in `weights`) per window, and the mean Dice of the
    images at threshold 0.5, at network size; of several classes the mean over them, each pixel of the
    likeliest one.

    An image that takes several windows has one Dice, over all of them.
    """
    model.eval()
    main = main_terms(weights)
    images_in_all = len(batches.dataset.ids)  # pyright: ignore[reportAttributeAccessIssue]
    areas = torch.zeros(
        images_in_all, max(model.outputs - 1, 1), 2, dtype=torch.float64, device=accelerator.device
    )
    losses = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    for images, masks, indices in batches:
        masks = masks.to(accelerator.device)
        with accelerator.autocast():
            output = model(channels_last(images, accelerator))
        terms = loss_terms(output, masks, main, model.encoder.pad, target=target)
        loss = main_loss(terms, main)
        losses += torch.stack([loss.double() * len(images), torch.ones_like(loss).double() * len(images)])
        areas.index_add_(0, indices.to(areas.device), _areas(output.logits, masks))
    losses, areas = sum_of_processes(losses, accelerator), sum_of_processes(areas, accelerator)
    dice = torch.where(areas[..., 1] == 0, 1.0, 2 * areas[..., 0] / areas[..., 1].clamp(min=1))
    return {"valid_main": (losses[0] / losses[1]).item(), "valid_dice": dice.mean().item()}


def epoch_line(run: Run, row: Row, images: int, left: float) -> str:
    """What an epoch brought; epochs count from 1 here. `images` are held out, `left` are the seconds to come
    if no epoch is saved."""
    line = f"epoch {row['epoch'] + 1}/{run.epochs} | loss {row['train_total']:.4f}"
    if run.shown_dice in row:
        line += f" | mean Dice of {images} held-out image{'s' * (images != 1)} {row[run.shown_dice]:.4f}"
    return line + (f" | {duration(left)} left" if row["epoch"] + 1 < run.epochs else "")


def duration(seconds: float) -> str:
    """In words, as exact as an estimate is: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def out_of_patience(scores: Sequence[float], patience: int, switch_epoch: int) -> bool:
    """Whether the last `patience` epochs, all from the switch on, brought no better score; 0: never."""
    if not patience or len(scores) < switch_epoch + patience:
        return False
    return max(scores[-patience:]) <= max(scores[:-patience], default=-math.inf)


def refuse_divergence(loss: float, lr: float, where: str, remedy: str) -> None:
    """Raise InputError when a loss is no longer a number: such weights would still get a score."""
    if not math.isfinite(loss):
        raise InputError(
            f"{where} is {loss} at learning rate {lr:g}: the training has diverged; use {remedy}, or "
            "train.precision fp32 or bf16 in place of fp16"
        )


def at_epoch(batches: DataLoader, epoch: int) -> None:
    """Let the loader's next pass be that of `epoch`."""
    assert isinstance(batches.batch_sampler, EpochBatches)
    batches.batch_sampler.epoch = epoch


def channels_last(images: Tensor, accelerator: Accelerator) -> Tensor:
    """The images on the device, in the layout that convolutions are fastest with."""
    return images.to(accelerator.device, non_blocking=True, memory_format=torch.channels_last)


def mean_of_processes(values: Sequence[float], accelerator: Accelerator) -> list[float]:
    """The mean of each value over the processes of the run."""
    tensor = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return accelerator.reduce(tensor, "mean").tolist()  # pyright: ignore[reportAttributeAccessIssue]


def sum_of_processes(values: Tensor, accelerator: Accelerator) -> Tensor:
    """The sum of each value over the processes of the run."""
    return accelerator.reduce(values, "sum")  # pyright: ignore[reportReturnType]


def _areas(logits: Tensor, masks: Tensor) -> Tensor:
    """(B, C, 2) float64: of each class what (B, K, S, S) logits and (B, 1, S, S) masks share, and both their
    areas together."""
    if logits.shape[1] == 1:
        prediction, truth = logits > 0, masks > 0.5
    else:
        classes = torch.arange(1, logits.shape[1], device=logits.device)[:, None, None]
        prediction, truth = logits.argmax(1, keepdim=True) == classes, masks == classes
    shared = (prediction & truth).sum(dim=(2, 3))
    both = prediction.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return torch.stack([shared, both], dim=-1).double()
