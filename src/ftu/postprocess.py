"""From probabilities to masks: the one path that evaluate and submit both take."""

from collections.abc import Sequence

import cv2
import numpy as np


def mean_probability(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of (S, S) float32 maps of several models."""
    return np.asarray(np.mean(np.stack(probabilities), axis=0, dtype=np.float32))


def native_mask(probability: np.ndarray, *, height: int, width: int, threshold: float) -> np.ndarray:
    """Resize a probability map bilinearly to native size, then cut it: (H, W) uint8, 1 above `threshold`.

    Resizing comes first because a mask cut at low resolution has stairs for an outline.
    """
    native = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
    return (native > threshold).astype(np.uint8)
