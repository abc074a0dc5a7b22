"""Grey levels brought to those of other images: histogram matching, and contrast that is evened out.

Images are (H, W, C) uint8, each channel by itself; a histogram is (C, 256), the share of pixels at each
level. No function writes into its input. Level 0 may be padding, which is no tissue: it stays 0, and its
share is estimated from its neighbours.

Source: Gonzalez Marfil 2022, "Transformer-based architecture for 2D semantic segmentation of mitochondria",
domain adaptation; matching: Gonzalez and Woods, Digital Image Processing, 3.3.2. His code merges the two
highest levels and reads the target between levels that it does not have; both are mended here, so that an
image matched to itself is itself.
"""

from collections.abc import Iterable

import cv2
import numpy as np

LEVELS = 256
CLIP, TILES = 2.0, 8  # OpenCV's own; the paper gives no numbers


def histogram(image: np.ndarray) -> np.ndarray:
    """(C, 256) float64, each row summing to 1."""
    channels = np.moveaxis(image, -1, 0).reshape(image.shape[-1], -1)
    return np.stack([np.bincount(channel, minlength=LEVELS) for channel in channels]) / channels.shape[1]


def mean_histogram(images: Iterable[np.ndarray]) -> np.ndarray:
    """(C, 256): the mean of the images' histograms, each counting the same whatever its size."""
    return np.mean([histogram(image) for image in images], axis=0)


def match(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The image with the grey levels of `target`, a histogram (C, 256), level by level in the same order.

    A channel of one level has no order, and stays as it is.
    """
    own = histogram(image)
    tables = [_table(*levels) for levels in zip(own, target, strict=True)]
    return np.stack([table[image[..., place]] for place, table in enumerate(tables)], axis=-1)


def clahe(image: np.ndarray) -> np.ndarray:
    """Contrast limited adaptive histogram equalisation (Zuiderveld 1994): of grey, or of the lightness of
    RGB, whose colours stay."""
    even = cv2.createCLAHE(CLIP, (TILES, TILES))
    if image.shape[-1] == 1:
        return even.apply(image[..., 0])[..., None]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = even.apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _table(own: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(256,) uint8: what each level becomes."""
    if np.count_nonzero(own) < 2:
        return np.arange(LEVELS, dtype=np.uint8)
    own, target = _without_padding(own), _without_padding(target)
    if not own.any() or not target.any():
        return np.arange(LEVELS, dtype=np.uint8)
    levels = np.flatnonzero(target)  # what lies between is no level of the target
    found = np.interp(_cumulated(own), _cumulated(target)[levels], levels)
    table = np.rint(found).astype(np.uint8)
    table[0] = 0
    return table


def _without_padding(levels: np.ndarray) -> np.ndarray:
    """The share of level 0 as on the line through those of 1 and 2; nothing where one of the three is
    empty."""
    black = max(0.0, 2 * levels[1] - levels[2]) if levels[:3].all() else 0.0
    return np.concatenate([[black], levels[1:]])


def _cumulated(levels: np.ndarray) -> np.ndarray:
    return np.cumsum(levels) / levels.sum()
