"""The DaFormer decoder. Source: Hoyer et al. 2022, https://arxiv.org/abs/2111.14887.

Two fusions of the four maps: the original's depthwise-separable ASPP, and the 1x1 convolution of the switched
auxiliary loss's authors. Shapes: B batch, S image size, C decoder width.
"""

from collections.abc import Callable, Sequence

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


def conv1x1(inputs: int, width: int) -> nn.Module:
    """(B, inputs, h, w) -> (B, C, h, w), pixel by pixel."""
    return convolution(inputs, width, 1)


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


FUSES: dict[str, Callable[[int, int], nn.Module]] = {"conv1x1": conv1x1, "aspp": SeparableAspp}


class DaFormerDecoder(nn.Module):
    """Four maps at strides 4, 8, 16, 32 -> one map (B, C, S/4, S/4)."""

    def __init__(self, channels: Sequence[int], width: int, fuse: str) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(count, width, kernel_size=1) for count in channels)
        self.fuse = nn.Sequential(FUSES[fuse](width * len(channels), width), nn.Dropout2d(0.1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        finest = maps[0].shape[-2:]
        projected = [project(block) for project, block in zip(self.project, maps, strict=True)]
        aligned = [F.interpolate(block, finest, mode="bilinear", align_corners=False) for block in projected]
        return self.fuse(torch.cat(aligned, dim=1))


def daformer_head(width: int) -> nn.Module:
    """(B, C, S/4, S/4) -> logits (B, 1, S, S)."""
    upsample = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Conv2d(width, 1, kernel_size=1), upsample)
