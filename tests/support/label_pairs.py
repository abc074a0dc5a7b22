"""Label maps to score, with the labels 1, 3 and 6 of the classes 1 to 6: three classes are absent."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

CLASSES = 6
LABELS = (0, 1, 3, 6)

Pair = tuple[np.ndarray, np.ndarray]  # prediction and truth


@st.composite
def label_pairs(draw: st.DrawFn, *, dims: tuple[int, ...] = (2, 3), side: int = 5) -> Pair:
    """Two label maps of one shape; they may agree on most pixels, and one may be empty."""
    shape = draw(st.tuples(*[st.integers(1, side)] * draw(st.sampled_from(dims))))
    choices = arrays(np.uint8, shape, elements=st.integers(0, len(LABELS) - 1))
    truth, other, fresh = (np.array(LABELS, np.uint8)[draw(choices)] for _ in range(3))
    return (np.where(fresh == 0, other, truth) if draw(st.booleans()) else other), truth


def ellipsoids(shape: tuple[int, ...], shift: float, size: float) -> np.ndarray:
    """Classes 1 and 3 as ellipsoids of a share of the shape; 6 too where they are shifted."""
    middles = {1: 0.3, 3: 0.7} | ({6: 0.5} if shift else {})
    labels = np.zeros(shape, np.uint8)
    for label, middle in middles.items():
        away = [
            (place - shift - middle * n) / (size * n)
            for place, n in zip(np.indices(shape), shape, strict=True)
        ]
        labels[sum(part**2 for part in away) < (1 if label < 6 else 0.1)] = label
    return labels
