"""Out-of-fold scores: per image, then per organ and data source, beside baselines that nobody trained."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ftu import images, metrics, postprocess

BASELINES = ("nothing", "everything", "otsu")


class Case(NamedTuple):
    """One image to score: where its parts lie, and the threshold of its organ and source."""

    id: str
    organ: str
    data_source: str
    image: Path
    truth: Path
    probability: Path
    threshold: float


def masks(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction at native resolution, each (H, W) uint8 of 0 and 1."""
    truth = images.read_mask(case.truth)
    height, width = truth.shape
    probability = postprocess.mean_probability([images.read_probability(case.probability)])
    return truth, postprocess.native_mask(probability, height=height, width=width, threshold=case.threshold)


def score(case: Case) -> dict[str, str | float]:
    """The row of one image: Dice of the prediction and of the baselines."""
    truth, prediction = masks(case)
    row = {"id": case.id, "organ": case.organ, "data_source": case.data_source}
    scores = {"dice": metrics.dice(prediction, truth)} | metrics.baseline_dice(
        images.read_image(case.image), truth
    )
    return row | {name: round(value, 6) for name, value in scores.items()}


def summary(table: pd.DataFrame) -> dict:
    """The competition's mean Dice, the means per organ and per data source, and the baselines' means."""
    return {
        "dice": _mean(table["dice"]),
        "images": len(table),
        "organ": {str(organ): _mean(rows["dice"]) for organ, rows in table.groupby("organ")},
        "data_source": {str(source): _mean(rows["dice"]) for source, rows in table.groupby("data_source")},
        "baseline": {name: _mean(table[name]) for name in BASELINES},
    }


def typical(table: pd.DataFrame) -> list[str]:
    """The id of the image with the median Dice (the lower of two) for each organ and data source."""
    ranked = table.sort_values(["dice", "id"], kind="stable")
    return [rows["id"].iloc[(len(rows) - 1) // 2] for _, rows in ranked.groupby(["organ", "data_source"])]


def report(table: pd.DataFrame) -> str:
    """The scores as a Markdown table for the terminal and for people, each with its number of images."""
    scores, count = summary(table), len(table)
    lines = [f"Mean out-of-fold Dice: {scores['dice']:.3f} over {count} images", ""]
    lines += ["| part | images | Dice |", "|---|---|---|"]
    for part in ("organ", "data_source"):
        sizes = table[part].value_counts()
        lines += [f"| {name} | {sizes[name]} | {dice:.3f} |" for name, dice in scores[part].items()]
    lines += [f"| baseline: {name} | {count} | {dice:.3f} |" for name, dice in scores["baseline"].items()]
    return "\n".join(lines) + "\n"


def _mean(values: pd.Series) -> float:
    return round(float(values.mean()), 6)
