"""An image repainted with other dyes: the same amounts of its own two stains, in other colours.

To recolour an image often, as training does, fit its stains once (`own_stains`) and keep them. No function
writes into its input, and equal inputs give equal bytes.
"""

import math
from dataclasses import replace

import numpy as np

from ftu.preprocessing import stain
from ftu.preprocessing.stain import StainError, StainFit
from ftu.preprocessing.vahadane import unit_rows

# Optical densities over RGB of hematoxylin and of what is stained beside it.
# pas: "H PAS" of G. Landini's Colour Deconvolution for ImageJ (https://imagej.net/plugins/colour-deconvolution)
# he, dab (eosin; diaminobenzidine, the brown of antibodies):
# A. C. Ruifrok and D. A. Johnston, Anal. Quant. Cytol. Histol. 23 (2001) 291-299
DYES = {
    "pas": unit_rows(np.array([[0.644211, 0.716556, 0.266844], [0.175411, 0.972178, 0.154589]])),
    "he": unit_rows(np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])),
    "dab": unit_rows(np.array([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]])),
}
OWN = "own"  # in place of a key of DYES: the image's own stains, for other strengths of them


def own_stains(image: np.ndarray, *, seed: int) -> StainFit | None:
    """The stains of an image (H, W, 3) uint8 RGB, None where it has no two; the seed draws the pixels."""
    try:
        return stain.fit(image, seed=seed)
    except StainError:
        return None


def recolour(
    image: np.ndarray,
    own: StainFit | None,
    dyes: str,
    *,
    strengths: tuple[float, float] = (1.0, 1.0),
    most_gain: float = math.inf,
) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB in the colours of `dyes`, a key of DYES or OWN; new pixels.

    `own` is what `own_stains` says of it, or of the image that it is a part of; with None the image itself
    is returned. `strengths`, above 0, multiply the amounts of hematoxylin and of the other dye. Dyes that
    would spread the image's stains more than `most_gain` times are damped (`stain.damp`), for noise of
    colour grows with them. Raises StainError for a strength that is 0, negative or not finite.
    """
    if own is None:
        return image
    matrix = own.matrix if dyes == OWN else DYES[dyes]
    target = replace(own, matrix=matrix, max_concentration=own.max_concentration * strengths)
    return stain.normalize(image, own, stain.damp(target, own, most_gain))[0]


def dye(image: np.ndarray, dyes: str, *, seed: int) -> tuple[np.ndarray, str]:
    """The image with the same amounts of its two stains in other colours; or itself, and why.

    `dyes` is a key of DYES, or none for the image as it is.
    """
    if dyes == "none":
        return image, ""
    try:
        return recolour(image, stain.fit(image, seed=seed), dyes), ""
    except StainError as error:
        return image, str(error)
