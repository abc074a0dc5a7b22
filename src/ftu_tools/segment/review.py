"""Which slides to correct first: where the folds disagree, where they are unsure, and odd masks.

Shapes: (h, w) a map, C classes.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from ftu.probabilities.map_file import FULL_SCALE

COLUMNS = ("place", "slide", "file", "disagreement", "uncertainty", "foreground", "why")
MOST = 0.9  # of the tissue: more of it is seldom one unit
ROWS = 256  # at a time


def mean_and_spread(maps: Sequence[np.ndarray]) -> np.ndarray:
    """(n, C + 1, h, w) of the folds' (n, C, h, w): their mean, and the largest of the classes' standard
    deviations over folds."""
    mean, spread = np.mean(maps, axis=0), np.std(maps, axis=0).max(axis=1, keepdims=True)
    return np.concatenate([mean, spread], axis=1)


def doubt(map_: np.ndarray, share: float) -> dict[str, float]:
    """How much folds disagree and are unsure, of a (C + 1, h, w) uint16 map of `FULL_SCALE`, its last band
    their spread; a mean over the `share` of it that is tissue: glass adds nothing.

    disagreement is 0 to 0.5, a standard deviation; uncertainty 0 to 1, the entropy of what a pixel may be.
    """
    spread = entropy = 0.0
    for top in range(0, map_.shape[1], ROWS):
        *classes, last = map_[:, top : top + ROWS].astype(np.float64) / FULL_SCALE
        each = np.clip([1 - np.sum(classes, axis=0), *classes], 1e-12, 1)
        spread += last.sum()
        entropy -= (each * np.log(each)).sum() / np.log(len(each))
    pixels = map_[0].size * share
    return {"disagreement": round(spread / pixels, 6), "uncertainty": round(entropy / pixels, 6)}


def order(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of review.csv, the slide that is to be looked at first on top, of those of slides.csv."""
    found = []
    for _, own in groupby(rows, key=itemgetter("slide")):
        classes = list(own)
        first, area = classes[0], sum(row["area_um2"] for row in classes)
        foreground = area / (first["tissue_mm2"] * 1e6)
        count = sum(row["count"] for row in classes)
        why = "nothing was found" if not count else "nearly all of the tissue" if foreground > MOST else ""
        known = {column: first[column] for column in ("slide", "file", "disagreement", "uncertainty")}
        found.append(known | {"foreground": round(foreground, 4), "why": why})
    found.sort(key=lambda row: (not row["why"], -row["disagreement"], -row["uncertainty"]))
    return [{"place": place} | row for place, row in enumerate(found, start=1)]
