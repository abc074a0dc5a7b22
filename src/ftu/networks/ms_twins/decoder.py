"""The decoder that mirrors the encoder, and the cascade of predictions on its maps.

Shapes: B batch, F channels of a map, K outputs of a pixel, P padded image size (px).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftu.networks.ms_twins.fusion import MsFif, twice_as_large
from ftu.networks.ms_twins.twins import TwinsEncoder


class PatchExpand(nn.Module):
    """(B, F, h, w) -> (B, F/2, 2 h, 2 w): each pixel becomes four, each of a fourth of 2 F channels.

    Source: Cao et al. 2021 (Swin-Unet), https://arxiv.org/abs/2105.05537.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand, self.norm = nn.Linear(channels, 2 * channels, bias=False), nn.LayerNorm(channels // 2)

    def forward(self, maps: Tensor) -> Tensor:
        wide = self.expand(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.norm(F.pixel_shuffle(wide, 2).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class Level(nn.Module):
    """(B, 2 F, h, w) of the coarser level, and a skip (B, F, 2 h, 2 w) -> (B, F, 2 h, 2 w)."""

    def __init__(self, channels: int, coarser: int, stage: nn.Module) -> None:
        super().__init__()
        self.expand, self.join = PatchExpand(coarser), nn.Conv2d(2 * channels, channels, 1)
        self.stage = stage

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        return self.stage(self.join(torch.cat([skip, self.expand(coarse)], dim=1)))


class MsTwinsDecoder(nn.Module):
    """Four maps, finest first -> four of the same shapes, coarsest first.

    With `fusion` a skip is a map mixed with the next coarser one (MS-FIF); without, the map as it is.
    """

    def __init__(self, encoder: TwinsEncoder, *, fusion: bool) -> None:
        super().__init__()
        *stages, self.coarsest = encoder.stages()
        neighbours = list(pairwise(encoder.channels))
        self.fusions = nn.ModuleList(MsFif(*pair) for pair in neighbours) if fusion else None
        self.levels = nn.ModuleList(
            Level(*pair, stage) for pair, stage in zip(neighbours, stages, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        skips = maps[:-1]
        if self.fusions is not None:
            skips = [fuse(*pair) for fuse, pair in zip(self.fusions, pairwise(maps), strict=True)]
        found = [self.coarsest(maps[-1])]
        for level, skip in zip(reversed(self.levels), reversed(skips), strict=True):
            found.append(level(found[-1], skip))
        return found


class Cascade(nn.Module):
    """A head on each of the last maps, coarsest first -> logits (B, K, h, w) of each level, in that order.

    `channels` are those of the maps that have one. Each finer level adds to what the coarser one says.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(each, outputs, 1) for each in channels)
        for head in self.heads:  # near even odds at first, as timm's classifiers begin
            nn.init.trunc_normal_(head.weight, std=0.02)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        changes = [head(each) for head, each in zip(self.heads, maps[-len(self.heads) :], strict=True)]
        levels = changes[:1]
        for change in changes[1:]:
            levels.append(twice_as_large(levels[-1]) + change)
        return levels
