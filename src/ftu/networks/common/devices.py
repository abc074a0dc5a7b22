"""What torch computes on, and what makes a run repeat."""

from typing import Literal

import torch

from ftu.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]


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


def usable_precision(device: torch.device, asked: Precision, key: str) -> Precision:
    """`asked`, but fp32 on a CPU without instructions for it, which would only be slower.

    Raises InputError, which names the parameter `key`, for a GPU that does not compute in bf16.
    """
    if device.type == "cpu":
        return asked if asked == "bf16" and cpu_has_bf16() else "fp32"
    if asked == "bf16" and not torch.cuda.is_bf16_supported(False):
        raise InputError(f"{key}: {torch.cuda.get_device_name(device)} has no bf16; use fp16 or fp32")
    return asked


def cpu_has_bf16() -> bool:
    """Whether a kind of bf16 arithmetic is among what this CPU can do (avx512_bf16, amx_bf16)."""
    return any(has for name, has in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


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
