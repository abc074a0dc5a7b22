"""Stain normalisation: an image repainted with the stain vectors and stain strength of another.

The conventions (what is tissue, black and white, order of the stains, percentile) are those of
staintools 2.1.2, so that `staintools_backend` can stand in for this module. Equal pixels and an
equal seed give equal bytes, on any number of threads; no function writes into its input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ftu.preprocessing.artefacts import artefacts
from ftu.preprocessing.vahadane import (
    CONCENTRATION_PENALTY,
    angle_between,
    combine,
    concentrations,
    learn_stains,
    optical_density,
)

LUMINOSITY_THRESHOLD = 0.8  # staintools' LuminosityThresholdTissueLocator: brighter is background
MAX_PERCENTILE = 99  # staintools' StainNormalizer: the strength of a stain
DRAWN_PIXELS = 100_000  # for the percentiles, background included as in staintools
LEARNING_PIXELS = 20_000  # tissue among them, for the stains
MIN_TISSUE_PIXELS = 200
MIN_TISSUE_SHARE = 0.01  # with less tissue the 99th percentile would be one of the background
MIN_HUE = 2.5  # degrees from grey; pale H-DAB had 3.4
MOST_RED, MOST_BLUE = 1.15, 2.0  # density there over that of green; images had up to 1.05 and 1.37
MIN_ANGLE = 3.0  # degrees: one stain and its noise were within 2, real images 5 and more
BLOCK_PIXELS = 1 << 15  # small enough for the processor's cache
MOSAIC_SIDE = 2048


class StainError(ValueError):
    """The image has no two stains to normalise; the message says why, in a few words."""


@dataclass(frozen=True, eq=False)
class StainFit:
    """Two stains of an image. Values that cannot be normalised with are refused here."""

    matrix: np.ndarray  # (2, 3) non-negative unit rows over RGB, hematoxylin-like first
    max_concentration: np.ndarray  # (2,) 99th percentiles
    residual: float  # |density - fitted density| / |density| over the tissue pixels fitted

    def __post_init__(self) -> None:
        values = np.concatenate([self.matrix.ravel(), self.max_concentration, [self.residual]])
        if not np.isfinite(values).all():
            raise StainError("failed: the fit is not finite")
        if (values < 0).any():
            raise StainError("failed: negative density")
        refuse_one_stain(self.matrix)
        for number, strength in enumerate(self.max_concentration, start=1):
            if strength == 0:
                raise StainError(f"stain {number} is absent: its {MAX_PERCENTILE}th percentile is 0")


def fit(image: np.ndarray, *, seed: int) -> StainFit:
    """Stains of an image (H, W, 3), artefacts aside; the seed draws pixels where there are too many."""
    drawn, spoilt = draw_pixels(image, seed), draw_pixels(artefacts(image)[..., None], seed)[:, 0]
    tissue_of(drawn)
    drawn = drawn[~spoilt]
    tissue = tissue_of(drawn, but=f" that are no artefacts, {len(spoilt)} in all")
    density = optical_density(evenly(tissue, LEARNING_PIXELS)).astype(np.float64)
    stains = learn_stains(density)
    refuse_one_stain(stains)
    refuse_other_colours(stains)
    amounts = concentrations(optical_density(drawn), stains, CONCENTRATION_PENALTY)
    return StainFit(
        matrix=stains,
        max_concentration=np.percentile(amounts, MAX_PERCENTILE, axis=1).astype(np.float64),
        residual=relative_residual(density, stains),
    )


def normalize(image: np.ndarray, source: StainFit, target: StainFit) -> tuple[np.ndarray, float]:
    """The image (H, W, 3) in the target's stains, and the share of its values that had to be clipped.

    Densities are never negative, so nothing exceeds 255: clipped are values darker than level 1.
    """
    strength = target.max_concentration / source.max_concentration
    repaint = -(strength[:, None] * target.matrix).T  # (3, 2)
    pixels = image.reshape(-1, 3)
    normalized = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), BLOCK_PIXELS):
        block = slice(start, start + BLOCK_PIXELS)
        amounts = concentrations(optical_density(pixels[block]), source.matrix, CONCENTRATION_PENALTY)
        levels = np.exp(combine(repaint, amounts))
        levels *= 255
        normalized[block] = cv2.transpose(levels.astype(np.uint8))
    clipped = normalized.size - np.count_nonzero(normalized)
    return normalized.reshape(image.shape), clipped / normalized.size


def gain(source: StainFit, target: StainFit) -> float:
    """The angle between the target's two stains over that between the source's own, above 0.

    Differences of hue grow so many times, and noise of colour with them (docs/stain.md).
    """
    return angle_between(target.matrix) / angle_between(source.matrix)


def damp(target: StainFit, source: StainFit, most_gain: float) -> StainFit:
    """The target, with its stains turned towards each other until its gain is `most_gain` (1 or more).

    Both turn by the same angle within their plane, so that the hue between them stays. A target whose gain
    is not above `most_gain` is returned as it is.
    """
    if gain(source, target) <= most_gain:
        return target
    angle, wanted = np.radians([angle_between(stains) for stains in (target.matrix, source.matrix)])
    turn = (angle - most_gain * wanted) / 2
    stains = np.sin(angle - turn) * target.matrix + np.sin(turn) * target.matrix[::-1]
    return replace(target, matrix=stains / np.sin(angle))


def mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
    """One image of equal square tiles, an evenly drawn grid of pixels of each image, row by row.

    Drawn, because averaged pixels would mix the stains. Places left over show the first images again.
    """
    if not images:
        raise ValueError("a mosaic needs at least one image; got none")
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    side = min(max(1, MOSAIC_SIDE // columns), *(min(image.shape[:2]) for image in images))
    tiles = [evenly(evenly(image, side).swapaxes(0, 1), side).swapaxes(0, 1) for image in images]
    cells = [tiles[cell % len(tiles)] for cell in range(rows * columns)]
    grid = [np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)]
    return np.vstack(grid)


def refuse_one_stain(stains: np.ndarray) -> None:
    if (angle := angle_between(stains)) < MIN_ANGLE:
        raise StainError(f"stains {angle:.1f} degrees apart")


def tissue_of(pixels: np.ndarray, but: str = "") -> np.ndarray:
    """The pixels of tissue among all of an image; `but` says which pixels these are where not all."""
    tissue = pixels[is_tissue(pixels)] if len(pixels) else pixels
    if len(tissue) < max(MIN_TISSUE_PIXELS, MIN_TISSUE_SHARE * len(pixels)):
        raise StainError(f"blank: {len(tissue)} tissue pixels of {len(pixels)}{but}")
    if (tissue == tissue[0]).all():
        raise StainError(f"uniform: all tissue pixels are {tuple(tissue[0].tolist())}")
    return tissue


def refuse_other_colours(stains: np.ndarray) -> None:
    """Refuse stains that are grey or unlike any dye of PAS, H&E and H-DAB: artefacts that went unseen."""
    for number, stain in enumerate(stains, start=1):
        colour = "({:.2f}, {:.2f}, {:.2f})".format(*stain)
        if (hue := angle_between(np.stack([stain, np.ones(3)]))) < MIN_HUE:
            raise StainError(f"stain {number} is grey: {colour}, {hue:.1f} degrees from it")
        red, green, blue = stain
        if red > MOST_RED * green or blue > MOST_BLUE * green:
            raise StainError(f"stain {number} is no dye: {colour} absorbs too little green")


def draw_pixels(image: np.ndarray, seed: int) -> np.ndarray:
    """Pixels (N, C): a random one of each of DRAWN_PIXELS equal runs, or all if there are no more."""
    pixels = image.reshape(-1, image.shape[-1])
    if len(pixels) <= DRAWN_PIXELS:
        return pixels
    starts = np.arange(DRAWN_PIXELS) * len(pixels) // DRAWN_PIXELS
    within = np.random.default_rng(seed).integers(len(pixels) // DRAWN_PIXELS, size=DRAWN_PIXELS)
    return pixels[starts + within]


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` rows at even distances, or all if there are no more."""
    return rows if len(rows) <= count else rows[np.arange(count) * len(rows) // count]


def is_tissue(pixels: np.ndarray) -> np.ndarray:
    """Mask (N,) of pixels (N, 3) that are darker than the threshold in LAB."""
    luminosity = cv2.cvtColor(pixels[:, None], cv2.COLOR_RGB2LAB)[:, 0, 0]
    return luminosity / 255 < LUMINOSITY_THRESHOLD


def relative_residual(density: np.ndarray, stains: np.ndarray) -> float:
    fitted = combine(stains.T, concentrations(density, stains, CONCENTRATION_PENALTY))
    return float(np.sqrt(((density - fitted) ** 2).sum() / (density**2).sum()))
