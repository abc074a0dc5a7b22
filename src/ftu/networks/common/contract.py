"""What every network is to those who train it and predict with it. Shapes: B batch, S image size (px).

A "block" is the part of the encoder that ends with the map at stride 4, 8, 16 or 32, counted from 1 (paper
section 5); an encoder may state other strides for its four. Of K outputs for a pixel there is one, a logit of
the only class, or one for the background and one for each of two classes or more, whose softmax counts. An
image has C channels, 3 (RGB) or 1 (grey).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ftu.files.limits import COARSEST_STRIDE

BLOCKS = 4
AuxSource = Literal["map", "serial"]


class Features(NamedTuple):
    """What an encoder gives, finest first."""

    maps: list[Tensor]  # what a decoder reads, each (B, channels, P/stride, P/stride)
    blocks: list[Tensor]  # the four of them at the strides that the encoder states
    serial: list[Tensor]  # where each block ends before later blocks are mixed into its map; else `blocks`


class Segmentation(NamedTuple):
    """What the network gives while it trains."""

    logits: Tensor  # (B, K, S, S)
    aux_logits: list[Tensor]  # four of (B, K, s, s), s = P/stride of the block; P = S padded (Encoder.pad)
    reconstruction: Tensor | None = None  # (B, C, S, S), of a network with a decoder for it
    levels: Sequence[Tensor] = ()  # (B, K, s, s), coarsest first, where several scales predict


class Encoder(nn.Module):
    """A network that gives maps, each coarser than the one before, and the channels of these maps.

    `coarser` is how many of them are coarser than block 4, `inputs` the channels of an image, `strides` those
    of the blocks; a dilated last stage keeps that of the third.
    """

    def __init__(
        self,
        net: nn.Module,
        channels: list[int],
        coarser: int = 0,
        inputs: int = 3,
        strides: tuple[int, int, int, int] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        self.net, self.channels, self.inputs, self.strides = net, channels, inputs, strides
        self.stride = COARSEST_STRIDE << coarser  # px, of which a side of what it sees is a multiple
        first = len(channels) - coarser - BLOCKS
        self.blocks = slice(first, first + BLOCKS)  # which of its maps end blocks 1 to 4

    def pad(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, C, P, P), what the network sees of images: P is a multiple of the stride. Masks
        of the same images are padded as these are."""
        return pad_to_stride(images, self.stride)

    def forward(self, images: Tensor) -> Features:
        maps = self.net(images)
        return Features(maps, maps[self.blocks], maps[self.blocks])


class Segmenter(nn.Module):
    """The network. All four auxiliary heads always exist, so that every checkpoint has one layout.

    They read what `aux_source` says: the maps that the decoder sees, or the ends of the serial blocks.
    `reconstruction` is a second decoder, of the same maps, which gives images back; nothing predicts with it.
    The head gives logits at the size of the padded images, or a list of them, coarsest first, of several
    levels, the last of which is enlarged to it.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: nn.Module,
        head: nn.Module,
        outputs: int = 1,
        reconstruction: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head, self.outputs = encoder, decoder, head, outputs
        self.reconstruction = reconstruction
        self.aux_heads = nn.ModuleList(nn.Conv2d(c, outputs, 1) for c in encoder.channels[encoder.blocks])
        self.aux_source: AuxSource = "map"

    def forward(self, images: Tensor) -> Segmentation:
        padded = self.encoder.pad(images)
        features = self.encoder(padded)
        found = self.head(self.decoder(features.maps))
        logits, levels = crop(finest(found, padded), images), found if isinstance(found, list) else ()
        blocks = features.serial if self.aux_source == "serial" else features.blocks
        aux_logits = [head(block) for head, block in zip(self.aux_heads, blocks, strict=True)]
        if self.reconstruction is None:
            return Segmentation(logits, aux_logits, levels=levels)
        return Segmentation(logits, aux_logits, crop(self.reconstruction(features.maps), images), levels)


class Probabilities(nn.Module):
    """The network as inference sees it: (B, C, S, S) -> the probabilities of each class, in float32.

    They are (B, 1, S, S) of the only class, or (B, K - 1, S, S): background is what they lack of 1.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = segmenter.encoder, segmenter.decoder, segmenter.head

    def forward(self, images: Tensor) -> Tensor:
        padded = self.encoder.pad(images)
        found = self.head(self.decoder(self.encoder(padded).maps))
        logits = crop(finest(found, padded), images).float()
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]


def finest(found: Tensor | list[Tensor], padded: Tensor) -> Tensor:
    """What a head gives of images (B, C, P, P), as (B, K, P, P): of several levels the last, enlarged."""
    if isinstance(found, Tensor):
        return found
    return F.interpolate(found[-1], padded.shape[-2:], mode="bilinear", align_corners=False)


def outputs_of(classes: int) -> int:
    """How many outputs a pixel has: K."""
    return 1 if classes == 1 else classes + 1


def pad_to_stride(images: Tensor, stride: int = COARSEST_STRIDE) -> Tensor:
    """(B, C, H, W), its last row and column repeated up to multiples of the encoder's `stride`."""
    height, width = images.shape[-2:]
    below, right = -height % stride, -width % stride
    return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def crop(logits: Tensor, images: Tensor) -> Tensor:
    """The part of padded (B, K, H, W) logits that belongs to `images`."""
    height, width = images.shape[-2:]
    return logits[..., :height, :width]
