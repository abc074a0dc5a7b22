"""Pixels as the networks take them. Shapes: C channels, S image size (px), B images, h, w of any size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ftu.errors import InputError
from ftu.files import png

# The statistics of ImageNet, which most encoders were trained with: first_weights.statistics says which not.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def of_files(paths: Sequence[Path]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all pixels of images, as shares of the full range.

    Raises InputError where all pixels of a channel are alike: there would be nothing to divide by.
    """
    counts = np.sum([_histogram(png.read_image(path)) for path in paths], axis=0)
    levels = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    std = np.sqrt(np.maximum(counts @ levels**2 / total - mean**2, 0))
    if (std == 0).any():
        raise InputError(
            f"train.standardize dataset: all pixels of {len(paths)} images are alike ({paths[0]} the first); "
            "use unit"
        )
    return mean.tolist(), std.tolist()


def _histogram(image: np.ndarray) -> np.ndarray:
    """(C, 256) How often each level occurs in an (H, W, C) uint8 image."""
    return np.stack([np.bincount(band.ravel(), minlength=256) for band in np.moveaxis(image, -1, 0)])


def image_tensor(image: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(S, S, C) uint8 -> (C, S, S) float32, standardised per channel."""
    scaled = (image.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 0)))


def image_batch(
    images: Tensor, mean: Sequence[float] | Tensor = MEAN, std: Sequence[float] | Tensor = STD
) -> Tensor:
    """(B, h, w, C) uint8 -> (B, C, h, w) float32 on the same device: `image_tensor` of each, to the bit."""
    scaled = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    centre, spread = (torch.as_tensor(values).to(scaled)[:, None, None] for values in (mean, std))
    return scaled.div_(255).sub_(centre).div_(spread)
