"""What every network is to those who train it and predict with it. Shapes: B batch, S image size (px).

A "block" is one of the encoder's last four maps, at strides 4, 8, 16, 32, counted from 1 (paper section 5).
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ftu.files.limits import COARSEST_STRIDE

BLOCKS = 4


class Segmentation(NamedTuple):
    """What the network gives while it trains."""

    logits: Tensor  # (B, 1, S, S)
    aux_logits: list[Tensor]  # four of (B, 1, s, s), s = P/4 to P/32; P = S padded (pad_to_stride)


class Encoder(nn.Module):
    """A network that gives maps, each coarser than the one before, and the channels of these maps."""

    def __init__(self, net: nn.Module, channels: list[int]) -> None:
        super().__init__()
        self.net, self.channels = net, channels

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.net(images)


class Segmenter(nn.Module):
    """The network. All four auxiliary heads always exist, so that every checkpoint has one layout."""

    def __init__(self, encoder: Encoder, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.aux_heads = nn.ModuleList(nn.Conv2d(c, 1, kernel_size=1) for c in encoder.channels[-BLOCKS:])

    def forward(self, images: Tensor) -> Segmentation:
        features = self.encoder(pad_to_stride(images))
        logits = crop(self.head(self.decoder(features)), images)
        blocks = features[-BLOCKS:]  # strides 4, 8, 16, 32
        return Segmentation(logits, [head(block) for head, block in zip(self.aux_heads, blocks, strict=True)])


class Probabilities(nn.Module):
    """The network as inference sees it: (B, 3, S, S) -> (B, 1, S, S) probabilities in float32."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = segmenter.encoder, segmenter.decoder, segmenter.head

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.decoder(self.encoder(pad_to_stride(images))))
        return crop(logits, images).float().sigmoid()


def pad_to_stride(images: Tensor) -> Tensor:
    """(B, C, H, W), its last row and column repeated up to multiples of 32, which every encoder takes."""
    height, width = images.shape[-2:]
    below, right = -height % COARSEST_STRIDE, -width % COARSEST_STRIDE
    return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def crop(logits: Tensor, images: Tensor) -> Tensor:
    """The part of padded (B, 1, H, W) logits that belongs to `images`."""
    height, width = images.shape[-2:]
    return logits[..., :height, :width]
