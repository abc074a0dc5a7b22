"""The training loop, on one screen. Shapes: B batch, S image size (px)."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader
from tqdm import tqdm

from ftu.dataset import EpochSampler
from ftu.errors import InputError
from ftu.losses import loss_terms, total_loss
from ftu.schedules import AUX_TERMS, active_block

Row = dict[str, float | int]
Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, plateau: Mapping[str, float]
) -> tuple[Optimizer, ReduceLROnPlateau]:
    """AdamW, and the scheduler that lowers its rate when the validation loss stops falling (section 5)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay)
    return optimizer, ReduceLROnPlateau(optimizer, **plateau)  # pyright: ignore[reportArgumentType]


def fit(
    model: nn.Module,
    train_batches: DataLoader,
    valid_batches: DataLoader,
    *,
    epochs: int,
    weights_at: Callable[[int], dict[str, float]],
    optimizer: Optimizer,
    scheduler: ReduceLROnPlateau,
    device: torch.device,
    precision: Precision,
) -> Iterator[Row]:
    """Train, and yield a row of history after each epoch, when `model` holds that epoch's weights.

    `weights_at` is the loss schedule. The scheduler watches the main validation loss alone, so that schedules
    stay comparable; weights, moments and learning rate are kept across a switch.
    """
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    for epoch in tqdm(range(epochs), desc="epochs", disable=None):
        weights = weights_at(epoch)
        row: Row = {
            "epoch": epoch,
            "lr": optimizer.param_groups[0]["lr"],
            "active_block": active_block(weights),
        }
        row |= train_epoch(model, train_batches, epoch, weights, optimizer, scaler, device, precision)
        row |= validate(model, valid_batches, device, precision)
        refuse_divergence(row)
        scheduler.step(row["valid_main"])
        yield row


def refuse_divergence(row: Row) -> None:
    """Raise InputError when the loss is no longer a number: such weights would still get a score."""
    if not math.isfinite(row["valid_main"]):
        raise InputError(
            f"epoch {row['epoch']}: valid_main is {row['valid_main']} at learning rate {row['lr']:g}: the "
            "training has diverged; use a lower train.lr, or train.precision fp32 or bf16 in place of fp16"
        )


def train_epoch(
    model: nn.Module,
    batches: DataLoader,
    epoch: int,
    weights: dict[str, float],
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler,
    device: torch.device,
    precision: Precision,
) -> Row:
    """One pass over the training images; the mean of each loss term, nan for a term without a weight."""
    assert isinstance(batches.sampler, EpochSampler)
    batches.sampler.epoch = epoch
    sums: dict[str, float] = {}
    model.train()
    for images, masks in batches:
        with _autocast(device, precision):
            output = model(images.to(device))
        terms = loss_terms(output, masks.to(device), weights)
        total = total_loss(terms, weights)
        optimizer.zero_grad()
        scaler.scale(total).backward()
        scaler.step(optimizer)
        scaler.update()
        for name, value in ({"total": total} | terms).items():
            sums[name] = sums.get(name, 0.0) + value.item()
    return {
        f"train_{name}": sums.get(name, math.nan) / len(batches) for name in ("total", "main", *AUX_TERMS)
    }


@torch.no_grad()
def validate(model: nn.Module, batches: DataLoader, device: torch.device, precision: Precision) -> Row:
    """The main validation loss and the mean Dice at threshold 0.5, both per image at network size."""
    loss, dice, count = 0.0, 0.0, 0
    model.eval()
    for images, masks in batches:
        masks = masks.to(device)
        with _autocast(device, precision):
            output = model(images.to(device))
        loss += loss_terms(output, masks, {"main": 1.0})["main"].item() * len(images)
        dice += _dice(output.logits > 0, masks > 0.5).sum().item()
        count += len(images)
    return {"valid_main": loss / count, "valid_dice": dice / count}


def _dice(prediction: Tensor, truth: Tensor) -> Tensor:
    """Dice per image of two (B, 1, S, S) bool masks; two empty masks give 1."""
    overlap = (prediction & truth).sum(dim=(1, 2, 3)).double()
    total = (prediction.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))).double()
    return torch.where(total == 0, 1.0, 2 * overlap / total.clamp(min=1))


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")
