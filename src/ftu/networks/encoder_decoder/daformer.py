"""The DaFormer decoder. Source: Hoyer et al. 2022, https://arxiv.org/abs/2111.14887.

Three fusions of the maps: `aspp` is the original's depthwise-separable ASPP on linear embeddings; `conv1x1`
and `conv3x3` are those of the switched auxiliary loss's authors, who normalise and rectify each map first.
Shapes: B batch, S image size, C decoder width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolution(
    inputs: int, outputs: int, kernel: int, *, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SeparableAspp(nn.Module):
    """(B, inputs, h, w) -> (B, C, h, w) with dilations 1, 6, 12, 18; no pooling branch (section 3.2)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        separable = [
            nn.Sequential(
                convolution(inputs, inputs, 3, dilation=dilation, groups=inputs),
                convolution(inputs, width, 1),
            )
            for dilation in (6, 12, 18)
        ]
        self.branches = nn.ModuleList([convolution(inputs, width, 1), *separable])
        self.join = convolution(len(self.branches) * width, width, 3)

    def forward(self, maps: Tensor) -> Tensor:
        return self.join(torch.cat([branch(maps) for branch in self.branches], dim=1))


class Bilinear(nn.Module):
    """(B, C, h, w) -> (B, C, *size)."""

    def forward(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


class BilinearAndNearest(nn.Module):
    """(B, C, h, w) -> (B, C, *size), a learned mixture of the two; `mix` is the share of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.tensor(0.5))

    def forward(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        smooth = F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
        return self.mix * smooth + (1 - self.mix) * F.interpolate(maps, tuple(size), mode="nearest")


class Fusion(NamedTuple):
    """How maps become one: each is projected to C channels and enlarged, then all are joined."""

    project: Callable[[int, int], nn.Module]
    enlarge: Callable[[], nn.Module]
    join: Callable[[int, int], nn.Module]
    dropout: Callable[[float], nn.Module]


pointwise, local = partial(convolution, kernel=1), partial(convolution, kernel=3)
FUSES = {
    "conv1x1": Fusion(pointwise, BilinearAndNearest, pointwise, nn.Dropout),
    "conv3x3": Fusion(pointwise, BilinearAndNearest, local, nn.Dropout),
    "aspp": Fusion(partial(nn.Conv2d, kernel_size=1), Bilinear, SeparableAspp, nn.Dropout2d),
}


class DaFormerDecoder(nn.Module):
    """Maps at strides 4, 8, 16, 32 and coarser -> one map (B, C, S/4, S/4)."""

    def __init__(self, channels: Sequence[int], width: int, fuse: str) -> None:
        super().__init__()
        parts = FUSES[fuse]
        self.project = nn.ModuleList(parts.project(count, width) for count in channels)
        self.enlarge = nn.ModuleList(parts.enlarge() for _ in channels[1:])
        self.fuse = nn.Sequential(parts.join(width * len(channels), width), parts.dropout(0.1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """`maps` from stride 4 on. Raises ValueError when there are not as many as channels were given."""
        finest, *coarser = [project(each) for project, each in zip(self.project, maps, strict=True)]
        size = finest.shape[-2:]
        enlarged = [enlarge(each, size) for enlarge, each in zip(self.enlarge, coarser, strict=True)]
        return self.fuse(torch.cat([finest, *enlarged], dim=1))


def daformer_head(width: int, outputs: int = 1) -> nn.Module:
    """(B, C, S/4, S/4) -> logits (B, K, S, S)."""
    upsample = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Conv2d(width, outputs, kernel_size=1), upsample)
