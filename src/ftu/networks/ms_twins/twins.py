"""timm's Twins-SVT as an encoder, and the stages that mirror it in a decoder.

Attention is within windows, and then to a pooled map (Chu et al. 2021, https://arxiv.org/abs/2104.13840).
timm fills windows at the border with zeros, which attention would spread: here images are mirrored until none
is needed. Shapes: B batch, S image size (px), P padded, C channels of an image, F of a map (h, w).
"""

from functools import partial

import timm
import torch
from timm.models.twins import Block, GlobalSubSampleAttn, PosConv
from torch import Tensor, nn

from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.contract import Encoder

ENCODERS = ("tu-twins_svt_small", "tu-twins_svt_base")
WINDOWS = (7, 8)  # px of a map; the first is the one that ImageNet's weights were trained with
MLP_RATIO = 4  # of the encoders in ENCODERS


class TwinsEncoder(Encoder):
    """timm's network, built as `name`, with windows that suit images of `size` px.

    Windows have no weights: any of WINDOWS has the same layout. Images of other sizes keep these windows, and
    are mirrored to a multiple of theirs at the coarsest stride.
    """

    def __init__(self, name: str, size: int, drop_path: float, inputs: int) -> None:
        self.window = window_of(size)
        net = timm.create_model(
            name.removeprefix("tu-"),
            features_only=True,
            in_chans=inputs,
            drop_path_rate=drop_path,
            wss=(self.window,) * 4,
        )
        super().__init__(net, list(net.feature_info.channels()), inputs=inputs)  # pyright: ignore
        self.stride = COARSEST_STRIDE * self.window

    def pad(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, C, P, P), mirrored at the right and at the bottom."""
        return mirrored(images, self.stride)

    def stages(self) -> list["Stage"]:
        """A new stage for each map, finest first: of its width, heads, window and pooling."""
        blocks: nn.ModuleList = self.net.model.blocks  # pyright: ignore
        pooled = [stage[1].attn for stage in blocks]  # pyright: ignore # the second of a stage pools
        return [Stage(attention, self.window) for attention in pooled]  # pyright: ignore[reportArgumentType]


class Stage(nn.Module):
    """(B, F, h, w) -> the same: attention within windows, the places of pixels, attention to a pooled map.

    It is a stage of Twins, of two layers, without the embedding of patches. `like` is such an attention of
    the encoder's stage that it mirrors.
    """

    def __init__(self, like: GlobalSubSampleAttn, window: int) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=1e-6)
        layer = partial(Block, like.dim, like.num_heads, mlp_ratio=MLP_RATIO, norm_layer=norm)  # pyright: ignore
        self.local, self.pooled = layer(ws=window), layer(ws=1, sr_ratio=like.sr_ratio)
        self.places = PosConv(like.dim, like.dim)

    def forward(self, maps: Tensor) -> Tensor:
        size = (maps.shape[2], maps.shape[3])
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = self.pooled(self.places(self.local(tokens, size), size), size)
        return tokens.transpose(1, 2).unflatten(2, size).contiguous()


def window_of(size: int) -> int:
    """The one of WINDOWS that adds the fewest px to images of `size`: none to multiples of 224 and of 256."""
    return min(WINDOWS, key=lambda window: -size % (COARSEST_STRIDE * window))


def mirrored(images: Tensor, side: int) -> Tensor:
    """(B, C, H, W), continued to multiples of `side` at the bottom and at the right, as in mirrors: its own
    border is there once, and what is too narrow is mirrored again and again."""
    for axis in (2, 3):
        length = images.shape[axis]
        if lack := -length % side:
            period = max(2 * (length - 1), 1)
            places = torch.arange(length + lack, device=images.device) % period
            images = images.index_select(axis, torch.minimum(places, period - places))
    return images
