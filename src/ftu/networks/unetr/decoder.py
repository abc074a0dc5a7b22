"""The decoder of UNETR-2D and YNETR-2D. Shapes: B batch, S image size (px), C channels, D width of a token.

Gonzalez Marfil 2022 (networks/unetr/transformer), after Hatamizadeh et al. 2021,
https://arxiv.org/abs/2103.10504.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ftu.networks.common.contract import BLOCKS
from ftu.networks.common.convolutions import RATES, DoubleConvolution, Recipe, enlargement

LEVELS = range(len(RATES) - 2, -1, -1)  # coarse to fine: strides 8, 4, 2, 1


class Level(nn.Module):
    """What comes up from the coarser level, what `side` makes of its input, and a skip of a U-Net: joined.

    (B, inputs, h, w) -> (B, outputs, 2 h, 2 w); of `side` and a skip the same.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: nn.Module,
        dropout: nn.Module,
        recipe: Recipe,
        rate: float,
        joined: int,
    ) -> None:
        super().__init__()
        self.enlarge, self.side, self.dropout = enlargement(inputs, outputs), side, dropout
        self.join = DoubleConvolution(joined * outputs, outputs, recipe, rate)

    def forward(self, coarse: Tensor, beside: Tensor, *skips: Tensor) -> Tensor:
        maps = torch.cat([self.side(beside), self.enlarge(coarse), *skips], dim=1)
        return self.join(self.dropout(maps))


class UnetrDecoder(nn.Module):
    """The image, a transformer's four maps and, with `convolutional`, five of a U-Net -> (B, width, S, S).

    The transformer's maps have stride 16 all: each but the last is enlarged to its level, by a convolution
    after each step. With a U-Net, whole maps drop out of what is joined (YNETR), unless there is no dropout.
    """

    def __init__(self, inputs: int, hidden: int, width: int, recipe: Recipe, *, convolutional: bool) -> None:
        super().__init__()

        def joint(rate: float) -> nn.Module:
            return recipe.maps_dropout(rate) if convolutional else nn.Identity()

        deepest = width << len(LEVELS) if convolutional else 0
        self.bottom = joint(RATES[-1])
        self.levels = nn.ModuleList()
        for level in LEVELS:
            channels, rate = width << level, RATES[level]
            coarse = 2 * channels if self.levels else hidden + deepest
            side = (
                enlarged(hidden, channels, len(LEVELS) - level, recipe, rate)
                if level
                else DoubleConvolution(inputs, channels, recipe, rate)
            )
            self.levels.append(
                Level(coarse, channels, side, joint(rate), recipe, rate, 3 if convolutional else 2)
            )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        image, *skips = maps[:-BLOCKS]
        *beside, deepest = maps[-BLOCKS:]
        coarse = self.bottom(torch.cat([deepest, *skips[-1:]], dim=1))
        for number, level in enumerate(self.levels, start=1):
            coarse = level(coarse, [image, *beside][-number], *skips[-1 - number : len(skips) - number])
        return coarse


def enlarged(inputs: int, outputs: int, steps: int, recipe: Recipe, rate: float) -> nn.Sequential:
    """(B, inputs, h, w) -> (B, outputs, h 2^steps, w 2^steps), with a convolution after each step."""
    read = [inputs] + [outputs] * (steps - 1)
    return nn.Sequential(
        *(
            part
            for each in read
            for part in (enlargement(each, outputs), recipe.single(outputs, outputs, rate))
        )
    )
