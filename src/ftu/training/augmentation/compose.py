"""Augmentation: the one module that knows albumentations (2.0.8, the last MIT release).

The set is the first paper's (section 5), as in the authors' code: crop, flips, transpose, quarter turns,
rotation with scaling; changes of colour; elastic or grid distortion. What each does at its ends:
docs/images/augmentation.png. The third paper's set has scaling alone, low resolution, gamma and blur besides,
and an order of its own.
"""

import hashlib
import math
import os
import random
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from ftu.preprocessing import histograms
from ftu.preprocessing.dyes import DYES, recolour
from ftu.preprocessing.stain import StainFit
from ftu.training.augmentation.colour import picks
from ftu.training.augmentation.window import NEAREST_EXACT, random_window

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version
import albumentations as A

MIRROR = 4  # OpenCV's code
MOST_GAIN = 3.0  # of stains that lie close together; beyond, recolouring shows noise (docs/stain.md)
# Shares of the image's side. The authors' code, at 768 px: alpha 3 x width and sigma 0.07 x width move a
# pixel by a standard deviation of 7 px along each axis, and the lines of the grid lie up to 0.05 of their
# distance apart.
ELASTIC_SHIFT, ELASTIC_SIGMA, GRID_LIMIT = 0.0091, 0.07, 0.05


class Augmentation(Protocol):
    """A function of image, mask, seed and the image's own stains, where they are known."""

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int, own: StainFit | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...


class RotateScale(A.Affine):
    """Rotation and one factor of scaling for both axes, drawn log-uniformly: x2 is as likely as x1/2."""

    @staticmethod
    def _get_scale(
        scale: dict[str, Any],
        keep_ratio: bool,  # noqa: ARG004
        balanced_scale: bool,  # noqa: ARG004
        random_state: random.Random,
    ) -> dict[str, float]:
        low, high = scale["x"]
        factor = math.exp(random_state.uniform(math.log(low), math.log(high)))
        return {"x": factor, "y": factor}


