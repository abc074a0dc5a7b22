"""Scores of a volume: of all its voxels in space, and beside them those of its slices in the plane."""

from typing import Any

import numpy as np
import pandas as pd

from ftu.files import markdown
from ftu.masks.scores import boundary, overlap, pooling
from ftu_tools.dataset.volumes.record import Entry

MISSED, INVENTED = "missed", "invented"  # a class in the truth alone, in the prediction alone
MEANS = {
    "dice": "Dice", "iou": "IoU", "hd95": "HD95 um", "dice_slices": "Dice of slices",
    "hd95_slices": "HD95 um of slices",
}  # fmt: skip


def of_volume(entry: Entry, prediction: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
    """A row for each class of two label maps, (slices, rows, columns) uint8.

    Dice and IoU are of all voxels, HD95 (um) of boundaries in space, by the spacing of the three axes. What
    neither map has has no score; what one alone has, Dice and IoU 0, and no HD95. `_slices`: the means of the
    slices' own, in the plane, of those that have one.
    """
    classes, many = list(entry.values), len(entry.values)
    counts = overlap.count(prediction, truth, classes=many)
    slices = [(one, other) for one, other in zip(prediction, truth, strict=True)]
    flat = np.stack([overlap.dice(overlap.count(*pair, classes=many), empty=np.nan) for pair in slices])
    far = np.stack([_hd95(*pair, many, entry.spacing[1:]) for pair in slices])
    columns = {
        "dice": overlap.dice(counts, empty=np.nan),
        "iou": overlap.iou(counts, empty=np.nan),
        "hd95": _hd95(prediction, truth, many, entry.spacing),
        "dice_slices": pooling.defined_mean(flat, axis=0),
        "hd95_slices": pooling.defined_mean(far, axis=0),
    }
    _, predicted, true = counts.T
    return [
        {
            "volume": entry.name,
            "group": entry.group,
            "frame": entry.frame,
            "class": name,
            **dict(zip(overlap.COUNTS, counts[k].tolist(), strict=True)),
            MISSED: int(true[k] > 0 and predicted[k] == 0),
            INVENTED: int(predicted[k] > 0 and true[k] == 0),
            **{column: round(float(values[k]), 6) for column, values in columns.items()},
        }
        for k, name in enumerate(classes)
    ]


def lines(table: pd.DataFrame) -> list[str]:
    """A Markdown table of the rows of volumes: of each class the means over the volumes in which it has the
    score, and the means of these over classes; how many volumes have its Dice and its HD95, and in how many
    it was missed or invented."""
    found = table.groupby("class", sort=False)
    means = found[list(MEANS)].mean()
    counted = pd.DataFrame(
        {
            "volumes": found["dice"].count(),
            "with HD95": found["hd95"].count(),
            MISSED: found[MISSED].sum(),
            INVENTED: found[INVENTED].sum(),
        }
    )
    rows = [_cells(name, means.loc[name], counted.loc[name]) for name in means.index]
    if len(rows) > 1:
        rows.append(_cells("mean", means.mean(), counted.sum()[[MISSED, INVENTED]].reindex(counted.columns)))
    return markdown.table(["class", *MEANS.values(), *counted.columns], rows)


def _cells(name: object, means: pd.Series, counted: pd.Series) -> list[object]:
    shown = [f"{value:.0f}" if "hd95" in str(score) else f"{value:.3f}" for score, value in means.items()]
    return [
        name,
        *("" if text == "nan" else text for text in shown),
        *("" if pd.isna(n) else int(n) for n in counted),
    ]


def _hd95(prediction: np.ndarray, truth: np.ndarray, classes: int, spacing: list[float]) -> np.ndarray:
    return boundary.score(prediction, truth, classes=classes, spacing=spacing, tolerance=0).hd95
