"""The competition's metric and the baselines that a model has to beat."""

import cv2
import numpy as np


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice = 2|X and Y| / (|X| + |Y|) of two (H, W) masks of 0 and 1; two empty masks give 1.

    Source: https://www.kaggle.com/competitions/hubmap-organ-segmentation/overview/evaluation
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape} but truth is {truth.shape}")
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else 1.0


def otsu_mask(image: np.ndarray) -> np.ndarray:
    """Foreground by colour alone: Otsu's threshold on the optical density of an (H, W, 3) uint8 image.

    Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076. Denser than the threshold is 1.
    """
    density = -np.log((image.astype(np.float32) + 1) / 256).sum(axis=-1)
    scaled = cv2.normalize(density, np.empty_like(density), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def baseline_dice(image: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Dice of three predictions that nobody trained: nothing, everything, and Otsu's threshold."""
    return {
        "nothing": dice(np.zeros_like(truth), truth),
        "everything": dice(np.ones_like(truth), truth),
        "otsu": dice(otsu_mask(image), truth),
    }