def augmentation(
    side: int,
    *,
    windows: bool,
    order: Sequence[str],
    flip: float,
    turns: bool,
    crop: float,
    crop_scale: float,
    scale_window: Sequence[float],
    rotate: float,
    rotate_degrees: float,
    rotate_scale: Sequence[float],
    distort: float,
    colour: str,
    colour_picks: int,
    contrast: float,
    contrast_limit: float,
    hue: float,
    hue_limit: float,
    noise: float,
    noise_limit: float,
    noise_std: Sequence[float],
    stain: float = 0.0,
    match: float = 0.0,
    levels: np.ndarray | None = None,
    foreground: bool = False,
    channels: int = 3,
    **others: Any,  # noqa: ANN401
) -> Augmentation:
    """A function (image, mask, seed, own) -> (image, mask) on (side, side, C) uint8 and (side, side) uint8.

    `channels` is C, 3 (RGB) or 1 (grey, for which `hue` and `stain` have to be 0).

    With `windows` it takes images of any size and first draws a window of them (`random_window`). `own` are
    the image's stains: with probability `stain` they are swapped for one of DYES; None: it keeps them. With
    probability `match` the image gets the grey levels of a histogram, `levels` (C, 256).
    `flip`, `crop`, `rotate`, `distort`, `contrast`, `hue` and `noise` are probabilities; the limits and
    `noise_std` are shares of the full range; `crop_scale` is the smallest share of the area that a crop
    keeps; with `turns` a flip may also be a transpose or quarter turns. `others` are those of `rarer`, and
    `order` is that of the steps, by their names. The result depends on the arguments alone: never on other
    samples, loader workers or time.
    """
    sigma = ELASTIC_SIGMA * side
    # uniform noise in +-1 blurred by sigma has a standard deviation of 1 / sqrt(3) / (2 sqrt(pi) sigma)
    alpha = ELASTIC_SHIFT * side * math.sqrt(3) * 2 * math.sqrt(math.pi) * sigma
    steps = {
        "crop": [
            A.RandomResizedCrop(
                (side, side),
                scale=(crop_scale, 1.0),
                ratio=(0.9, 1.1),
                mask_interpolation=NEAREST_EXACT,
                p=crop,
            )
        ],
        "flip": [
            *(A.HorizontalFlip(p=flip), A.VerticalFlip(p=flip)),
            *((A.Transpose(p=flip), A.RandomRotate90(p=flip)) if turns else ()),
        ],
        "rotate": [rotate_scaled(rotate, rotate_degrees, rotate_scale)],
        "distort": [
            A.OneOf(
                [
                    A.ElasticTransform(alpha, sigma, noise_distribution="uniform", border_mode=MIRROR, p=1.0),
                    A.GridDistortion(distort_limit=GRID_LIMIT, border_mode=MIRROR, p=1.0),
                ],
                p=distort,
            )
        ],
    }
    additive = {
        "contrast": [A.RandomBrightnessContrast(contrast_limit, contrast_limit, p=contrast)],
        "hue": [A.HueSaturationValue(hue_limit * 180, hue_limit * 255, hue_limit * 255, p=hue)],
        "noise": [A.GaussNoise(std_range=(noise_std[0], noise_std[1]), p=noise)],
    }
    steps |= rarer(**others) | (additive if colour == "additive" else {name: [] for name in additive})
    limits = {"gain_limit": contrast_limit, "hue_limit": hue_limit, "noise_limit": noise_limit}
    multiply = picks(colour_picks, **limits, channels=channels)
    compose = A.Compose([step for name in order for step in steps[name]])

    def apply(
        image: np.ndarray, mask: np.ndarray, seed: int, own: StainFit | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        if windows:
            image, mask = random_window(image, mask, side, rng, scales=scale_window, foreground=foreground)
        # One stream for all steps: set_random_seed would start each step at the same draw, so that steps of
        # equal probability are all taken or none.
        compose.set_random_state(rng, random.Random(seed))
        result = compose(image=image, mask=mask)
        image, mask = result["image"], result["mask"]
        if match and rng.random() < match:
            image = histograms.match(image, levels)  # pyright: ignore[reportArgumentType]
        if stain and rng.random() < stain:
            image = recolour(image, own, list(DYES)[rng.integers(len(DYES))], most_gain=MOST_GAIN)
        return (multiply(image, rng) if colour == "multiplicative" else image), mask

    return apply


def rotate_scaled(p: float, degrees: float, scale: Sequence[float]) -> RotateScale:
    low, high = scale
    return RotateScale(rotate=(-degrees, degrees), scale=(low, high), border_mode=MIRROR, p=p)


def rarer(
    *,
    scale: float,
    scale_range: Sequence[float],
    low_resolution: float,
    low_resolution_scale: Sequence[float],
    gamma: float,
    gamma_range: Sequence[float],
    blur: float,
    blur_sigma: Sequence[float],
) -> dict[str, list[A.BasicTransform]]:
    """Steps by name, each with its probability and range: scaling alone, a loss of resolution (shrunk by the
    nearest pixel, enlarged again), values to a power, Gaussian blur (px)."""
    fewer = {"downscale": cv2.INTER_NEAREST, "upscale": cv2.INTER_CUBIC}
    least, most = (100 * value for value in gamma_range)
    return {
        "scale": [rotate_scaled(scale, 0.0, scale_range)],
        "low_resolution": [A.Downscale(tuple(low_resolution_scale), fewer, p=low_resolution)],  # pyright: ignore
        "gamma": [A.RandomGamma((least, most), p=gamma)],
        "blur": [A.GaussianBlur(sigma_limit=tuple(blur_sigma), p=blur)],  # pyright: ignore
    }


def strict_augmentation(side: int, *, windows: bool, **settings: Any) -> Augmentation:  # noqa: ANN401
    """`augmentation`, with albumentations' warnings (unknown or odd arguments) as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return augmentation(side, windows=windows, **settings)


def sample_seed(seed: int, epoch: int, index: int, again: int = 0) -> int:
    """The seed of one sample in one epoch, in 0..2^32-1; the same in every process and on every machine.

    `again` counts how often the image was drawn before in that epoch.
    """
    text = f"{seed}/{epoch}/{index}" + (f"/{again}" if again else "")
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
