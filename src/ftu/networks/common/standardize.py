"""Pixels as the networks take them. Shapes: S image size (px), B images, h, w of any size."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# The statistics of ImageNet, which most encoders were trained with: first_weights.statistics says which not.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def image_tensor(image: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(S, S, 3) uint8 -> (3, S, S) float32, standardised per channel."""
    scaled = (image.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 0)))


def image_batch(
    images: Tensor, mean: Sequence[float] | Tensor = MEAN, std: Sequence[float] | Tensor = STD
) -> Tensor:
    """(B, h, w, 3) uint8 -> (B, 3, h, w) float32 on the same device: `image_tensor` of each, to the bit."""
    scaled = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    centre, spread = (torch.as_tensor(values).to(scaled)[:, None, None] for values in (mean, std))
    return scaled.div_(255).sub_(centre).div_(spread)
