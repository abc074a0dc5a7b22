"""From the probabilities of several classes to one mask of their numbers.

A pixel is of the likeliest class, background among them. Then, class by class, holes are filled and small
objects dropped, as `cutting` does it for one class.
"""

from typing import NamedTuple

import numpy as np

from ftu.masks import components, cutting
from ftu.masks.cutting import Cut, Guard


class ClassRule(NamedTuple):
    """How the images of one organ and source are tidied, a number for each class in their order."""

    smallest_object: tuple[float, ...]  # um2: what is smaller becomes background
    largest_hole: tuple[float, ...]  # um2: what is larger stays open


def cut(probability: np.ndarray, rule: ClassRule, *, pixel_size: float, never_empty: Guard) -> Cut:
    """A (C, H, W) float32 map of native size as a mask of 0, the background, and the classes 1 to C.

    `pixel_size` is in um. Where nothing is left, the guard says so unless it is off; there is no threshold
    that it could lower. Of classes that are equally likely the first is taken, background before all.
    """
    mask, objects = likeliest(probability), 0
    rules = zip(rule.smallest_object, rule.largest_hole, strict=True)
    for number, (smallest, largest) in enumerate(rules, start=1):
        mask = fill_holes(mask, number, pixel_size=pixel_size, largest=largest)
        own = (mask == number).view(np.uint8)
        kept, count = cutting.drop_objects(own, pixel_size=pixel_size, smallest=smallest)
        mask[(own != kept)] = 0
        objects += count
    action = "empty" if not objects and never_empty != "off" else ""
    return Cut(mask, np.nan, action, np.nan, objects)


def likeliest(probability: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of 0 to C: where the largest of (C, H, W) probabilities is, or 0 where what they lack of
    1 is no smaller."""
    best = probability.max(axis=0)
    background = 1 - probability.sum(axis=0)
    return np.where(best > background, probability.argmax(axis=0) + 1, 0).astype(np.uint8)


def fill_holes(mask: np.ndarray, number: int, *, pixel_size: float, largest: float) -> np.ndarray:
    """Give class `number` its holes of up to `largest` um2 that are background alone.

    What is enclosed may be of another class in part, as a nucleus in a cell; then it stays.
    """
    if not largest:
        return mask
    own = (mask == number).view(np.uint8)
    around, areas = cutting.find_holes(own)
    others = components.running_sum(((mask > 0) & (mask != number)).view(np.uint8))
    foreign = around.sums(others[around.stops] - others[around.starts])
    filled = around.switched(own, (areas * pixel_size**2 <= largest) & (foreign == 0))
    return np.where(filled, np.uint8(number), mask) if filled is not own else mask
