"""U-Net and Attention U-Net of double convolutions, as the second paper's baselines have them.

Blocks are the maps at strides 2, 4, 8, 16. Source of the paper: networks/common/convolutions.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from ftu.networks.common.contract import Encoder, Segmenter
from ftu.networks.common.convolutions import DoubleConvolutions, Recipe, initialize
from ftu.networks.unet.decoders import Reconstruction, UnetDecoder

ENCODERS = ("plain",)
DECODERS = {"unet2d": False, "attunet": True}  # whether the skips pass a gate


class Architecture(BaseModel):
    """What of model.json builds a network."""

    model_config = ConfigDict(extra="forbid", strict=True)
    family: Literal["unet"]
    encoder: Literal["plain"]
    decoder: Literal["unet2d", "attunet"]
    width: Annotated[int, Field(ge=1, le=1024)]  # channels of the finest map
    fuse: Literal["skip", "upsampled"]
    norm: Literal["none", "batch"]
    activation: Literal["relu", "elu"]
    dropout: Literal["none", "plain", "spatial"]
    init: Literal["he", "glorot"]
    size: Annotated[int, Field(ge=1, le=2**15)]  # px
    channels: Literal[1, 3] = 3  # of an image
    outputs: Annotated[int, Field(ge=1, le=255)] = 1


def takes_one_size(architecture: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """Convolutions take any size."""
    return False


def build_segmenter(
    *,
    encoder: str,  # noqa: ARG001 # there is one
    decoder: str,
    width: int,
    fuse: str,
    norm: str,
    activation: str,
    dropout: str,
    init: str,
    size: int,  # noqa: ARG001 # any
    channels: int = 3,
    outputs: int = 1,
    reconstruct: bool = False,
) -> Segmenter:
    """The network by name, with its first weights.

    `channels` are those of an image, `outputs` how many logits a pixel gets. With `reconstruct` the network
    has a second decoder, which gives images back: of `attunet` that makes the Attention Y-Net.
    """
    recipe = Recipe(norm, activation, dropout)
    net = DoubleConvolutions(channels, width, recipe)
    network = Segmenter(
        Encoder(net, net.channels, inputs=channels, strides=(2, 4, 8, 16)),
        UnetDecoder(width, recipe, fuse if DECODERS[decoder] else ""),
        nn.Conv2d(width, outputs, 1),
        outputs,
        Reconstruction(width, recipe, channels) if reconstruct else None,
    )
    initialize(network, init)
    return network
