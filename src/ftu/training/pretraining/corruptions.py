"""What is done to an image that a network has to repair: the second paper's eight tasks of self-supervision.

Images are (H, W, C) uint8, RGB or grey, and so are the results; no function writes into its input. Where a
task draws values for pixels, all channels of a pixel get the same; in low_resolution each has its own noise.

Source: Gonzalez Marfil 2022, "Transformer-based architecture for 2D semantic segmentation of mitochondria",
section on self-supervised pre-training; its authors took the tasks from imgaug and imagecorruptions, whose
ways are kept where the text says nothing. What each does: docs/images/corruptions.png.
"""

from collections.abc import Callable

import cv2
import numpy as np

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]

BOXES, BOX_SHARE = 5, 0.2  # at most; of each side of the image
NOISE = 0.15  # standard deviation, of the full range
SALTED, GRAINS = 0.2, (4, 16)  # share of the grains; how many there are along each side
LOW_NOISE, LOW_SCALE = 0.1, 4
BLUR = 3.0  # px
DEFOCUS_RADIUS, DEFOCUS_SMOOTHING = 4, 0.5  # px: severity 2 of imagecorruptions
MOTION = 15  # px
DROPPED = 0.2  # the largest share of the pixels


def cutout(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to five boxes, each a fifth of the image's height and width, are black."""
    height, width = (max(round(BOX_SHARE * side), 1) for side in image.shape[:2])
    image = image.copy()
    for _ in range(rng.integers(1, BOXES + 1)):
        top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
        image[top : top + height, left : left + width] = 0
    return image


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise is added to each pixel."""
    return _as_image(image + rng.normal(0, NOISE * 255, (*image.shape[:2], 1)))


def salt_pepper(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fifth of a coarse raster of 4 to 16 cells a side is filled with salt and pepper, pixel by pixel:
    values of a Beta distribution (1/2, 1/2), mostly near black or white."""
    cells = rng.integers(GRAINS[0], GRAINS[1] + 1)
    chosen = (rng.random((cells, cells)) < SALTED).astype(np.uint8)
    height, width = image.shape[:2]
    chosen = cv2.resize(chosen, (width, height), interpolation=cv2.INTER_NEAREST)[..., None] > 0
    return np.where(chosen, _as_image(rng.beta(0.5, 0.5, (height, width, 1)) * 255), image)


def low_resolution(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise, and then a quarter of the resolution: what a worse microscope would have seen."""
    noisy = np.clip(image / 255 + rng.normal(0, LOW_NOISE, image.shape), 0, 1).astype(np.float32)
    height, width = image.shape[:2]
    small = cv2.resize(noisy, (max(width // LOW_SCALE, 1), max(height // LOW_SCALE, 1)))
    return _as_image(cv2.resize(small, (width, height)).reshape(image.shape) * 255)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """A Gaussian filter."""
    return _filtered(image, cv2.GaussianBlur(image.astype(np.float32), (0, 0), BLUR))


def defocus(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """Each point becomes a disk with a soft edge."""
    reach = 2 * DEFOCUS_RADIUS
    across = np.arange(-reach, reach + 1)
    disk = (across[:, None] ** 2 + across**2 <= DEFOCUS_RADIUS**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), (3, 3), DEFOCUS_SMOOTHING)
    return _filtered(image, cv2.filter2D(image.astype(np.float32), -1, kernel))


def motion_blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each point becomes a line of 15 px at any angle, whose weights rise or fall along it by any slope."""
    angle, start = rng.uniform(0, 360), rng.uniform(0, 1)
    line = np.zeros((MOTION, MOTION), np.float32)
    line[:, MOTION // 2] = np.linspace(start, 1 - start, MOTION)
    middle = (MOTION // 2, MOTION // 2)
    kernel = cv2.warpAffine(line, cv2.getRotationMatrix2D(middle, angle, 1), (MOTION, MOTION))
    return _filtered(image, cv2.filter2D(image.astype(np.float32), -1, kernel / kernel.sum()))


def pixel_dropout(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a fifth of the pixels are black."""
    kept = rng.random((*image.shape[:2], 1)) >= rng.uniform(0, DROPPED)
    return image * kept


CORRUPTIONS: dict[str, Corruption] = {
    "cutout": cutout,
    "noise": noise,
    "salt_pepper": salt_pepper,
    "low_resolution": low_resolution,
    "blur": blur,
    "defocus": defocus,
    "motion_blur": motion_blur,
    "pixel_dropout": pixel_dropout,
}


def _filtered(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """OpenCV drops a single channel."""
    return _as_image(values.reshape(image.shape))


def _as_image(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
