"""CoaT at any image size, and with a fifth scale. Shapes: B batch, P padded image size (px).

Layers and weights are timm's. timm's own forward pass takes only the size that the network was built for, to
know the rows and columns of patches; here the maps tell.
Sources: Xu et al. 2021, https://arxiv.org/abs/2104.06399; timm.models.coat.
"""

import timm
from timm.models.coat import CoaT, insert_cls, remove_cls
from torch import Tensor

from ftu.networks.common.contract import BLOCKS, Encoder, Features
from ftu.networks.common.first_weights import EXTENDED

# What a scale is made of; in timm its number, from 1, follows the name.
SCALE = ("patch_embed", "cls_token", "cpe", "crpe", "serial_blocks")


class CoatEncoder(Encoder):
    """timm's CoaT of four scales, or of five: the fifth serial block reads the fourth's end.

    Parallel blocks join scales 2 to 4, so the maps of blocks 2 to 4 depend on all four serial blocks. The end
    of a serial block depends on it and those before it alone.
    """

    def forward(self, images: Tensor) -> Features:
        """(B, C, P, P), P a multiple of the stride -> maps behind the parallel blocks, and serial ends."""
        net: CoaT = self.net.model  # pyright: ignore[reportAssignmentType]
        tokens, sizes, serial, x = [], [], [], images
        for number in range(1, len(self.channels) + 1):
            embed, token, _, _, blocks = (getattr(net, f"{part}{number}") for part in SCALE)
            x = embed.proj(x)
            sizes.append(tuple(x.shape[-2:]))
            x = insert_cls(embed.norm(x.flatten(2).transpose(1, 2)), token)
            for block in blocks:
                x = block(x, size=sizes[-1])
            tokens.append(x)
            x = as_map(x, sizes[-1])
            serial.append(x)
        for block in net.parallel_blocks or ():
            encodings = (net.cpe2, net.cpe3, net.cpe4)
            joined = zip(encodings, tokens[1:BLOCKS], sizes[1:BLOCKS], strict=True)
            placed = [encode(each, size) for encode, each, size in joined]
            tokens[:BLOCKS] = block(tokens[0], *placed, sizes=sizes[:BLOCKS])
        maps = [as_map(each, size) for each, size in zip(tokens, sizes, strict=True)]
        return Features(maps, maps[self.blocks], serial[self.blocks])


def as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1 + h * w, C) without its class token, as (B, C, h, w)."""
    return remove_cls(tokens).transpose(1, 2).unflatten(2, size).contiguous()


def coat(name: str, size: int, output_stride: int, drop_path: float, inputs: int) -> Encoder:  # noqa: ARG001
    """timm's CoaT for any size; its maps have strides 4 to 32, and 64 where `name` has a fifth scale.

    The fifth scale is built as the fourth is, at random: both halve a map of equal width.
    """
    base = EXTENDED.get(name, name)
    options = {"features_only": True, "drop_path_rate": drop_path, "in_chans": inputs}
    net = timm.create_model(base, **options)
    channels = list(net.feature_info.channels())  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    if base == name:
        return CoatEncoder(net, channels, inputs=inputs)
    other = timm.create_model(base, **options)
    for part in SCALE:
        setattr(net.model, f"{part}5", getattr(other.model, f"{part}4"))  # pyright: ignore[reportArgumentType]
    return CoatEncoder(net, [*channels, channels[-1]], coarser=1, inputs=inputs)
