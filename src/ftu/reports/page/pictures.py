"""Pictures of single images in layers: image, truth, prediction, errors, probability.

A layer is a file; the page lays them over each other. What colours say is said twice, by dashes and hatches,
for those who do not tell them apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from ftu.masks.from_maps import Way
from ftu.probabilities.mean import native_probability
from ftu.reports import figures, scores
from ftu.reports.page.tables import worst_first
from ftu.reports.scores import Trial

WIDEST = 600  # px of a picture's longer side
WORST, TYPICAL = 12, 8  # how many images are shown: a page of all would be too large to open
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]
DASH, HATCH = 5, 6  # px
STEPS = 16  # between which probabilities are told apart
# RGBA of errors: Okabe and Ito's bluish green, vermilion, blue, and reddish purple
RIGHT, TOO_MUCH, MISSED, CONFUSED = (
    (0, 158, 115, 90), (213, 94, 0, 230), (0, 114, 178, 230), (204, 121, 167, 230),
)  # fmt: skip
ERRORS = (RIGHT, TOO_MUCH, MISSED, CONFUSED)  # of the kinds 1 to 4
EDGE = (0, 0, 0, 150)  # along outlines, so that they are seen on any ground


class Shown(NamedTuple):
    """Which images get a picture: the ids with the lowest Dice, and others that are typical, worst first."""

    worst: list[str]
    typical: list[str]


class Layers(NamedTuple):
    """The picture of one image: what is said of it. Its files are NUMBER-LAYER.png, and -image.jpg."""

    id: str
    number: int  # from 1
    height: int  # px
    width: int
    true: float  # share of the image's pixels
    predicted: float
    wrong: float


def choose(table: pd.DataFrame) -> Shown:
    """Of dice.csv: WORST by Dice, and up to TYPICAL of the medians of organs and data sources."""
    worst = worst_first(table)["id"].tolist()[:WORST]
    medians = [name for name in scores.typical(table) if name not in worst]
    dice = table.set_index("id")["dice"]
    return Shown(worst, sorted(medians, key=lambda name: (dice[name], name))[:TYPICAL])


def draw(trial: Trial, number: int, way: Way, folder: Path) -> Layers:
    """Write the layers of one image, its longer side WIDEST px at most, into `folder`."""
    picture = scores.picture(trial, way, 0.0, longest=WIDEST)
    height, width = picture.truth.shape
    maps = native_probability(trial.case.groups, height=height, width=width, mean=way.mean)
    _write(folder / f"{number:02d}-image.jpg", picture.image, JPEG)
    _write(folder / f"{number:02d}-probability.png", heat(maps.sum(axis=0)))
    errors = errors_of(picture.truth, picture.prediction)
    layers = {
        "truth": outlines(picture.truth, len(trial.classes), dashed=False),
        "prediction": outlines(picture.prediction, len(trial.classes), dashed=True),
        "errors": hatched(errors),
    }
    for name, layer in layers.items():
        _write(folder / f"{number:02d}-{name}.png", layer)
    true, predicted, wrong = (
        float(part.mean()) for part in (picture.truth > 0, picture.prediction > 0, errors > 1)
    )
    return Layers(trial.case.row.id, number, height, width, true, predicted, wrong)


def errors_of(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(H, W) kinds of ERRORS of two masks: 0 where both are background, 1 right, 2 false positive, 3 false
    negative, 4 one class for another."""
    found, there = prediction > 0, truth > 0
    kinds = [truth == prediction, found & ~there, there & ~found]
    return np.select([~found & ~there, *kinds], [0, 1, 2, 3], 4).astype(np.uint8)


def hatched(errors: np.ndarray) -> np.ndarray:
    """(H, W, 4) RGBA of errors: false positives in stripes that rise, false negatives in ones that fall."""
    y, x = np.indices(errors.shape)
    striped = {2: (x + y) % HATCH < HATCH // 2, 3: (x - y) % HATCH < HATCH // 2}
    layer = np.zeros((*errors.shape, 4), np.uint8)
    for kind, colour in enumerate(ERRORS, start=1):
        layer[(errors == kind) & striped.get(kind, True)] = colour
    return layer


def colours(classes: int) -> Sequence[tuple[int, int, int]]:
    """RGB of the classes' outlines; of one class truth and prediction have their own."""
    return [figures.CLASS_COLOURS[number % len(figures.CLASS_COLOURS)] for number in range(classes)]


def outlines(mask: np.ndarray, classes: int, *, dashed: bool) -> np.ndarray:
    """(H, W, 4) RGBA of the contours of a mask, on nothing: those of a prediction are dashed."""
    layer, thick = np.zeros((*mask.shape, 4), np.uint8), max(2, mask.shape[1] // 200)
    of_one = [figures.PREDICTION if dashed else figures.TRUTH]
    for number, colour in enumerate(of_one if classes == 1 else colours(classes), start=1):
        own = (mask == number).view(np.uint8)
        contours, _ = cv2.findContours(own, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for drawn, width in ((EDGE, thick + 2), ((*colour, 255), thick)):
            cv2.drawContours(layer, contours, -1, drawn, width)
    if dashed:
        y, x = np.indices(mask.shape)
        layer[(x // DASH + y // DASH) % 2 == 1] = 0
    return layer


def heat(probability: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB of an (H, W) map in 0..1, dark to bright (viridis), in STEPS."""
    levels = np.round(np.clip(probability, 0, 1) * STEPS) * (255 / STEPS)
    return cv2.cvtColor(cv2.applyColorMap(levels.astype(np.uint8), cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _write(path: Path, pixels: np.ndarray, options: Sequence[int] = ()) -> None:
    """RGB or RGBA, in the format that the name asks for."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[-1] == 4 else cv2.COLOR_RGB2BGR
    _, content = cv2.imencode(path.suffix, cv2.cvtColor(pixels, order), options)
    path.write_bytes(content.tobytes())  # imwrite does not say why it fails
