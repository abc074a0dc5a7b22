"""The optimiser, and how its learning rate changes: one function for each kind."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau


class FixedDecay(AdamW):
    """Adam whose weights lose `weight_decay` of themselves in each step, whatever the learning rate is.

    So TensorFlow Addons' AdamW does it, with which the second paper was made; torch's takes the learning rate
    times `weight_decay`. Over a run whose rate falls the two have no setting in common. Source:
    https://www.tensorflow.org/addons/api_docs/python/tfa/optimizers/AdamW.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # pyright: ignore
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["fixed_decay"])
        return super().step(closure)  # pyright: ignore


def adamw(groups: list[dict], lr: float, momentum: float) -> Optimizer:  # noqa: ARG001
    """On a GPU in one kernel; on a CPU that would change the last bits, and gain little."""
    fused = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return AdamW(groups, lr, fused=fused or None)


def adamw_fixed(groups: list[dict], lr: float, momentum: float) -> Optimizer:  # noqa: ARG001
    held = [group | {"weight_decay": 0.0, "fixed_decay": group["weight_decay"]} for group in groups]
    return FixedDecay(held, lr)


def adam(groups: list[dict], lr: float, momentum: float) -> Optimizer:  # noqa: ARG001
    """The decay is part of the gradient, as torch has it."""
    return Adam(groups, lr)


def sgd(groups: list[dict], lr: float, momentum: float) -> Optimizer:
    return SGD(groups, lr, momentum=momentum)


OPTIMIZERS: dict[str, Callable[[list[dict], float, float], Optimizer]] = {
    "adamw": adamw,
    "adamw_fixed": adamw_fixed,
    "adam": adam,
    "sgd": sgd,
}


def build_optimizer(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    decay_norms: bool,
    lr_decoder: float,
    kind: str = "adamw",
    momentum: float = 0.9,
) -> Optimizer:
    """The optimiser `kind` of all parameters of a Segmenter; those without a gradient stay as they are, decay
    included.

    Vectors and scalars, which are biases and of norms, decay only with `decay_norms`. What is not the
    encoder's has `lr` times `lr_decoder`. `momentum` is that of sgd.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = 1.0 if name.startswith("encoder.") else lr_decoder
        decay = weight_decay if decay_norms or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    listed = [
        {"params": parameters, "lr": lr * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    return OPTIMIZERS[kind](listed, lr, momentum)


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


def poly(optimizer: Optimizer, steps: int, *, min_lr: float, **how: float) -> LRScheduler:  # noqa: ARG001
    """From the learning rate down to `min_lr`, nearly straight: by (1 - the share of the steps)^0.9.

    Source: Chen et al. 2018 (DeepLab), https://arxiv.org/abs/1606.00915; the power is nnU-Net's, too.
    """

    def factor(lr: float) -> Callable[[int], float]:
        end = min_lr / lr
        return lambda step: end + (1 - end) * (1 - min(step / steps, 1)) ** 0.9

    return LambdaLR(optimizer, [factor(group["lr"]) for group in optimizer.param_groups])


SCHEDULERS: dict[str, Callable[..., LRScheduler]] = {
    "plateau": plateau,
    "cosine": cosine,
    "onecycle": onecycle,
    "poly": poly,
}


def build_scheduler(optimizer: Optimizer, steps: int, *, kind: str, **how: float) -> LRScheduler:
    """The scheduler called `kind` for a run of `steps` optimiser steps. `plateau` is stepped by epochs."""
    return SCHEDULERS[kind](optimizer, steps, **how)


def by_epoch(scheduler: LRScheduler) -> bool:
    """Whether the scheduler waits for the validation loss, once an epoch, rather than for each step."""
    return isinstance(scheduler, ReduceLROnPlateau)
