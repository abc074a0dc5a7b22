"""What is scored: two label maps of one image, or of the slices of one volume.

A label map is (H, W) or (Z, H, W) uint8: 0 is background, the classes are 1..C.
"""

import numpy as np


def check(prediction: np.ndarray, truth: np.ndarray, *, classes: int) -> None:
    """Raise ValueError unless both are label maps of one shape with no label above `classes`."""
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction is {prediction.shape} but truth is {truth.shape}")
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.dtype != np.uint8 or labels.ndim not in (2, 3):
            raise ValueError(
                f"{name} is {labels.dtype} of shape {labels.shape}, not (Z, H, W) or (H, W) uint8"
            )
        if (highest := labels.max(initial=0)) > classes:
            raise ValueError(f"{name} holds the label {highest}, but the classes are 1 to {classes}")
