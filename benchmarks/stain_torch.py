"""ftu.preprocessing.stain in torch, step by step, to see what a GPU makes of it. In this benchmark alone.

The pixels drawn, the penalties and the order of the steps are those of stain and vahadane there. Sums are
taken in another order, and the tissue threshold is that of float LAB rather than OpenCV's 8-bit one: stains
agree to about 1e-3. Shapes: N pixels; pixels (N, 3) uint8, densities (3, N), stains (2, 3), amounts (2, N).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ftu.preprocessing import stain, vahadane

STEPS_PER_LOOK = 10  # between two looks at whether the stains still change: each look waits for the GPU


class Fit(NamedTuple):
    """Two stains (2, 3) and the 99th percentiles (2,) of their amounts."""

    matrix: Tensor
    max_concentration: Tensor


def fit(image: Tensor, *, seed: int) -> Fit:
    """Stains of an image (H, W, 3) uint8 on any device."""
    drawn = draw_pixels(image, seed)
    chosen = torch.nonzero(is_tissue(drawn))[:, 0]
    if len(chosen) > stain.LEARNING_PIXELS:
        places = torch.arange(stain.LEARNING_PIXELS, device=image.device)
        chosen = chosen[places * len(chosen) // stain.LEARNING_PIXELS]
    stains = learn_stains(optical_density(drawn[chosen]).double())
    amounts = concentrations(optical_density(drawn), stains.float(), vahadane.CONCENTRATION_PENALTY)
    return Fit(stains, torch.quantile(amounts, stain.MAX_PERCENTILE / 100, dim=1))


def normalize(image: Tensor, source: Fit, target: Fit) -> Tensor:
    """The image (H, W, 3) in the target's stains."""
    strength = target.max_concentration / source.max_concentration
    density = optical_density(image.reshape(-1, 3))
    amounts = concentrations(density, source.matrix.float(), vahadane.CONCENTRATION_PENALTY)
    levels = torch.exp(-(strength[:, None] * target.matrix.float()).T @ amounts) * 255
    return levels.T.to(torch.uint8).reshape(image.shape)


def draw_pixels(image: Tensor, seed: int) -> Tensor:
    """The pixels (N, 3) that `stain.draw_pixels` draws."""
    pixels = image.reshape(-1, 3)
    if len(pixels) <= stain.DRAWN_PIXELS:
        return pixels
    starts = np.arange(stain.DRAWN_PIXELS) * len(pixels) // stain.DRAWN_PIXELS
    within = np.random.default_rng(seed).integers(len(pixels) // stain.DRAWN_PIXELS, size=stain.DRAWN_PIXELS)
    return pixels[torch.from_numpy(starts + within).to(image.device)]


def is_tissue(pixels: Tensor) -> Tensor:
    """(N,) bool. The L of CIE LAB from sRGB: https://docs.opencv.org/4.x/de/d25/imgproc_color_conversions.html."""
    levels = pixels.float() / 255
    linear = torch.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    luminance = linear @ linear.new_tensor([0.212671, 0.715160, 0.072169])
    lightness = torch.where(luminance > 0.008856, 116 * luminance ** (1 / 3) - 16, 903.3 * luminance)
    return torch.round(lightness * 2.55) / 255 < stain.LUMINOSITY_THRESHOLD


def optical_density(pixels: Tensor) -> Tensor:
    table = torch.from_numpy(vahadane.DENSITY_OF_LEVEL).to(pixels.device)
    return table[pixels.T.int()]


def concentrations(density: Tensor, stains: Tensor, penalty: float) -> Tensor:
    overlap = stains[0] @ stains[1]
    alone = stains @ density - penalty
    together = (stains - overlap * stains.flip(0)) / (1 - overlap**2) @ density - penalty / (1 + overlap)
    return torch.minimum(alone, together).clamp_(min=0)


def first_guess(density: Tensor) -> Tensor:
    hue = density / density.norm(dim=0)
    hue = hue - hue.mean(dim=1, keepdim=True)
    position = torch.linalg.eigh(hue @ hue.T).eigenvectors[:, -1] @ hue
    middle = position.quantile(0.5)
    halves = torch.stack([position >= middle, position <= middle]).to(density)
    means = halves @ density.T / halves.sum(dim=1, keepdim=True)
    return means / means.norm(dim=1, keepdim=True)


def learn_stains(density: Tensor) -> Tensor:
    stains = first_guess(density)
    for step in range(vahadane.MAX_STEPS):
        better = one_step(density, stains)
        done = step % STEPS_PER_LOOK == 0 and (better - stains).abs().max() < vahadane.TOLERANCE
        stains = better
        if done:
            break
    return stains[torch.argsort(-stains[:, 0])]


def one_step(density: Tensor, stains: Tensor) -> Tensor:
    """Solve all amounts, then each stain given the other one."""
    amounts = concentrations(density, stains, vahadane.DICTIONARY_PENALTY)
    used, wanted = amounts @ amounts.T, amounts @ density.T
    for row in (0, 1):
        better = (stains[row] + (wanted[row] - used[row] @ stains) / used[row, row]).clamp(min=0)
        better = better / better.norm()
        stains = torch.stack([better, stains[1]] if row == 0 else [stains[0], better])
    return stains
