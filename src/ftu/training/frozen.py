"""Parts of a network that stay as they are while the rest learns: their parameters, and what they count.

A part is named as torch names it, by whole words between dots: `encoder.net.levels.0`.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from torch import nn

from ftu.errors import InputError, some

OF_MASKS = ("encoder", "decoder", "head")  # what a loss of masks reaches


def freeze(network: nn.Module, parts: Sequence[str], key: str = "train.freeze") -> None:
    """Let the parameters of `parts` take no gradient, and all others take one.

    Raises InputError, which names the parameter `key`, for a part that holds no parameter, and where nothing
    is left to learn.
    """
    network.requires_grad_(True)
    for part in parts:
        found = [value for name, value in network.named_parameters() if _within(name, part)]
        if not found:
            names = [name for name, module in network.named_modules() if name and [*module.parameters()]]
            near = get_close_matches(part, names, n=3, cutoff=0.3) or names
            raise InputError(
                f"{key}: {part!r:.100} is no part of this network that holds a weight; near it are "
                f"{some(near)}"
            )
        for value in found:
            value.requires_grad_(False)
    if not any(value.requires_grad for value in network.parameters()):
        raise InputError(f"{key}: {', '.join(parts)} is the whole network; nothing would be learnt")


def check_learning(network: nn.Module, reached: Sequence[str], key: str = "train.freeze") -> None:
    """Raise InputError, which names `key`, where all parts that the loss reaches are frozen."""
    values = [value for name, value in network.named_parameters() if name.partition(".")[0] in reached]
    if not any(value.requires_grad for value in values):
        raise InputError(
            f"{key}: freezes all that the loss reaches ({', '.join(reached)}); nothing would be learnt"
        )


def hold(network: nn.Module, parts: Sequence[str]) -> None:
    """Put `parts` of a network in training into the mode of prediction: no dropout, and running statistics
    that do not move."""
    for name, module in network.named_modules():
        if any(_within(name, part) for part in parts):
            module.eval()


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
