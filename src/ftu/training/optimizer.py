"""The optimiser, and how its learning rate changes: one function for each kind."""

from collections.abc import Callable

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau


def build_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, decay_norms: bool, lr_decoder: float
) -> AdamW:
    """AdamW over all parameters of a Segmenter; those without a gradient stay as they are, decay included.

    Vectors and scalars, which are biases and of norms, decay only with `decay_norms`. What is not the
    encoder's has `lr` times `lr_decoder`. On a GPU in one kernel; on a CPU that would change the last bits,
    and gain little.
    """
    fused = all(parameter.is_cuda for parameter in model.parameters())
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = 1.0 if name.startswith("encoder.") else lr_decoder
        decay = weight_decay if decay_norms or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    listed = [
        {"params": parameters, "lr": lr * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    return AdamW(listed, lr, weight_decay=weight_decay, fused=fused or None)


def plateau(optimizer: Optimizer, steps: int, *, min_lr: float, **how: float) -> LRScheduler:  # noqa: ARG001
    """Times `factor` when the main validation loss has not fallen for over `patience` epochs (section 5)."""
    known = {name: how[name] for name in ("factor", "patience", "threshold")}
    return ReduceLROnPlateau(optimizer, min_lr=min_lr, **known)  # pyright: ignore[reportArgumentType]


def cosine(optimizer: Optimizer, steps: int, *, min_lr: float, **how: float) -> LRScheduler:  # noqa: ARG001
    """From the learning rate down to `min_lr` along half a cosine (Loshchilov and Hutter 2017)."""
    return CosineAnnealingLR(optimizer, steps, eta_min=min_lr)


def onecycle(optimizer: Optimizer, steps: int, *, min_lr: float, warmup: float, **how: float) -> LRScheduler:  # noqa: ARG001
    """Up to the learning rate from a 25th of it in the first `warmup` of the steps, then down to `min_lr`.

    Source: Smith and Topin 2018, https://arxiv.org/abs/1708.07120; momentum is left alone, as AdamW has it.
    """
    highest, rise = [group["lr"] for group in optimizer.param_groups], 25.0
    steps = max(steps, 3)  # torch divides by the lengths of the rise and the fall, each less one
    return OneCycleLR(
        optimizer,
        highest,
        total_steps=steps,
        pct_start=max(warmup, 2 / steps),
        div_factor=rise,
        final_div_factor=highest[0] / rise / min_lr,
        cycle_momentum=False,
    )


SCHEDULERS: dict[str, Callable[..., LRScheduler]] = {
    "plateau": plateau,
    "cosine": cosine,
    "onecycle": onecycle,
}


def build_scheduler(optimizer: Optimizer, steps: int, *, kind: str, **how: float) -> LRScheduler:
    """The scheduler called `kind` for a run of `steps` optimiser steps. `plateau` is stepped by epochs."""
    return SCHEDULERS[kind](optimizer, steps, **how)


def by_epoch(scheduler: LRScheduler) -> bool:
    """Whether the scheduler waits for the validation loss, once an epoch, rather than for each step."""
    return isinstance(scheduler, ReduceLROnPlateau)
