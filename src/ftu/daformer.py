"""The DaFormer decoder. Source: Hoyer et al. 2022, https://arxiv.org/abs/2111.14887.

The fusion is the paper authors' variant: one 1x1 convolution in place of the original's separable ASPP.
Shapes: B batch, S image size, C decoder width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DaFormerDecoder(nn.Module):
    """Four maps at strides 4, 8, 16, 32 -> one map (B, C, S/4, S/4)."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(count, width, kernel_size=1) for count in channels)
        self.fuse = nn.Sequential(
            nn.Conv2d(width * len(channels), width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        finest = maps[0].shape[-2:]
        projected = [project(block) for project, block in zip(self.project, maps, strict=True)]
        aligned = [F.interpolate(block, finest, mode="bilinear", align_corners=False) for block in projected]
        return self.fuse(torch.cat(aligned, dim=1))


def daformer_head(width: int) -> nn.Module:
    """(B, C, S/4, S/4) -> logits (B, 1, S, S)."""
    upsample = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Conv2d(width, 1, kernel_size=1), upsample)
