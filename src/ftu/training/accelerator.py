"""What a training computes on: precision, processes, memory and random states."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin

from ftu.errors import InputError
from ftu.networks.common.devices import Precision


def accelerate(device: torch.device, precision: Precision, accumulate: int) -> Accelerator:
    """Accelerate's front to this process, its device and the other processes of the run.

    Precision, accumulation and compilation are said here, so that no variable of the environment and no
    configuration file decides.
    """
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(accumulate, sync_with_dataloader=False),
        dynamo_backend="no",  # Run compiles the network itself
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # one head at a time
    )


def loss_scale(scaler: torch.amp.GradScaler | None) -> float:
    """What the loss is multiplied by now; 1 without a scaler. It falls when a step had to be skipped."""
    return scaler.get_scale() if scaler else 1.0


@contextmanager
def explain_out_of_memory(
    batch: int,
    size: int,
    smaller: Callable[[], Sequence[int]] = list,
    *,
    lower: str = "train.batch_size, train.valid_batch_size",
) -> Iterator[None]:
    """Turn a GPU's lack of memory into an InputError that says what to change: parameters to `lower`.

    `smaller` says how many images a round may have instead; it is asked then, and not before.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        counts = " or ".join(map(str, smaller()))
        rounds = (
            f"raise train.accumulate or train.processes (the step keeps its images; {counts} at a time in "
            "each process), "
            if counts
            else ""
        )
        raise InputError(
            f"out of GPU memory with {batch} images of {size} x {size} px a step: {rounds}lower "
            f"{lower} or resize.side, or use train.recompute, train.precision bf16 or fp16, or a smaller "
            "train.model"
        ) from error


def random_state() -> dict[str, Any]:
    """Where every random generator of this process stands, as plain values and tensors."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every generator where `random_state` found it."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
