"""Less memory for more time: what the encoder's blocks compute on the way is forgotten, and computed again.

Source: Chen et al. 2016, https://arxiv.org/abs/1604.06174. The weights that come of it are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ftu.errors import InputError

CONTAINERS = (nn.Sequential, nn.ModuleList)  # a ModuleDict is timm's shell around a whole network


def forget_between(encoder: nn.Module) -> None:
    """Let each block of the encoder keep its input alone while it trains. A block is the outermost module
    with parts of its own that stands in a list or a sequence. Raises InputError where there is none."""
    blocks = list(_blocks(encoder))
    if not blocks:
        raise InputError("train.recompute: this train.model.encoder has no blocks; set it to false")
    for block in blocks:
        block.forward = partial(_forward, block, block.forward)


def _forward(block: nn.Module, forward, *inputs, **named):  # noqa: ANN001, ANN202, ANN002, ANN003
    if not block.training:
        return forward(*inputs, **named)
    again = partial(_statistics_kept, block)
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), again()), **named
    )


def _blocks(module: nn.Module, *, inside: bool = False) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, CONTAINERS):
            yield from _blocks(child, inside=True)
        elif inside and any(child.children()):
            yield child
        else:
            yield from _blocks(child, inside=False)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """The second time a block sees its images, running statistics do not count them again."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    momenta, counts = [norm.momentum for norm in norms], [norm.num_batches_tracked for norm in norms]
    kept = [None if count is None else count.clone() for count in counts]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count, before in zip(norms, momenta, counts, kept, strict=True):
            norm.momentum = momentum
            if count is not None and before is not None:
                count.copy_(before)
