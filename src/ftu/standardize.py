"""Pixels as the networks take them. Shapes: S image size (px)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# The statistics of ImageNet, which all pretrained encoders here were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def image_tensor(image: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(S, S, 3) uint8 -> (3, S, S) float32, standardised per channel."""
    scaled = (image.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 0)))
