"""Where a slide holds tissue, found at low scale: what has colour, with its holes.

Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076, on the saturation of HSV.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ftu_tools.segment.slides import reduced
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.slide import Slide

SIDE = 2048  # px, of the picture that is looked at
PALEST, MOST = 12, 40  # of 255: glass has less saturation than the one, tissue more than the other
DARKEST = 30  # of 255: below it a grey level more or less is much saturation, and says nothing
SPECK = 1e-4  # of the picture: a smaller spot is dust


class Tissue(NamedTuple):
    """A slide seen from afar."""

    picture: np.ndarray  # (h, w, C) uint8
    mask: np.ndarray  # (h, w) bool
    inner: np.ndarray  # (h, w) bool: tissue all of whose neighbours are tissue

    def share(self) -> float:
        return float(self.mask.mean())

    def within(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Whether places, as shares of height and width in 0..1, lie in the tissue and not at its edge."""
        height, width = self.inner.shape
        down, across = (rows * height).astype(int), (columns * width).astype(int)
        return self.inner[np.minimum(down, height - 1), np.minimum(across, width - 1)]

    def any_in(
        self, tops: np.ndarray, bottoms: np.ndarray, lefts: np.ndarray, rights: np.ndarray
    ) -> np.ndarray:
        """(rows, columns) bool: whether the rectangles between shares of height, (rows,) each, and of width,
        (columns,) each, hold any tissue."""
        height, width = self.mask.shape
        sums = cv2.integral(self.mask.view(np.uint8))
        top, bottom = np.floor(tops * height).astype(int), np.ceil(bottoms * height).astype(int)
        left, right = np.floor(lefts * width).astype(int), np.ceil(rights * width).astype(int)
        above, below = sums[top], sums[bottom]
        return (below[:, right] - below[:, left] - above[:, right] + above[:, left]) > 0


def look(slide: Slide, *, find: bool) -> Tissue:
    """The slide from afar; all of it counts as tissue unless it is to be found, and where it is grey."""
    longest = max(slide.shape)
    height, width = (max(round(side * min(SIDE / longest, 1)), 1) for side in slide.shape)
    picture = reduced.rows_of(slide, Grid(height, width, slide.shape))(0, height)
    if not find or slide.channels == 1:
        mask = np.ones((height, width), bool)
        return Tissue(picture, mask, mask)
    mask = coloured(picture)
    inner = cv2.erode(mask.view(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE).view(bool)
    return Tissue(picture, mask, inner)


def coloured(picture: np.ndarray) -> np.ndarray:
    """(h, w) bool of an RGB picture: what is more saturated than Otsu's threshold, with its holes.

    The threshold is held within bounds, since it parts a picture without glass, or without tissue, as well.
    """
    _, saturation, value = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    saturation = cv2.medianBlur(np.where(value < DARKEST, 0, saturation).astype(np.uint8), 5)
    otsu, _ = cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    found = (saturation > np.clip(otsu, PALEST, MOST)).astype(np.uint8)
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [one for one in outlines if cv2.contourArea(one) >= SPECK * found.size]
    filled = np.zeros_like(found)
    cv2.drawContours(filled, large, -1, 1, cv2.FILLED)
    return filled.view(bool)
