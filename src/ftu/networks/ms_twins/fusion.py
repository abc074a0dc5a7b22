"""MS-FIF, which mixes a map with the next coarser one, and MC-AB, which says how much of each.

Both are those of attentional feature fusion, in two passes (Dai et al. 2020, https://arxiv.org/abs/2009.14082:
iAFF and MS-CAM), which is how we read the third paper: docs/ms-twins.md. Shapes: B batch, F channels.
"""

from torch import Tensor, nn
from torch.nn import functional as F

REDUCTION = 4  # of channels between two convolutions


class McAb(nn.Module):
    """(B, F, h, w) -> shares of the same shape, 0 to 1: of each pixel, and of the means of whole maps.

    The means of one image are one value a channel, which batch normalisation cannot take: they have no norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // REDUCTION
        self.of_pixels = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
            nn.BatchNorm2d(channels),
        )
        self.of_means = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return (self.of_pixels(maps) + self.of_means(maps.mean((2, 3), keepdim=True))).sigmoid()


class MsFif(nn.Module):
    """(B, F, 2 h, 2 w) and the next coarser (B, D, h, w) -> their mixture, of the first one's shape.

    The second pass has layers of its own.
    """

    def __init__(self, channels: int, deeper: int) -> None:
        super().__init__()
        self.align = nn.Conv2d(deeper, channels, 1)
        self.first, self.second = McAb(channels), McAb(channels)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        deep = twice_as_large(self.align(deep))
        mixed = mixture(self.first(shallow + deep), shallow, deep)
        return mixture(self.second(mixed), shallow, deep)


def mixture(share: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return share * one + (1 - share) * other


def twice_as_large(maps: Tensor) -> Tensor:
    """(B, F, h, w) -> (B, F, 2 h, 2 w), bilinear."""
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
