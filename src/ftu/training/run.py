"""Everything that changes while a network trains, and can be put away and taken up again."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object, set_seed
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ftu.errors import InputError
from ftu.networks.common.contract import Segmenter
from ftu.training import frozen
from ftu.training.accelerator import loss_scale, random_state, restore_random_state
from ftu.training.checkpoints import Checkpoints
from ftu.training.gradient_norms import block_parameters
from ftu.training.losses.terms import Objective
from ftu.training.optimizer import build_optimizer, build_scheduler, by_epoch
from ftu.training.recompute import forget_between
from ftu.training.resume import StateFile

Row = dict[str, float | int]
Average = Callable[[list[Tensor] | tuple[Tensor, ...], list[Tensor] | tuple[Tensor, ...], Tensor | int], None]


class Run:
    """A network in training: with its average, optimiser, scheduler, history and best weights so far."""

    def __init__(
        self,
        segmenter: Segmenter,
        accelerator: Accelerator,
        size: int,
        steps: int,
        *,
        seed: int,
        epochs: int,
        lr: float,
        weight_decay: float,
        scheduler: dict[str, Any],
        clip: float,
        ema: float,
        compile: bool,  # noqa: A002
        switch_epoch: int,
        decay_norms: bool,
        lr_decoder: float,
        aux_target: str,
        recompute: bool,
        restart_at_switch: bool,
        checkpoint: str,
        optimizer: dict[str, Any],
        freeze: Sequence[str],
        watch: str,
    ) -> None:
        """For images of `size` px and `steps` optimiser steps in an epoch.

        `clip` is the largest norm of the whole gradient, `ema` the decay of the average; 0 is without.
        `recompute` forgets what the encoder's blocks compute on the way, and computes it again to go back.
        `checkpoint` is the one of checkpoints.CHOICES that ships; best is an epoch by `watch`: the highest
        dice or the lowest loss of the held-out images, the lowest train loss, or the smallest gap of
        solidity, which `beside` gives. The parts in `freeze` stay as they are.
        """
        self.accelerator, self.epochs, self.switch_epoch, self.clip = accelerator, epochs, switch_epoch, clip
        self.steps, self.restart_at_switch = steps, restart_at_switch
        self.watch, self.frozen, self.aux_target = watch, freeze, aux_target
        self.remedy = "a lower train.lr, a train.clip"  # for a run that diverges
        self.beside: Callable[[Segmenter], Row] = lambda _: {}  # further columns about the shipped network
        self.segmenter = segmenter.to(accelerator.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.blocks = block_parameters(segmenter, size)
        frozen.freeze(segmenter, freeze)
        if recompute:
            forget_between(segmenter.encoder)
        self.average = AveragedModel(segmenter, multi_avg_fn=average(ema), use_buffers=True) if ema else None
        if (
            compile
        ):  # but the auxiliary heads: compiled, an idle one would get zeros for its gradient, not none
            for part in (segmenter.encoder, segmenter.decoder, segmenter.head):
                part.compile()
        rates = {"lr": lr, "weight_decay": weight_decay, "decay_norms": decay_norms, "lr_decoder": lr_decoder}
        built = build_optimizer(segmenter, **rates, **optimizer)
        self.unused = built.state_dict()  # no moments, and the rates as no scheduler has touched them
        self.new_scheduler = partial(build_scheduler, built, **scheduler)
        phase = switch_epoch if restart_at_switch else epochs
        self.scheduler: LRScheduler = self.new_scheduler(steps * phase)
        self.objective, self.optimizer = accelerator.prepare(Objective(segmenter, aux_target), built)
        self.scale = loss_scale(accelerator.scaler)
        self.rows: list[Row] = []
        self.checkpoints = Checkpoints(switch_epoch, checkpoint)
        set_seed(seed, device_specific=True)  # other draws in each process, of dropout for one

    @property
    def shipped(self) -> Segmenter:
        """The network whose weights are kept: the average where there is one."""
        return self.average.module if self.average else self.segmenter  # pyright: ignore[reportReturnType]

    @property
    def shown_dice(self) -> str:
        """The column of the history that says how good the shipped network is."""
        return "ema_dice" if self.average else "valid_dice"

    @property
    def shown_loss(self) -> str:
        """The column of the history with the loss of the shipped network on the held-out images."""
        return "ema_main" if self.average else "valid_main"

    def score(self, row: Row) -> float:
        """How good an epoch was by what the run watches: more is better."""
        if self.watch == "dice":
            return row[self.shown_dice]
        return -row[{"loss": self.shown_loss, "solidity": "solidity_gap", "train": "train_total"}[self.watch]]

    def after_step(self) -> None:
        """What follows each step of the optimiser, unless the loss scale was too high for one (fp16).

        A scale that has fallen is the sign of a skipped step, which torch's recipes name: Accelerate's own
        `step_was_skipped` is False always with a fused optimiser, which leaves out the step by itself.
        Source: https://docs.pytorch.org/docs/stable/amp.html, GradScaler.
        """
        before, self.scale = self.scale, loss_scale(self.accelerator.scaler)
        if self.scale < before:
            return
        if not by_epoch(self.scheduler):
            self.scheduler.step()
        if self.average:
            self.average.update_parameters(self.segmenter)

    def restart(self) -> None:
        """Let optimiser and scheduler begin anew at the switch, as for a run of the epochs that are left.

        So the authors' script begins, if its second phase is a run of its own. Average and loss scale go on.
        """
        self.optimizer.load_state_dict(self.unused)
        self.scheduler = self.new_scheduler(self.steps * (self.epochs - self.switch_epoch))

    def share_statistics(self) -> None:
        """Give every process the running statistics of the first, which are the ones that ship."""
        for network in dict.fromkeys((self.segmenter, self.shipped)):
            for buffer in network.buffers():
                broadcast(buffer)

    def record(self, row: Row) -> None:
        """Take the row of an epoch into the history, and its weights if they may ship."""
        self.rows.append(row)
        if self.accelerator.is_main_process:
            dice = row.get(self.shown_dice, math.nan)
            self.checkpoints.offer(self.shipped, int(row["epoch"]), dice, self.score(row))

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on. To be called by every process of the run."""
        scaler = self.accelerator.scaler
        return {
            "rows": self.rows,
            "checkpoints": self.checkpoints.state_dict(),
            "model": self.segmenter.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "random": gather_object([random_state()]),
        }

    def resume(self, state: StateFile) -> None:
        """Go on from `state` where there is one. To be called by every process of the run.

        Raises InputError when they do not find the same: they would wait for each other forever.
        """
        with self.accelerator.main_process_first():
            found = state.read()
        if found:
            self.load_state_dict(found)
        epochs = gather_object([len(self.rows)])
        if len(set(epochs)) > 1:
            raise InputError(
                f"{state.path}: the processes would go on from epochs {epochs}; put the project on a "
                "disk that all of them share"
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave to a run that was built alike."""
        self.rows = state["rows"]
        self.checkpoints.load_state_dict(state["checkpoints"])
        self.segmenter.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
            self.scale = loss_scale(self.accelerator.scaler)
        restore_random_state(state["random"][self.accelerator.process_index])


def average(decay: float) -> Average:
    """The rule of torch.optim.swa_utils by which weights are averaged.

    The decay rises to `decay` as (1 + n) / (10 + n) over n steps, so that a short run does not ship its first
    weights (as TensorFlow's ExponentialMovingAverage counts its updates).
    """

    def update(averaged, current, steps) -> None:  # noqa: ANN001
        count = int(steps)
        get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(averaged, current, steps)

    return update
