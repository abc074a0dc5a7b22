"""Evidence for the paper's claim: how much gradient reaches each block of the encoder."""

import re
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils import get_total_norm

from ftu.networks.common.contract import BLOCKS, Segmenter

TERMS = tuple(f"gradient_{number}" for number in range(1, BLOCKS + 1))

# CoaT's parallel blocks mix the maps at strides 8 to 32: every later parameter reaches the second map. Its
# serial parts carry the number of their block.
NUMBERED = re.compile(r"net\.model\.(?:patch_embed|serial_blocks|cls_token|cpe|crpe)(\d)")


def block_parameters(segmenter: Segmenter, size: int) -> list[list[nn.Parameter]]:
    """The encoder's parameters by block: each belongs to the first of the four maps that it reaches.

    One image (size, size) of zeros is run through the encoder; nothing is drawn and nothing changes. A CoaT
    parameter that says its block belongs there. What reaches none of the four, as a fifth scale, is left out;
    what is frozen belongs to its block as if it were not.
    """
    encoder = segmenter.encoder
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    encoder.requires_grad_(True)
    numbers = [int(found[1]) if (found := NUMBERED.match(name)) else 0 for name in names]
    was_training = encoder.training
    image = torch.zeros(1, encoder.inputs, size, size, device=parameters[0].device)
    blocks = encoder.eval()(encoder.pad(image)).blocks
    for number, feature in enumerate(blocks, start=1):
        reaching = torch.autograd.grad(feature.sum(), parameters, retain_graph=True, allow_unused=True)
        numbers = [
            number if not before and gradient is not None else before
            for before, gradient in zip(numbers, reaching, strict=True)
        ]
    encoder.train(was_training)
    for parameter in frozen:
        parameter.requires_grad_(False)
    return [
        [parameter for parameter, found in zip(parameters, numbers, strict=True) if found == number]
        for number in range(1, BLOCKS + 1)
    ]


class GradientNorms:
    """The mean over steps of the L2 norm of each block's gradient."""

    def __init__(self, blocks: Sequence[Sequence[nn.Parameter]]) -> None:
        self.blocks = blocks
        device = blocks[0][0].device
        self.sums = torch.zeros(len(blocks), device=device, dtype=torch.float64)
        self.steps = torch.zeros(len(blocks), device=device, dtype=torch.float64)

    def add(self) -> None:
        """Take the gradients that the parameters hold; a norm that is not finite (fp16) is left out."""
        for number, block in enumerate(self.blocks):
            if gradients := [parameter.grad for parameter in block if parameter.grad is not None]:
                norm = get_total_norm(gradients).double()
                self.sums[number] += torch.where(norm.isfinite(), norm, 0.0)
                self.steps[number] += norm.isfinite()

    def means(self) -> dict[str, float]:
        """By column of the history; nan for a block that never held a gradient."""
        return dict(zip(TERMS, (self.sums / self.steps).tolist(), strict=True))
