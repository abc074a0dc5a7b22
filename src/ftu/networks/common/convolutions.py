"""Double convolutions, and the encoder made of them: the parts that U-Net, UNETR and YNETR have in common.

What stands between two convolutions is chosen: the axes along which the second paper takes its networks apart
(Gonzalez Marfil 2022, "Transformer-based architecture for 2D semantic segmentation of mitochondria", Table
5.1). Shapes: B batch, S image size (px), C channels of an image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

RATES = (0.1, 0.1, 0.2, 0.2, 0.3)  # of dropout, by level: strides 1, 2, 4, 8, 16

# Keras's settings, which torch's own are not: there the momentum is 0.99 of the old value.
NORMS = {
    "none": lambda channels: nn.Identity(),  # noqa: ARG005
    "batch": lambda channels: nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01),
}
ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU}
DROPOUTS = {"none": lambda rate: nn.Identity(), "plain": nn.Dropout, "spatial": nn.Dropout2d}  # noqa: ARG005


@dataclass(frozen=True)
class Recipe:
    """What a layer has besides its convolution: a key of NORMS, one of ACTIVATIONS, one of DROPOUTS."""

    norm: str
    activation: str
    dropout: str

    def single(self, inputs: int, outputs: int, rate: float) -> nn.Sequential:
        """(B, inputs, h, w) -> (B, outputs, h, w): 3x3 convolution, norm, activation, dropout of `rate`."""
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            NORMS[self.norm](outputs),
            ACTIVATIONS[self.activation](),
            DROPOUTS[self.dropout](rate),
        )

    def maps_dropout(self, rate: float) -> nn.Module:
        """Dropout of whole maps, where there is dropout at all."""
        return nn.Identity() if self.dropout == "none" else nn.Dropout2d(rate)


class DoubleConvolution(nn.Module):
    """(B, inputs, h, w) -> (B, outputs, h, w) in two layers, with dropout between them."""

    def __init__(self, inputs: int, outputs: int, recipe: Recipe, rate: float) -> None:
        super().__init__()
        self.first, self.second = recipe.single(inputs, outputs, rate), recipe.single(outputs, outputs, 0.0)

    def forward(self, maps: Tensor) -> Tensor:
        return self.second(self.first(maps))


class DoubleConvolutions(nn.Module):
    """The encoder of U-Net: a map at each of strides 1, 2, 4, 8, 16, of width, 2 width, .. 16 width channels.

    Source: Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597.
    """

    def __init__(self, inputs: int, width: int, recipe: Recipe) -> None:
        super().__init__()
        self.channels = [width << level for level in range(len(RATES))]
        read = [inputs, *self.channels]
        self.levels = nn.ModuleList(
            DoubleConvolution(before, after, recipe, rate)
            for before, after, rate in zip(read, self.channels, RATES, strict=False)
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, S, S) -> five maps, finest first."""
        maps = [self.levels[0](images)]
        for level in self.levels[1:]:
            maps.append(level(self.pool(maps[-1])))
        return maps


def enlargement(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """(B, inputs, h, w) -> (B, outputs, 2 h, 2 w)."""
    return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)


def he(weight: Tensor) -> None:
    """A normal distribution cut off at two of its deviations, of variance 2 / inputs, as Keras draws it.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852.
    """
    cut_off = 0.87962566103423978  # the deviation of a standard normal distribution, cut off at 2
    std = (2 / weight[0].numel()) ** 0.5 / cut_off
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


INITS = {"he": he, "glorot": nn.init.xavier_uniform_}  # first weights of 3x3 convolutions


@torch.no_grad()
def initialize(network: nn.Module, init: str) -> None:
    """First weights: of 3x3 convolutions by INITS[init], of all other layers Glorot's; biases are 0.

    Source: Glorot and Bengio 2010, http://proceedings.mlr.press/v9/glorot10a.html.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            wide = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
            INITS[init if wide else "glorot"](module.weight)
            nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType] # all have one
