"""The Dice of one image at every threshold, object size and hole size, from few passes over its pixels.

Shapes: T thresholds, S sizes of the smallest object, H sizes of the largest hole, both sizes in um2.

Values are compared on a grid of at most LONGEST px a side: two thresholds differ in a band along outlines,
whose area such a grid measures well enough to choose by, in minutes for hundreds of images of 3000 px. The
scores that are reported are measured at native size (ftu.calibration.nested_cv).
"""

from typing import NamedTuple

import cv2
import numpy as np

from ftu.masks import components
from ftu.masks.cutting import Method, Rule, find_holes, otsu_threshold

THRESHOLDS = np.arange(1, 100) / 100  # (T,)
LONGEST = 512  # px


class Sizes(NamedTuple):
    """The sizes to compare, um2, each list ascending."""

    smallest_objects: tuple[float, ...]  # (S,)
    largest_holes: tuple[float, ...]  # (H,)

    def nearest(self, rule: Rule) -> tuple[int, int]:
        """The positions of the sizes closest to the rule's."""
        smallest = np.abs(np.subtract(self.smallest_objects, rule.smallest_object))
        largest = np.abs(np.subtract(self.largest_holes, rule.largest_hole))
        return int(np.argmin(smallest)), int(np.argmin(largest))


PLAIN = Sizes((0.0,), (0.0,))  # nothing is filled or dropped


class Curves(NamedTuple):
    """What one image tells about its rule."""

    dice: np.ndarray  # (T, S, H)
    above: np.ndarray  # (T,) share of the pixels above each threshold
    otsu: float  # Otsu's threshold of the map

    def threshold(self, rule: Rule, method: Method) -> int:
        """The index of the threshold closest to what `method` makes of the rule on this image."""
        if method == "quantile":
            return int(np.argmin(np.abs(self.above - rule.foreground)))
        return int(np.argmin(np.abs(THRESHOLDS - (self.otsu if method == "otsu" else rule.threshold))))


def grid(height: int, width: int) -> tuple[int, int]:
    """The (height, width) to compare on: that of the image, or smaller in the same proportions."""
    scale = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def on_grid(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A native (H, W) mask of 0 and 1 on a coarser grid: 1 where at least half is."""
    covered = cv2.resize(mask * np.uint8(255), shape[::-1], interpolation=cv2.INTER_AREA)
    return (covered > 127).astype(np.uint8)


def curves(probability: np.ndarray, truth: np.ndarray, *, pixel_size: float, sizes: Sizes) -> Curves:
    """Compare an (H, W) float32 map with its truth, (H, W) of 0 and 1; a pixel is `pixel_size` um wide."""
    hits, area = by_threshold(probability, truth)
    whole = int(np.count_nonzero(truth))
    if sizes == PLAIN:
        dice = _dice(hits, area, whole)[:, None, None]
    else:
        dice = _dice(*by_size(probability, truth, pixel_size=pixel_size, sizes=sizes), whole)
    return Curves(dice, area / probability.size, otsu_threshold(probability))


def by_threshold(probability: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the truth above each threshold, and pixels above it at all, each (T,): one histogram."""
    level = np.searchsorted(THRESHOLDS.astype(np.float32), probability.ravel())  # how many lie below
    counts = [np.bincount(part, minlength=len(THRESHOLDS) + 1) for part in (level[truth.ravel() > 0], level)]
    hits, area = (np.cumsum(count[::-1])[::-1][1:] for count in counts)
    return hits, area


def by_size(
    probability: np.ndarray, truth: np.ndarray, *, pixel_size: float, sizes: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    """The same two counts of the tidied masks, each (T, S, H): objects are labelled once for all S sizes."""
    shape = len(THRESHOLDS), len(sizes.smallest_objects), len(sizes.largest_holes)
    hits, area = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    true = components.running_sum(truth)
    for t, threshold in enumerate(THRESHOLDS.astype(np.float32)):
        mask = (probability > threshold).astype(np.uint8)
        if not mask.any():  # nor at any higher threshold
            break
        background, holes = find_holes(mask)
        closed = -1
        for h, largest in enumerate(sizes.largest_holes):
            small = holes * pixel_size**2 <= largest
            if closed == (closed := np.count_nonzero(small)):  # the same as for the size before
                hits[t, :, h], area[t, :, h] = hits[t, :, h - 1], area[t, :, h - 1]
                continue
            objects, overlaps = _objects(background.switched(mask, small), true)
            for s, smallest in enumerate(sizes.smallest_objects):
                kept = objects * pixel_size**2 >= smallest
                hits[t, s, h], area[t, s, h] = overlaps[kept].sum(), objects[kept].sum()
    return hits, area


def _objects(mask: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The area of each object, and how many of its pixels are those of `true`, a running sum."""
    objects = components.find(mask, 1, connectivity=8)
    return objects.areas, objects.sums(true[objects.stops] - true[objects.starts])


def _dice(hits: np.ndarray, area: np.ndarray, whole: int) -> np.ndarray:
    """Dice of masks of `area` px that share `hits` px with a truth of `whole` px; 1 where both are empty."""
    total = area + whole
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)
