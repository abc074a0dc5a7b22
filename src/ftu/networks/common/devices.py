"""What torch computes on, and what makes a run repeat."""

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
