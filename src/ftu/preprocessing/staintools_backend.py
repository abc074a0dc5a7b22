"""Stain normalisation by staintools itself, with the signatures and types of `ftu.preprocessing.stain`.

A process that has called it must not fork: spams leaves its threads behind, and the child deadlocks.
"""

import numpy as np
from staintools import StainNormalizer
from staintools.miscellaneous.exceptions import TissueMaskException
from staintools.miscellaneous.get_concentrations import get_concentrations
from staintools.miscellaneous.optical_density_conversion import convert_RGB_to_OD

from ftu.preprocessing.artefacts import artefacts
from ftu.preprocessing.stain import (
    StainError,
    StainFit,
    is_tissue,
    refuse_one_stain,
    refuse_other_colours,
)

CAVEAT = (
    "staintools trains its stain dictionary for one second of wall time: its results depend on the speed "
    "and load of the machine and cannot be reproduced"
)


def fit(image: np.ndarray, *, seed: int) -> StainFit:  # noqa: ARG001 - staintools draws by the clock
    """Stains of an image (H, W, 3), learnt from all of its tissue pixels, artefacts aside."""
    kept = image[~artefacts(image)][:, None]  # (N, 1, 3)
    if not len(kept):
        raise StainError("blank: all pixels are artefacts")
    normalizer = StainNormalizer(method="vahadane")
    try:
        with np.errstate(invalid="ignore"):  # stains of zeros, as an image of one colour gives, become NaN
            normalizer.fit(kept.copy())  # staintools writes into its input
    except TissueMaskException as error:
        raise StainError("blank: no tissue pixels") from error
    except AssertionError as error:  # "Negative optical density.", which a NaN also is to staintools
        raise StainError("failed: staintools found no stains") from error
    refuse_one_stain(normalizer.stain_matrix_target)
    refuse_other_colours(normalizer.stain_matrix_target)
    return StainFit(
        matrix=normalizer.stain_matrix_target,
        max_concentration=normalizer.maxC_target.ravel(),
        residual=relative_residual(kept, normalizer),
    )


def normalize(image: np.ndarray, source: StainFit, target: StainFit) -> tuple[np.ndarray, float]:
    """The image (H, W, 3) in the target's stains, and the share of its values that had to be clipped.

    The body of StainNormalizer.transform, which would fit the image again.
    """
    amounts = get_concentrations(image.copy(), source.matrix)
    amounts *= target.max_concentration / source.max_concentration
    normalized = (255 * np.exp(-amounts @ target.matrix)).astype(np.uint8).reshape(image.shape)
    return normalized, float(np.mean(normalized == 0))


def relative_residual(image: np.ndarray, normalizer: StainNormalizer) -> float:
    tissue = is_tissue(image.reshape(-1, 3))
    density = convert_RGB_to_OD(image.copy()).reshape(-1, 3)[tissue]
    fitted = normalizer.target_concentrations[tissue] @ normalizer.stain_matrix_target
    return float(np.linalg.norm(density - fitted) / np.linalg.norm(density))
