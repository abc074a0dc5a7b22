"""What torch computes on, and what makes a run repeat."""

import torch

from ftu.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device called `name`; InputError when a GPU is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: torch sees no GPU on this machine; set train.device and predict.device to cpu"
        )
    return torch.device(name)


def fix_randomness(seed: int, threads: int) -> None:
    """Make the run a function of the seed: torch's generators, thread count and choice of algorithms."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling costs bandwidth, and nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
