"""The Vision Transformer of the second paper, whose attention heads each have the full width.

Gonzalez Marfil 2022, "Transformer-based architecture for 2D semantic segmentation of mitochondria"; after
Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929. There is no class token, and no norm at the end.
Shapes: B batch, S image size (px), N patches of an image, C channels, D width of a token, M of the MLP.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftu.networks.common.contract import BLOCKS

PATCH = 16  # px
DROPOUT = 0.1


class Variant(NamedTuple):
    """A size of the transformer. `hidden` is D, `mlp` M; a fourth of the layers ends each block."""

    layers: int
    hidden: int
    mlp: int
    heads: int


VARIANTS = {
    "mini": Variant(layers=4, hidden=64, mlp=256, heads=4),
    "small": Variant(layers=8, hidden=128, mlp=512, heads=8),
    "base": Variant(layers=12, hidden=256, mlp=1024, heads=12),
}


class Attention(nn.Module):
    """(B, N, D) -> (B, N, D). Each head has D channels, not D / heads: Keras's key_dim = D.

    The paper's count of parameters is reached in no other way.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(hidden, 3 * heads * hidden)
        self.out = nn.Linear(heads * hidden, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.query_key_value(tokens).unflatten(2, (3, self.heads, -1))  # (B, N, 3, heads, D)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        rate = DROPOUT if self.training else 0.0
        return self.out(
            F.scaled_dot_product_attention(query, key, value, dropout_p=rate).transpose(1, 2).flatten(2)
        )


class Layer(nn.Module):
    """(B, N, D) -> (B, N, D): attention and MLP, each on the normed tokens and added to them.

    GELU follows both layers of the MLP, as in the paper's code.
    """

    def __init__(self, hidden: int, mlp: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(hidden, eps=1e-6), nn.LayerNorm(hidden, eps=1e-6)
        self.attention = Attention(hidden, heads)
        widths = ((hidden, mlp), (mlp, hidden))
        self.mlp = nn.Sequential(
            *(part for pair in widths for part in (nn.Linear(*pair), nn.GELU(), nn.Dropout(DROPOUT)))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm_1(tokens))
        return tokens + self.mlp(self.norm_2(tokens))


class Transformer(nn.Module):
    """(B, C, S, S) -> four maps (B, D, S/16, S/16): tokens after each fourth of the layers.

    It is built for images of `size` px, of which it learns the places of the patches, and takes no others.
    """

    def __init__(self, inputs: int, size: int, variant: Variant) -> None:
        super().__init__()
        self.size, self.every = size, variant.layers // BLOCKS
        self.embed = nn.Linear(PATCH**2 * inputs, variant.hidden)
        places = torch.empty((size // PATCH) ** 2, variant.hidden)
        self.places = nn.Parameter(places.uniform_(-0.05, 0.05))  # as Keras begins
        self.layers = nn.ModuleList(
            Layer(variant.hidden, variant.mlp, variant.heads) for _ in range(variant.layers)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raises ValueError for another image size."""
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"built for {self.size} x {self.size} px, got {tuple(images.shape[-2:])}")
        patches = F.pixel_unshuffle(images, PATCH)  # (B, C x 256, S/16, S/16)
        tokens, maps = self.embed(patches.flatten(2).transpose(1, 2)) + self.places, []
        for number, layer in enumerate(self.layers, start=1):
            tokens = layer(tokens)
            if number % self.every == 0:
                maps.append(tokens.transpose(1, 2).unflatten(2, patches.shape[-2:]).contiguous())
        return maps
