"""What torch computes on, and what makes a run repeat."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ftu.errors import InputError


def choose_device(name: str, processes: int = 1) -> torch.device:
    """The device called `name`; InputError where there are fewer GPUs than `processes` on this machine."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: torch sees no GPU on this machine; set train.device and predict.device to cpu"
        )
    if name == "cuda" and processes > torch.cuda.device_count():
        raise InputError(
            f"train.processes: {processes} processes on this machine need a GPU each, and torch sees "
            f"{torch.cuda.device_count()}; use that many, or fewer"
        )
    return torch.device(name)


def fix_randomness(seed: int, threads: int, device: str = "cpu") -> None:
    """Make the run a function of the seed: torch's generators, thread count and choice of algorithms.

    On a GPU the algorithms are left alone: bilinear upsampling and padding would take slow ways round, and
    others would still add in no fixed order.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device == "cpu", warn_only=True)
    torch.backends.cudnn.benchmark = device == "cuda"  # the fastest convolution of each shape, found by trial
    # Filling costs bandwidth, and nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def explain_out_of_memory(batch: int, size: int) -> Iterator[None]:
    """Turn a GPU's lack of memory into an InputError that says what to change."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"out of GPU memory with {batch} images of {size} x {size} px a step: raise train.accumulate or "
            "train.processes (the step keeps its images), lower train.batch_size, train.valid_batch_size or "
            "resize.side, or use train.precision bf16 or fp16, or a smaller train.model"
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
