"""U-Net's decoder, whose skips may pass a gate, and the skip-free one that makes images of the coarsest map.

Sources: Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; gates: Oktay et al. 2018,
https://arxiv.org/abs/1804.03999. Shapes: B batch, S image size (px), F channels of a level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ftu.networks.common.convolutions import RATES, DoubleConvolution, Recipe, enlargement

WEIGHED = ("skip", "upsampled")


class Gate(nn.Module):
    """What comes up from the coarser level says which pixels of a skip count: a share of each, 0 to 1.

    `weighed` is the map that the shares are for: the skip, as Oktay et al. have it; or what comes up, as in
    the second paper's code, where the skip enters through the shares alone. Both maps have F channels, and
    so has what is between (Oktay's F_int), which the paper's count of parameters tells.
    """

    def __init__(self, channels: int, weighed: str) -> None:
        super().__init__()
        self.of_skip, self.of_upsampled = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.share = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, 1, 1), nn.Sigmoid())
        self.weighed = weighed

    def forward(self, skip: Tensor, upsampled: Tensor) -> Tensor:
        """(B, F, h, w) both -> the one that is weighed, times the shares."""
        shares = self.share(self.of_skip(skip) + self.of_upsampled(upsampled))
        return shares * (skip if self.weighed == "skip" else upsampled)


class Level(nn.Module):
    """(B, 2 F, h, w) and, unless it is `alone`, a skip (B, F, 2 h, 2 w) -> (B, F, 2 h, 2 w)."""

    def __init__(
        self, channels: int, recipe: Recipe, rate: float, *, gate: str = "", alone: bool = False
    ) -> None:
        super().__init__()
        self.enlarge = enlargement(2 * channels, channels)
        self.gate = Gate(channels, gate) if gate else None
        self.join = DoubleConvolution(channels if alone else 2 * channels, channels, recipe, rate)

    def forward(self, coarse: Tensor, skip: Tensor | None = None) -> Tensor:
        upsampled = self.enlarge(coarse)
        if skip is None:
            return self.join(upsampled)
        return self.join(torch.cat([upsampled, self.gate(skip, upsampled) if self.gate else skip], dim=1))


class UnetDecoder(nn.Module):
    """Maps at strides 1, 2, 4, 8, 16 -> one map (B, width, S, S); `gate` is one of WEIGHED, '' is without."""

    def __init__(self, width: int, recipe: Recipe, gate: str) -> None:
        super().__init__()
        levels = range(len(RATES) - 2, -1, -1)
        self.levels = nn.ModuleList(
            Level(width << level, recipe, RATES[level], gate=gate) for level in levels
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *skips, coarse = maps
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            coarse = level(coarse, skip)
        return coarse


class Reconstruction(nn.Module):
    """The coarsest map (B, 16 width, S/16, S/16) -> an image (B, C, S, S), without skips or bounds.

    It is the second decoder of the Y-Net (Roels et al. 2018, https://arxiv.org/abs/1810.09734),
    which learns from images without masks.
    """

    def __init__(self, width: int, recipe: Recipe, outputs: int) -> None:
        super().__init__()
        levels = range(len(RATES) - 2, -1, -1)
        self.levels = nn.Sequential(*(Level(width << n, recipe, RATES[n], alone=True) for n in levels))
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.head(self.levels(maps[-1]))
