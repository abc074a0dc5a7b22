"""The part of an image that a sample shows, where images are larger than what the network sees."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

NEAREST_EXACT = 6  # OpenCV's code; its plain nearest shifts a mask against its image by up to half a pixel


def random_window(
    image: np.ndarray,
    mask: np.ndarray,
    side: int,
    rng: np.random.Generator,
    *,
    scales: Sequence[float],
    foreground: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """A square of an image (H, W, C) uint8 and its mask (H, W), each at (side, side); what is smaller is
    mirrored.

    Its own side is `side` times a factor from `scales` (smallest, largest), log-uniformly drawn: above 1 the
    sample shows more of the image, smaller. Places are drawn evenly over the image; with `foreground` every
    second one, on average, so that it holds a foreground pixel, drawn evenly, where there is any.
    """
    own = max(1, round(side * math.exp(rng.uniform(*np.log(scales)))))
    image, mask = (_mirrored(array, own) for array in (image, mask))
    inside = np.array(mask.shape) - own
    top, left = rng.integers(inside + 1)
    if foreground and rng.random() < 0.5 and mask.any():
        place = np.flatnonzero(mask)[rng.integers(np.count_nonzero(mask))]
        pixel = np.array(np.unravel_index(place, mask.shape))
        low, high = np.maximum(pixel - own + 1, 0), np.minimum(pixel, inside)
        top, left = rng.integers(low, high + 1)
    image, mask = (array[top : top + own, left : left + own] for array in (image, mask))
    if own == side:
        return image, mask
    smooth = cv2.INTER_AREA if own > side else cv2.INTER_LINEAR
    return (
        cv2.resize(image, (side, side), interpolation=smooth).reshape(side, side, -1),
        cv2.resize(mask, (side, side), interpolation=NEAREST_EXACT),
    )


def _mirrored(array: np.ndarray, side: int) -> np.ndarray:
    """The array, at least `side` px high and wide: mirrored at its borders, as far on either side."""
    missing = [max(side - length, 0) for length in array.shape[:2]]
    if not any(missing):
        return array
    around = [(lack // 2, lack - lack // 2) for lack in missing]
    return np.pad(array, around + [(0, 0)] * (array.ndim - 2), mode="reflect")
