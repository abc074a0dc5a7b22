"""Every score of every class: counted image by image, and summed up over images, volumes and the whole set.

docs/scores.md says what each score is.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ftu.files import markdown
from ftu.masks.scores import boundary, objects, overlap, pooling

MARGIN = 2  # px: how far an outline may lie off in surface Dice where no tolerance is given
FROM_BOUNDARY = ("hd95", "surface_dice", "one_sided")
COLUMNS = ["id", "class", *overlap.COUNTS, "dice", "iou", *FROM_BOUNDARY, *objects.SUMS]
HEADS = {  # of the table for people, in its order
    "dice": "Dice", "iou": "IoU", "dice_volume": "Dice by volume", "iou_volume": "IoU by volume",
    "dice_pooled": "Dice pooled", "iou_pooled": "IoU pooled", "hd95": "HD95 um", "one_sided": "without HD95",
    "surface_dice": "surface Dice", "f1": "object F1", "pq": "PQ",
}  # fmt: skip
Facts = dict[str, dict[str, float | None]]  # by class, and `mean` over them


def of_image(
    prediction: np.ndarray, truth: np.ndarray, classes: Sequence[str], *, pixel_size: float, tolerance: float
) -> list[dict[str, Any]]:
    """A row for each class of two (H, W) masks of their numbers: COLUMNS but `id`.

    `pixel_size` is in um; so is `tolerance`, how far an outline may lie off; 0: MARGIN pixels.
    """
    count = len(classes)
    counts = overlap.count(prediction, truth, classes=count)
    margin = tolerance or MARGIN * pixel_size
    outlines = boundary.score(
        prediction, truth, classes=count, spacing=(pixel_size, pixel_size), tolerance=margin
    )
    matched = objects.match(prediction, truth, classes=count)
    return [
        {
            "class": name,
            **dict(zip(overlap.COUNTS, counts[k].tolist(), strict=True)),
            "dice": float(overlap.dice(counts[k])),
            "iou": float(overlap.iou(counts[k])),
            **{column: getattr(outlines, column)[k].item() for column in FROM_BOUNDARY},
            **dict(zip(objects.SUMS, matched[k].tolist(), strict=True)),
        }
        for k, name in enumerate(classes)
    ]


def summary(table: pd.DataFrame, classes: Sequence[str], volumes: Sequence[str]) -> Facts:
    """The scores of each class and their `mean` over classes, of COLUMNS: the classes of each image in order.

    `volumes` names that of each image, '' where it is of none; without any there are no scores by volume.
    A score that is not defined is None.
    """
    found = _by_class(table, len(classes), volumes)
    facts = {name: {score: values[k] for score, values in found.items()} for k, name in enumerate(classes)}
    mean = {score: _mean(score, values) for score, values in found.items()}
    return {
        name: {score: None if math.isnan(value) else round(float(value), 6) for score, value in one.items()}
        for name, one in {**facts, "mean": mean}.items()
    }


def lines(facts: Facts, classes: Sequence[str]) -> list[str]:
    """`summary` as a Markdown table: a row for each class, and their mean where there are several."""
    shown = [score for score in HEADS if score in facts["mean"]]
    rows = [*classes, *(["mean"] if len(classes) > 1 else [])]
    cells = [[name, *(_cell(score, facts[name][score]) for score in shown)] for name in rows]
    return markdown.table(["class", *(HEADS[score] for score in shown)], cells)


class Detail:
    """The scores of all parts (oof, test): their tables, facts by part, and what stands in reports."""

    def __init__(
        self, classes: Sequence[str], index: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
    ) -> None:
        """`index` is data/images.csv, which knows the volumes; a table without rows is left out."""
        self.classes, self.tables = classes, {part: one for part, one in tables.items() if len(one)}
        volume = dict.fromkeys(index["id"], "")
        if {"volume", "z"} <= set(index):  # a column of the user may be called volume, too
            volume = dict(zip(index["id"], index["data_source"] + "/" + index["volume"], strict=True))
        self.facts = {}
        for part, one in self.tables.items():
            volumes = [volume[image] for image in one["id"][:: len(classes)]]
            self.facts[part] = summary(one, classes, volumes)

    def table(self) -> pd.DataFrame:
        """A row for each image and class, with its part."""
        parts = [one.assign(part=part) for part, one in self.tables.items()]
        return pd.concat(parts)[["part", *COLUMNS]].round(6)

    def in_short(self) -> dict[str, Any]:
        """What stands beside the mean Dice in metrics.json: IoU, of several classes the Dice of each, and all
        that of labelled test images."""
        found = {part: {"iou": facts["mean"]["iou"]} for part, facts in self.facts.items()}
        if len(self.classes) > 1:
            for part, facts in self.facts.items():
                found[part]["class"] = {name: facts[name]["dice"] for name in self.classes}
        if "test" not in found:
            return found["oof"]
        images = len(self.tables["test"]) // len(self.classes)
        test = {"dice": self.facts["test"]["mean"]["dice"], "images": images}
        return found["oof"] | {"test": test | found["test"]}

    def words(self) -> str:
        """The facts of each part as a table for people."""
        told = {"oof": "Out of fold", "test": "Test images, whose masks chose nothing"}
        said = []
        for part, facts in self.facts.items():
            images = len(self.tables[part]) // len(self.classes)
            said += [f"{told[part]}, {images} images ([docs/scores.md](../docs/scores.md)):", ""]
            said += [*lines(facts, self.classes), ""]
        return "\n".join(said)


def _by_class(table: pd.DataFrame, count: int, volumes: Sequence[str]) -> dict[str, np.ndarray]:
    """Each score of each class, (C,)."""

    def columns(names: Sequence[str]) -> np.ndarray:
        return table[list(names)].to_numpy(float).reshape(-1, count, len(names))

    def of_all(column: str) -> np.ndarray:
        return pooling.means(columns([column])[..., 0]).classes

    counts, sums = columns(overlap.COUNTS), columns(objects.SUMS).sum(axis=0)
    found = {"dice": of_all("dice"), "iou": of_all("iou")}
    found["iou_paper"] = overlap.iou(counts, empty=0).mean(axis=0)
    if any(volumes):
        wholes = pooling.pooled(counts, volumes)
        found |= {
            "dice_volume": overlap.dice(wholes).mean(axis=0),
            "iou_volume": overlap.iou(wholes).mean(axis=0),
        }
    pooled = counts.sum(axis=0)
    found |= {"dice_pooled": overlap.dice(pooled), "iou_pooled": overlap.iou(pooled)}
    found |= {"hd95": of_all("hd95"), "one_sided": columns(["one_sided"])[..., 0].sum(axis=0)}
    return found | {
        "surface_dice": of_all("surface_dice"),
        "f1": objects.f1(sums),
        "pq": objects.panoptic_quality(sums),
    }


def _mean(score: str, values: np.ndarray) -> float:
    """Over the classes that have a score; of what is counted the sum."""
    return float(values.sum() if score == "one_sided" else pooling.defined_mean(values, axis=0))


def _cell(score: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if score == "one_sided" else f"{value:.2f}" if score == "hd95" else f"{value:.3f}"
