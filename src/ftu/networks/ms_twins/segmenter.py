"""MS-Twins: a Twins-SVT, fused skips, a decoder that mirrors it, and a prediction at each of four levels.

J. Xu, "MS-Twins: Multi-Scale Deep Self-Attention Networks for Medical Image Segmentation". There is no public
code: docs/ms-twins.md says what the paper states, and what is filled in here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ftu.networks.common.contract import Segmenter
from ftu.networks.ms_twins.decoder import Cascade, MsTwinsDecoder
from ftu.networks.ms_twins.twins import ENCODERS, TwinsEncoder

DECODERS = ("mstwins",)
FUSED = {"ms_fif": True, "none": False}  # train.model.fuse -> whether skips are mixtures
LEVELS = {"residual": 4, "none": 1}  # train.model.cascade -> how many of the decoder's maps have a head


class Architecture(BaseModel):
    """What of model.json builds a network."""

    model_config = ConfigDict(extra="forbid", strict=True)
    family: Literal["ms_twins"]
    encoder: Annotated[str, Field(pattern=f"^({'|'.join(ENCODERS)})$")]
    decoder: Literal["mstwins"]
    fuse: Literal["ms_fif", "none"]
    cascade: Literal["residual", "none"]
    drop_path: Annotated[float, Field(ge=0, lt=1)]
    size: Annotated[int, Field(ge=1, le=2**15)]  # px
    channels: Literal[1, 3] = 3  # of an image
    outputs: Annotated[int, Field(ge=1, le=255)] = 1


def takes_one_size(architecture: Mapping[str, Any]) -> bool:  # noqa: ARG001
    """Images of any size are mirrored to a multiple of the windows'."""
    return False


def build_segmenter(
    *,
    encoder: str,
    decoder: str,  # noqa: ARG001 # there is one
    fuse: str,
    cascade: str,
    drop_path: float,
    size: int,
    channels: int = 3,
    outputs: int = 1,
) -> Segmenter:
    """The network by name, at random, with windows that suit images of `size` px: first_weights loads the
    encoder's.

    `drop_path` is the encoder's rate of stochastic depth, `channels` those of an image, `outputs` how many
    logits a pixel gets. The decoder's layers begin as timm's Twins does.
    """
    net = TwinsEncoder(encoder, size, drop_path, channels)
    body = MsTwinsDecoder(net, fusion=FUSED[fuse])
    body.apply(net.net.model._init_weights)  # pyright: ignore
    head = Cascade(net.channels[::-1][-LEVELS[cascade] :], outputs)
    return Segmenter(net, body, head, outputs)
