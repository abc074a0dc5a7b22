"""Changes of colour that multiply, as in the authors' code of the switched auxiliary loss.

A factor keeps white paper white in hue and leaves black black, where an added amount clips pale tissue.
Images are (H, W, C) uint8, RGB or grey; no function writes into its input.
"""

from collections.abc import Callable

import cv2
import numpy as np

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def gain(image: np.ndarray, factor: float) -> np.ndarray:
    """Every value times `factor`, rounded, at most 255."""
    return cv2.convertScaleAbs(image, alpha=factor).reshape(image.shape)  # OpenCV drops a single channel


def hue_saturation(image: np.ndarray, hue: float, saturation: float) -> np.ndarray:
    """Hue (an angle from red, 0 to 360 degrees) and saturation times their factors; each pixel's value, the
    largest of its three, is what it was."""
    planes = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    planes[..., 0] = planes[..., 0] * hue % 360
    planes[..., 1] = np.minimum(planes[..., 1] * saturation, 1)
    return np.rint(cv2.cvtColor(planes, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def noise(image: np.ndarray, limit: float, rng: np.random.Generator) -> np.ndarray:
    """A uniform draw of +-`limit` (a share of the full range) for each pixel, added to all its channels."""
    amounts = rng.uniform(-255 * limit, 255 * limit, image.shape[:2]).astype(np.float32)
    return np.rint(np.clip(image + amounts[..., None], 0, 255)).astype(np.uint8)


def picks(
    count: int, *, gain_limit: float, hue_limit: float, noise_limit: float, channels: int = 3
) -> Change:
    """A function (image, rng) -> image: `count` picks with replacement out of nothing, noise, gain, and hue
    with saturation, which grey lacks, each as likely as the others; factors are evenly drawn in 1 +- their
    limit."""

    def factor(limit: float, rng: np.random.Generator) -> float:
        return float(rng.uniform(1 - limit, 1 + limit))

    changes: list[Change] = [
        lambda image, _: image,
        lambda image, rng: noise(image, noise_limit, rng),
        lambda image, rng: gain(image, factor(gain_limit, rng)),
    ]
    if channels == 3:
        changes.append(
            lambda image, rng: hue_saturation(image, factor(hue_limit, rng), factor(hue_limit, rng))
        )

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for number in rng.integers(len(changes), size=count):
            image = changes[number](image, rng)
        return image

    return change
