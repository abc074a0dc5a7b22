"""Augmentation: the one module that knows albumentations (2.0.8, the last MIT release).

The set is the paper's (section 5), as in the authors' code: crop, flips, transpose, quarter turns,
rotation with scaling; noise; hue, saturation, value; brightness and contrast; elastic and grid distortion.
"""

import hashlib
import os
import random
import warnings
from collections.abc import Callable, Sequence

import numpy as np

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version
import albumentations as A

MIRROR = 4  # OpenCV's code
NEAREST_EXACT = 6  # OpenCV's code; its plain nearest shifts a mask against its image by up to half a pixel

Augmentation = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def augmentation(
    size: int,
    *,
    windows: bool,
    flip: float,
    crop: float,
    crop_scale: float,
    rotate: float,
    rotate_degrees: float,
    rotate_scale: Sequence[float],
    contrast: float,
    contrast_limit: float,
    hue: float,
    hue_limit: float,
    noise: float,
    noise_std: Sequence[float],
    elastic: float,
    grid: float,
) -> Augmentation:
    """A function (image, mask, seed) -> (image, mask) on (size, size, 3) uint8 and (size, size) uint8.

    With `windows` it takes images of any size and first draws a window of them, evenly over the
    image; what is smaller is mirrored.
    `flip`, `crop`, `rotate`, `contrast`, `hue`, `noise`, `elastic` and `grid` are probabilities;
    `contrast_limit`, `hue_limit` and `noise_std` are shares of the full range; `crop_scale` is the smallest
    share of the area that a crop keeps. The result depends on the arguments alone: never on other samples,
    loader workers or time.
    """
    window = [A.PadIfNeeded(size, size, border_mode=MIRROR), A.RandomCrop(size, size)]
    steps = [
        *(window if windows else []),
        A.RandomResizedCrop(
            (size, size), scale=(crop_scale, 1.0), ratio=(0.9, 1.1), mask_interpolation=NEAREST_EXACT, p=crop
        ),
        A.HorizontalFlip(p=flip),
        A.VerticalFlip(p=flip),
        A.Transpose(p=flip),
        A.RandomRotate90(p=flip),
        A.Affine(
            rotate=(-rotate_degrees, rotate_degrees),
            scale=(rotate_scale[0], rotate_scale[1]),
            border_mode=MIRROR,
            p=rotate,
        ),
        A.ElasticTransform(
            alpha=50, sigma=8, approximate=True, same_dxdy=True, border_mode=MIRROR, p=elastic
        ),
        A.GridDistortion(border_mode=MIRROR, p=grid),
        A.RandomBrightnessContrast(contrast_limit, contrast_limit, p=contrast),
        A.HueSaturationValue(hue_limit * 180, hue_limit * 255, hue_limit * 255, p=hue),
        A.GaussNoise(std_range=(noise_std[0], noise_std[1]), p=noise),
    ]
    compose = A.Compose(steps)

    def apply(image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        # One stream for all steps: set_random_seed would start each step at the same draw, so that steps of
        # equal probability are all taken or none.
        compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = compose(image=image, mask=mask)
        return result["image"], result["mask"]

    return apply


def strict_augmentation(size: int, *, windows: bool, **settings: float | Sequence[float]) -> Augmentation:
    """`augmentation`, with albumentations' warnings (unknown or odd arguments) as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return augmentation(size, windows=windows, **settings)  # pyright: ignore[reportArgumentType]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """The seed of one sample in one epoch, in 0..2^32-1; the same in every process and on every machine."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
