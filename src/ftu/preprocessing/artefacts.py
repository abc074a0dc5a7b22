"""Pixels that no stain has coloured: fill, black borders, ink of pens, very dark debris.

A fit that counts them takes them for a stain. The limits were measured on PAS, H&E and H-DAB images
(docs/stain.md). A dye that lets more green through than red, as alcian blue does, is taken for ink.
"""

import cv2
import numpy as np

RUN = 13  # px of exactly one colour in a row or a column: in tissue, noise ends a run before
BACKGROUND = 204  # levels, 0.8 of white: an even colour that is brighter on average may be background
WHITE = 255  # but a run of this is fill: a camera's background has noise
BLACK = 40  # levels: no channel is brighter
DARK, GREY = 80, 15  # levels: no channel is brighter than the one, and none differs more than the other
GREEN_OVER_RED = 1.15, 8  # times, levels: hematoxylin, eosin, PAS and DAB let no more green through
NAVY = 40, 60  # levels: red and green no brighter than the one, and blue more than the other above them
RED_OVER_BLUE = 140  # levels: red, orange and yellow ink; DAB stays below 100
EDGE = 5  # px, side of the square by which a mask grows: tissue is mixed in at edges
FILL_EDGE = 25  # and beside fill, where JPEG's blocks hold some of both


def artefacts(image: np.ndarray) -> np.ndarray:
    """Mask (H, W) of what no stain has coloured in an image (H, W, 3) uint8 RGB, with its edges."""
    return _grown(_fill(image), FILL_EDGE) | _grown(_dark_or_ink(image), EDGE)


def _fill(image: np.ndarray) -> np.ndarray:
    """Runs of one colour, horizontal or vertical, but for those of pale background."""
    runs = np.zeros(image.shape[:2], bool)
    for line in (np.ones((1, RUN)), np.ones((RUN, 1))):
        spread = cv2.split(cv2.morphologyEx(image, cv2.MORPH_GRADIENT, line))
        middles = cv2.max(cv2.max(*spread[:2]), spread[2]) == 0
        if middles.any():
            runs |= cv2.dilate(middles.view(np.uint8), line).view(bool)
    if not runs.any():
        return runs
    mean = cv2.transform(image, np.full((1, 3), 1 / 3))
    return runs & ((mean < BACKGROUND) | (mean == WHITE))


def _dark_or_ink(image: np.ndarray) -> np.ndarray:
    red, green, blue = cv2.split(cv2.medianBlur(image, 3))  # single pixels are noise
    warm = cv2.max(red, green)
    brightest, darkest = cv2.max(warm, blue), cv2.min(cv2.min(red, green), blue)
    black = (brightest <= BLACK) | ((brightest <= DARK) & (brightest - darkest <= GREY))
    times, levels = GREEN_OVER_RED
    cyan = (green > cv2.convertScaleAbs(red, alpha=times)) & (cv2.subtract(green, red) > levels)
    navy = (warm <= NAVY[0]) & (cv2.subtract(blue, warm) > NAVY[1])
    return black | cyan | navy | (cv2.subtract(red, blue) > RED_OVER_BLUE)


def _grown(mask: np.ndarray, side: int) -> np.ndarray:
    return cv2.dilate(mask.view(np.uint8), np.ones((side, side))).view(bool) if mask.any() else mask
