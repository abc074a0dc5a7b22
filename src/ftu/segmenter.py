"""Encoder, decoder and four auxiliary heads. Shapes: B batch, S image size (px), C channels.

A "block" is an encoder stage: one of the four maps at strides 4, 8, 16, 32, counted from 1 (paper section 5,
mapped by stride for CNN encoders, so that families are compared at one resolution). DeepLabV3+ alone keeps
block 4 at stride 16, dilated.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from ftu.daformer import DaFormerDecoder, daformer_head
from ftu.encoders import Encoder, build_encoder
from ftu.errors import InputError
from ftu.files.limits import COARSEST_STRIDE

BLOCKS = 4


class Segmentation(NamedTuple):
    """What the network gives while it trains."""

    logits: Tensor  # (B, 1, S, S)
    aux_logits: list[Tensor]  # four of (B, 1, s, s), s = P/4 to P/32; P = S padded (pad_to_stride)


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


class LastBlocks(nn.Module):
    """A decoder that reads the four maps at strides 4 to 32 of whatever the encoder gives."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.decoder(features[-BLOCKS:])


def unet(encoder: Encoder, width: int, fuse: str) -> tuple[nn.Module, nn.Module]:  # noqa: ARG001
    """smp's U-Net decoder; its five steps have width, width/2, ... width/16 channels."""
    refuse_four_maps(encoder, "unet")
    channels = [max(width >> step, 1) for step in range(5)]
    decoder = UnetDecoder(encoder_channels=encoder.channels, decoder_channels=channels, n_blocks=5)
    return decoder, SegmentationHead(channels[-1], 1, kernel_size=3)


def deeplabv3plus(encoder: Encoder, width: int, fuse: str) -> tuple[nn.Module, nn.Module]:  # noqa: ARG001
    """smp's DeepLabV3+ decoder, as smp sets it up for an output stride of 16."""
    refuse_four_maps(encoder, "deeplabv3plus")
    decoder = DeepLabV3PlusDecoder(
        encoder_channels=encoder.channels,
        encoder_depth=5,
        out_channels=width,
        atrous_rates=(12, 24, 36),
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    return decoder, SegmentationHead(width, 1, kernel_size=1, upsampling=4)


def daformer(encoder: Encoder, width: int, fuse: str) -> tuple[nn.Module, nn.Module]:
    """The DaFormer decoder, its four maps joined as `fuse` says."""
    return LastBlocks(DaFormerDecoder(encoder.channels[-BLOCKS:], width, fuse)), daformer_head(width)


def refuse_four_maps(encoder: Encoder, decoder: str) -> None:
    if len(encoder.channels) == BLOCKS:
        raise InputError(
            f"train.model: the {decoder} decoder needs maps at strides 1 and 2, which this encoder lacks; "
            "use decoder daformer"
        )


DECODERS: dict[str, Callable[[Encoder, int, str], tuple[nn.Module, nn.Module]]] = {
    "unet": unet,
    "deeplabv3plus": deeplabv3plus,
    "daformer": daformer,
}
OUTPUT_STRIDE = {"deeplabv3plus": 16}  # of the encoder's last map, where that is not 32


def build_segmenter(*, encoder: str, decoder: str, width: int, fuse: str, size: int) -> Segmenter:
    """The network by name, at random: weights are loaded by ftu.weights.

    Raises InputError when timm and smp know no such encoder, or the decoder cannot read its maps.
    """
    padded = size + -size % COARSEST_STRIDE
    maps = build_encoder(encoder, padded, OUTPUT_STRIDE.get(decoder, COARSEST_STRIDE))
    return Segmenter(maps, *DECODERS[decoder](maps, width, fuse))
