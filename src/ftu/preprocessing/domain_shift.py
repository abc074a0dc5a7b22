"""An image made to look like those of another source: its field of view, stain, thickness and pixel size.

For validation only: what a network loses on such images, docs/shift.md says what that tells and what not.
The order is that of the microscope: a field of tissue, its dyes, the optics, the camera's pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ftu.preprocessing.dyes import dye


class Look(NamedTuple):
    """What the images of a source have in common."""

    pixel_size: float  # um
    field: float  # um, the widest side
    blur: float  # um, standard deviation of what thickness and optics add
    dyes: str  # a key of DYES, or none: the image's own


class Shifted(NamedTuple):
    image: np.ndarray  # (H, W, 3) uint8 RGB
    mask: np.ndarray  # (H, W) uint8 of 0 and 1
    pixel_size: float  # um; with it every area is what it was
    reason: str  # why the image keeps its own colours though others were asked for; else empty


def shift(image: np.ndarray, mask: np.ndarray, *, pixel_size: float, look: Look, seed: int) -> Shifted:
    """The image (H, W, 3) uint8 and its mask (H, W) of 0 and 1, as a source of that look would show them.

    `seed` draws the pixels that the stains are learnt from. The image keeps its own pixels where the look
    asks for smaller ones, and its own colours where its stains cannot be found.
    """
    rows, columns = (central(side, round(look.field / pixel_size)) for side in mask.shape)
    image, mask = image[rows, columns], mask[rows, columns]
    image, reason = dye(image, look.dyes, seed=seed)
    return Shifted(*sample(blur(image, look.blur / pixel_size), mask, pixel_size, look.pixel_size), reason)


def central(side: int, wanted: int) -> slice:
    """The `wanted` pixels in the middle of a side, at least one; all of a side that has fewer."""
    length = min(side, max(1, wanted))
    start = (side - length) // 2
    return slice(start, start + length)


def blur(image: np.ndarray, deviation: float) -> np.ndarray:
    """The image under a Gaussian of that standard deviation (px), mirrored at its borders; 0 leaves it."""
    if deviation == 0:
        return image
    side = 2 * round(4 * deviation) + 1  # four deviations: what is cut off is less than a grey level
    return cv2.GaussianBlur(image, (side, side), deviation, borderType=cv2.BORDER_REFLECT_101)


def sample(
    image: np.ndarray, mask: np.ndarray, pixel_size: float, wanted: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Image and mask at the whole number of pixels next to the wanted size (um), and the size that gives.

    Area average of the image, nearest pixel centre of the mask. Smaller pixels than the image's are not
    made: interpolation knows no more than the image, and every reader after this one resamples anyway.
    """
    if wanted <= pixel_size:
        return image, mask, pixel_size
    height, width = (max(1, round(side * pixel_size / wanted)) for side in mask.shape)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    reached = pixel_size * (mask.size / (height * width)) ** 0.5
    return image, cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), reached
