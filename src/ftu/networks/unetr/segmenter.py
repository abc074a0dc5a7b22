"""UNETR-2D and YNETR-2D, which has a U-Net's encoder beside the transformer.

Blocks are fourths of the transformer's layers, all at stride 16. Source: networks/unetr/transformer.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ftu.errors import InputError
from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.contract import BLOCKS, Encoder, Segmenter
from ftu.networks.common.convolutions import DoubleConvolutions, Recipe, initialize
from ftu.networks.unetr.decoder import UnetrDecoder
from ftu.networks.unetr.transformer import PATCH, VARIANTS, Transformer

DECODERS = {"unetr": "vit", "ynetr": "yvit"}  # and what the encoders are called that it reads
ENCODERS = tuple(f"{kind}-{variant}" for kind in DECODERS.values() for variant in VARIANTS)


class Architecture(BaseModel):
    """What of model.json builds a network."""

    model_config = ConfigDict(extra="forbid", strict=True)
    family: Literal["unetr"]
    encoder: Annotated[str, Field(pattern=f"^({'|'.join(ENCODERS)})$")]
    decoder: Literal["unetr", "ynetr"]
    width: Annotated[int, Field(ge=1, le=1024)]  # channels of the finest map
    norm: Literal["none", "batch"]
    activation: Literal["relu", "elu"]
    dropout: Literal["none", "plain", "spatial"]
    init: Literal["he", "glorot"]
    size: Annotated[int, Field(ge=1, le=2**12)]  # px
    channels: Literal[1, 3] = 3  # of an image
    outputs: Annotated[int, Field(ge=1, le=255)] = 1


class Maps(nn.Module):
    """(B, C, S, S) -> the images, a U-Net's five maps where there is one, and a transformer's four."""

    def __init__(self, transformer: Transformer, convolutions: DoubleConvolutions | None) -> None:
        super().__init__()
        self.transformer, self.convolutions = transformer, convolutions

    def forward(self, images: Tensor) -> list[Tensor]:
        skips = self.convolutions(images) if self.convolutions else []
        return [images, *skips, *self.transformer(images)]


def takes_one_size(architecture: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """The transformer learns the places of the patches of one size."""
    return True


def build_segmenter(
    *,
    encoder: str,
    decoder: str,
    width: int,
    norm: str,
    activation: str,
    dropout: str,
    init: str,
    size: int,
    channels: int = 3,
    outputs: int = 1,
) -> Segmenter:
    """The network by name, with its first weights, for images of `size` px, padded to a multiple of 32.

    `channels` are those of an image, `outputs` how many logits a pixel gets. Raises InputError when the
    decoder does not read such an encoder.
    """
    kind, _, name = encoder.partition("-")
    if kind != DECODERS[decoder]:
        raise InputError(
            f"train.model: decoder {decoder} reads {DECODERS[decoder]}-*, not {encoder}; use one"
        )
    recipe, variant = Recipe(norm, activation, dropout), VARIANTS[name]
    transformer = Transformer(channels, size + -size % COARSEST_STRIDE, variant)
    convolutions = DoubleConvolutions(channels, width, recipe) if kind == "yvit" else None
    maps = [channels, *(convolutions.channels if convolutions else []), *[variant.hidden] * BLOCKS]
    strides = (PATCH, PATCH, PATCH, PATCH)
    network = Segmenter(
        Encoder(Maps(transformer, convolutions), maps, inputs=channels, strides=strides),
        UnetrDecoder(channels, variant.hidden, width, recipe, convolutional=convolutions is not None),
        nn.Conv2d(width, outputs, 1),
        outputs,
    )
    initialize(network, init)
    return network
