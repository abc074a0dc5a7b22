"""Vahadane stain normalisation of one image: ours and staintools.

PYTHONPATH=src python benchmarks/stain.py

Both fit the source and repaint it; the target was fitted before. Ours runs on one core; staintools fits for
one second by the clock and then uses every core. The images mirror and enlarge scikit-image's real tissue.
"""

from collections.abc import Callable

import cv2
import numpy as np
from skimage import data
from staintools import StainNormalizer

from ftu import stain
from side_by_side import medians

REPEATS = {768: 7, 3000: 3}  # by the side of the image


def draw_tissue(side: int) -> np.ndarray:
    """(side, side, 3): scikit-image's (512, 512, 3) and its mirror images, nothing averaged."""
    image = data.immunohistochemistry()
    missing = side - len(image)
    return np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="symmetric")


def candidates(image: np.ndarray, target: np.ndarray) -> dict[str, Callable[[], object]]:
    target_fit, staintools = stain.fit(target, seed=0), StainNormalizer(method="vahadane")
    staintools.fit(target.copy())
    return {
        "ours": lambda: stain.normalize(image, stain.fit(image, seed=0), target_fit),
        "staintools": lambda: staintools.transform(image.copy()),
    }


def main() -> None:
    cv2.setNumThreads(1)
    target = data.immunohistochemistry()[:, 256:]
    for side, repeats in REPEATS.items():
        seconds = medians(candidates(draw_tissue(side), target), repeats)
        print(f"image of {side} x {side}, medians of {repeats} alternating repeats")
        for name, value in seconds.items():
            print(f"{name:12s} {value:7.3f} s   {value / seconds['ours']:6.1f} x ours")


if __name__ == "__main__":
    main()
