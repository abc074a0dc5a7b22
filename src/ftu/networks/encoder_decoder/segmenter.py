"""The first paper's networks: an encoder of timm or smp, and one of three decoders.

Blocks are mapped by stride for CNN encoders, so that all are compared at one resolution. DeepLabV3+ alone
keeps block 4 at stride 16, dilated.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from ftu.errors import InputError
from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.contract import BLOCKS, Encoder, Segmenter
from ftu.networks.encoder_decoder import encoders
from ftu.networks.encoder_decoder.daformer import DaFormerDecoder, daformer_head

Parts = tuple[nn.Module, nn.Module]  # decoder, head


class LastBlocks(nn.Module):
    """A decoder that reads the last `count` maps of whatever the encoder gives: those from stride 4 on."""

    def __init__(self, decoder: nn.Module, count: int = BLOCKS) -> None:
        super().__init__()
        self.decoder, self.count = decoder, count

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.decoder(maps[-self.count :])


def unet(encoder: Encoder, width: int, fuse: str, outputs: int) -> Parts:  # noqa: ARG001
    """smp's U-Net decoder and first weights; its five steps have width, width/2, ... width/16 channels."""
    refuse_four_maps(encoder, "unet")
    channels = [max(width >> step, 1) for step in range(5)]
    decoder = UnetDecoder(encoder_channels=encoder.channels, decoder_channels=channels, n_blocks=5)
    head = SegmentationHead(channels[-1], outputs, kernel_size=3)
    initialize_decoder(decoder)
    initialize_head(head)
    return decoder, head


def deeplabv3plus(encoder: Encoder, width: int, fuse: str, outputs: int) -> Parts:  # noqa: ARG001
    """smp's DeepLabV3+ decoder, as smp sets it up for an output stride of 16: with torch's first weights."""
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
    return decoder, SegmentationHead(width, outputs, kernel_size=1, upsampling=4)


def daformer(encoder: Encoder, width: int, fuse: str, outputs: int) -> Parts:
    """The DaFormer decoder, its maps, those from stride 4 on, joined as `fuse` says."""
    channels = encoder.channels[encoder.blocks.start :]
    return LastBlocks(DaFormerDecoder(channels, width, fuse), len(channels)), daformer_head(width, outputs)


def refuse_four_maps(encoder: Encoder, decoder: str) -> None:
    if encoder.blocks.start == 0:
        raise InputError(
            f"train.model: the {decoder} decoder needs maps at strides 1 and 2, which this encoder lacks; "
            "use decoder daformer"
        )


DECODERS: dict[str, Callable[[Encoder, int, str, int], Parts]] = {
    "unet": unet,
    "deeplabv3plus": deeplabv3plus,
    "daformer": daformer,
}
OUTPUT_STRIDE = {"deeplabv3plus": 16}  # of the encoder's last map, where that is not 32


class Architecture(BaseModel):
    """What of model.json builds a network: a name for each part, none a place in a hub, and bounded sizes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    family: Literal["encoder_decoder"] = "encoder_decoder"
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    decoder: Annotated[str, Field(pattern=f"^({'|'.join(DECODERS)})$")]
    width: Annotated[int, Field(ge=1, le=8192)]  # channels
    fuse: str
    size: Annotated[int, Field(ge=1, le=2**15)]  # px
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # older versions did not write it
    channels: Literal[1, 3] = 3  # of an image
    outputs: Annotated[int, Field(ge=1, le=255)] = 1


def takes_one_size(architecture: Mapping[str, Any]) -> bool:
    """Whether the network takes no other image size than the one it is built for: its encoder says so."""
    return encoders.takes_one_size(architecture["encoder"])


def build_segmenter(
    *,
    encoder: str,
    decoder: str,
    width: int,
    fuse: str,
    size: int,
    drop_path: float = 0.0,
    channels: int = 3,
    outputs: int = 1,
) -> Segmenter:
    """The network by name, at random: first_weights loads the encoder's.

    `drop_path` is the rate of stochastic depth, `channels` those of an image, `outputs` how many logits a
    pixel gets. Raises InputError when timm and smp know no such encoder, it
    has no stochastic depth and the rate is not 0, or the decoder cannot read its maps.
    """
    padded = size + -size % COARSEST_STRIDE
    stride = OUTPUT_STRIDE.get(decoder, COARSEST_STRIDE)
    maps = encoders.build_encoder(encoder, padded, stride, drop_path, channels)
    return Segmenter(maps, *DECODERS[decoder](maps, width, fuse, outputs), outputs)
