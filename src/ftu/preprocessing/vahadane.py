"""Sparse non-negative stain separation (Vahadane et al., IEEE TMI 2016, doi:10.1109/TMI.2016.2529665).

Optical density is linear in the stains (Beer-Lambert), so a pixel is `density = stains.T @ amounts`.
The stains minimise, over non-negative unit rows and non-negative amounts, the mean over pixels of
`|density - stains.T @ amounts|² / 2 + penalty * sum(amounts)`. With two stains the amounts have a
closed form, and alternating it with block descent on the rows needs neither random numbers nor a clock.
Products over pixels go through plain einsum: BLAS would order its sums by the number of threads.

Shapes: N pixels. Pixels are (N, 3) uint8 RGB, densities (3, N) planes, stains (2, 3) unit rows,
amounts (2, N) planes.
"""

import cv2
import numpy as np

# staintools 2.1.2: `regularizer` of VahadaneStainExtractor.get_stain_matrix and of get_concentrations
DICTIONARY_PENALTY = 0.1
CONCENTRATION_PENALTY = 0.01

TOLERANCE = 1e-7  # largest change of an entry of the stains in the last step
MAX_STEPS = 2000  # a real image takes about 70
ONE_STAIN = 0.01  # degrees: below this the amounts of the two stains are not determined

# staintools' convert_RGB_to_OD: black counts as level 1, and white is not quite transparent
DENSITY_OF_LEVEL = np.maximum(-np.log(np.maximum(np.arange(256), 1) / 255), 1e-6).astype(np.float32)


def optical_density(pixels: np.ndarray) -> np.ndarray:
    """Densities (3, N) float32 of pixels (N, 3)."""
    return cv2.LUT(np.ascontiguousarray(pixels.T), DENSITY_OF_LEVEL)


def combine(weights: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """`weights @ planes` in the precision of the planes."""
    return np.einsum("ij,jn->in", weights.astype(planes.dtype), planes)


def correlate(planes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`planes @ others.T`: a sum over pixels for each pair of planes."""
    return np.einsum("in,jn->ij", planes, others)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def angle_between(stains: np.ndarray) -> float:
    """Angle in degrees between the two rows; arccos would lose the small ones."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(*stains)), stains[0] @ stains[1])))


def concentrations(density: np.ndarray, stains: np.ndarray, penalty: float) -> np.ndarray:
    """Amounts (2, N) that solve the non-negative lasso of every pixel exactly.

    Non-negative stains overlap, so a stain gets more next to the other one than alone exactly where the
    other one's amount would be negative. The smaller of the two, clipped at zero, is then the solution.
    """
    overlap = stains[0] @ stains[1]
    alone = combine(stains, density)
    alone -= alone.dtype.type(penalty)
    together = combine((stains - overlap * stains[::-1]) / (1 - overlap**2), density)
    together -= together.dtype.type(penalty / (1 + overlap))
    amounts = np.minimum(alone, together, out=alone)
    return np.maximum(amounts, 0, out=amounts)


def first_guess(density: np.ndarray) -> np.ndarray:
    """Mean densities of the two halves of the pixels along the axis on which their hue varies most."""
    hue = density / np.sqrt((density**2).sum(axis=0))
    hue -= hue.mean(axis=1, keepdims=True)
    axes = np.linalg.eigh(correlate(hue, hue)).eigenvectors  # columns, the largest variance last
    position = combine(axes[:, -1:].T, hue)[0]
    middle = np.median(position)
    halves = position >= middle, position <= middle
    return unit_rows(np.stack([density[:, half].mean(axis=1) for half in halves]))


def learn_stains(density: np.ndarray) -> np.ndarray:
    """Stains (2, 3) of float64 densities; hematoxylin, which absorbs more red, comes first.

    Each step solves all amounts, then each stain given the other one (Mairal et al., ICML 2009,
    algorithm 2). A stain that no pixel uses stays as it is.
    """
    stains = first_guess(density)
    for _ in range(MAX_STEPS):
        if angle_between(stains) < ONE_STAIN:
            break
        before = stains.copy()
        amounts = concentrations(density, stains, DICTIONARY_PENALTY)
        used, wanted = correlate(amounts, amounts), correlate(amounts, density)
        for row in np.flatnonzero(used.diagonal()):
            better = stains[row] + (wanted[row] - used[row] @ stains) / used[row, row]
            stains[row] = unit_rows(np.maximum(better, 0))
        if np.abs(stains - before).max() < TOLERANCE:
            break
    return stains[np.argsort(-stains[:, 0], kind="stable")]
