"""How compact objects are: their area as a share of that of their convex hull."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

TOUCHING = np.ones((3, 3), bool)  # corners, too
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def of_objects(mask: np.ndarray, smallest: int) -> np.ndarray:
    """(N,) in (0, 1]: the solidity of each connected part of more than `smallest` px of a mask (H, W) bool.

    Pixels are squares, so that a rectangle has 1; regionprops of MATLAB and scikit-image fill the hull with
    pixels and count these.
    """
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, TOUCHING, output=labels)
    parts = [labels[place] == number for number, place in enumerate(ndimage.find_objects(labels), start=1)]
    return np.array([part.sum() / hull_area(part) for part in parts if part.sum() > smallest])


def hull_area(part: np.ndarray) -> float:
    """The area, px, of the convex hull of a part (H, W) bool that has a pixel in every row."""
    rows, width = np.arange(len(part)), part.shape[1]
    first, last = part.argmax(axis=1), width - 1 - part[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([rows, columns], axis=1) for columns in (first, last)])
    return ConvexHull((ends[:, None] + CORNERS).reshape(-1, 2)).volume  # in two dimensions the area
