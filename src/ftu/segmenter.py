"""Encoder, decoder and four auxiliary heads. Shapes: B batch, S image size (px), C channels.

A "block" is an encoder stage: one of the four maps at strides 4, 8, 16, 32, counted from 1 (paper section 5,
mapped by stride for CNN encoders, so that families are compared at one resolution).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from ftu.daformer import DaFormerDecoder, daformer_head
from ftu.encoders import Encoder, build_encoder
from ftu.errors import InputError

BLOCKS = 4


class Segmentation(NamedTuple):
    """What the network gives while it trains."""

    logits: Tensor  # (B, 1, S, S)
    aux_logits: list[Tensor]  # four of (B, 1, s, s), s = S/4, S/8, S/16, S/32


class Segmenter(nn.Module):
    """The network. All four auxiliary heads always exist, so that every checkpoint has one layout."""

    def __init__(self, encoder: Encoder, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.aux_heads = nn.ModuleList(nn.Conv2d(c, 1, kernel_size=1) for c in encoder.channels[-BLOCKS:])

    def forward(self, images: Tensor) -> Segmentation:
        features = self.encoder(images)
        logits = self.head(self.decoder(features))
        blocks = features[-BLOCKS:]  # strides 4, 8, 16, 32
        return Segmentation(logits, [head(block) for head, block in zip(self.aux_heads, blocks, strict=True)])


class Probabilities(nn.Module):
    """The network as inference sees it: (B, 3, S, S) -> (B, 1, S, S) probabilities in float32."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = segmenter.encoder, segmenter.decoder, segmenter.head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(images))).float().sigmoid()


class LastBlocks(nn.Module):
    """A decoder that reads the four maps at strides 4 to 32 of whatever the encoder gives."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.decoder(features[-BLOCKS:])


def unet(encoder: Encoder, width: int) -> tuple[nn.Module, nn.Module]:
    """smp's U-Net decoder; its five steps have width, width/2, ... width/16 channels."""
    if len(encoder.channels) == BLOCKS:
        raise InputError(
            "train.model: the unet decoder needs maps at strides 1 and 2, which this encoder lacks; "
            "use decoder daformer"
        )
    channels = [max(width >> step, 1) for step in range(5)]
    decoder = UnetDecoder(encoder_channels=encoder.channels, decoder_channels=channels, n_blocks=5)
    return decoder, SegmentationHead(channels[-1], 1, kernel_size=3)


def daformer(encoder: Encoder, width: int) -> tuple[nn.Module, nn.Module]:
    """The DaFormer decoder with the authors' 1x1 fusion."""
    return LastBlocks(DaFormerDecoder(encoder.channels[-BLOCKS:], width)), daformer_head(width)


DECODERS: dict[str, Callable[[Encoder, int], tuple[nn.Module, nn.Module]]] = {
    "unet": unet,
    "daformer": daformer,
}


def build_segmenter(*, encoder: str, decoder: str, width: int, size: int) -> Segmenter:
    """The network by name, at random: weights are loaded by ftu.weights.

    Raises InputError when timm and smp know no such encoder, or the decoder cannot read its maps.
    """
    maps = build_encoder(encoder, size)
    return Segmenter(maps, *DECODERS[decoder](maps, width))
