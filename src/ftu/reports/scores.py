"""Out-of-fold scores: per image, then per organ and data source, beside baselines that nobody trained."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ftu.datasets import image_files
from ftu.files import markdown, png
from ftu.files.index import ImageRow, image_file
from ftu.masks import from_maps, metrics
from ftu.masks.from_maps import Case, Way
from ftu.masks.rules import Rules
from ftu.probabilities.ensemble import Experiment, Part
from ftu.reports import class_scores, figures
from ftu.reports.figures import Picture

BASELINES = ("nothing", "everything", "otsu")
SHOWN = 512  # px of an image in the gallery, whose columns are narrower
SCORES = ["id", "organ", "data_source", "dice", "objects", "action"]  # of any scored image

NESTED = {"all oof": "nested", "all shifted": "nested_shifted"}  # estimates of calibrate -> their names here

Nested = dict[str, dict[str, float]]  # name -> dice, low, high: the mean and its 95 % interval


class Trial(NamedTuple):
    """One image to score: its case, where its true mask lies, its image where baselines are asked for, and
    the names of the classes."""

    case: Case
    truth: Path
    image: Path | None
    classes: Sequence[str]


def trials(
    rows: Sequence[ImageRow],
    part: Part,
    experiments: Sequence[Experiment],
    rules: Rules,
    *,
    masks: Path,
    classes: Sequence[str],
    root: Path | None = None,
) -> list[Trial]:
    """A trial for each row, of the maps under `part`, truths in `masks`, and images of the data set `root`.

    Raises InputError as from_maps.cases does.
    """
    return [
        Trial(case, masks / f"{case.row.id}.png", image_file(root, case.row) if root else None, classes)
        for case in from_maps.cases(rows, part, experiments, rules)
    ]


class Scored(NamedTuple):
    """What came of one image: its row of dice.csv, and those of scores.csv, one for each class."""

    row: dict[str, str | float]
    classes: list[dict[str, Any]]


def score(trial: Trial, way: Way, tolerance: float) -> Scored:
    """SCORES of one image, the mean over classes, and the Dice of BASELINES when the trial has an image.

    `tolerance` is that of surface Dice, um.
    """
    row, made, truth = trial.case.row, from_maps.native_cut(trial.case, way), png.read_mask(trial.truth)
    each = class_scores.of_image(
        made.mask, truth, trial.classes, pixel_size=row.pixel_size, tolerance=tolerance
    )
    dice = {"dice": sum(one["dice"] for one in each) / len(each)}
    if trial.image:
        with image_files.pixel_rows(trial.image) as rows:
            dice |= metrics.baseline_dice(rows, truth, len(each))
    scores = {
        "id": row.id,
        "organ": row.organ,
        "data_source": row.data_source,
        **{name: round(value, 6) for name, value in dice.items()},
        "objects": made.objects,
        "action": made.action,
    }
    return Scored(scores, [{"id": row.id} | one for one in each])


def tables(scored: Iterable[Scored]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each image (SCORES and more), and one for each of its classes (class_scores.COLUMNS)."""
    images, classes = [], []
    for one in scored:
        images.append(one.row)
        classes += one.classes
    return (
        pd.DataFrame(images, columns=None if images else SCORES),
        pd.DataFrame(classes, columns=class_scores.COLUMNS),
    )


def with_groups(scores: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Scores (id, ...) with the column `group` of data/folds.csv, where groups are known."""
    if "group" not in table:
        return scores
    return scores.assign(group=scores["id"].map(table.set_index("id")["group"]))


def picture(trial: Trial, way: Way, dice: float, longest: int = SHOWN) -> Picture:
    """Image, truth and prediction of a trial with an image, `longest` px at most; its score is the title."""
    assert trial.image
    row, made = trial.case.row, from_maps.native_cut(trial.case, way)
    shrink = min(1.0, longest / max(made.mask.shape))
    shape = (max(1, round(row.img_height * shrink)), max(1, round(row.img_width * shrink)))
    masks = (image_files.resize_mask(mask, shape) for mask in (png.read_mask(trial.truth), made.mask))
    title = f"{row.organ}, {row.data_source}: Dice {dice:.2f}"
    return Picture(title, figures.rgb(image_files.read_resized(trial.image, shape)), *masks)


def nested(calibration: dict) -> Nested:
    """What rules chosen on other folds score, of calibrate's facts; empty where it chose nothing.

    There is a `nested_shifted` where shifted images took part in the choice.
    """
    found = dict(calibration.get("estimates", {}))
    estimates = {name: found[part]["nested"] for part, name in NESTED.items() if part in found}
    return {
        name: {key: float(value) for key, value in estimate.items()} for name, estimate in estimates.items()
    }


def summary(table: pd.DataFrame, shifted: pd.DataFrame, nested: Nested) -> dict:
    """The mean Dice (the competition's score), per organ, per data source, of baselines; how many are empty.

    `table` has SCORES and BASELINES; `shifted` has SCORES of images made to look like another source, and may
    have no rows: then there is no `dice_shifted`. `nested` has something for rules chosen on these very
    images: their `dice` and `dice_shifted` flatter the choice.
    """
    content = {
        "dice": _mean(table["dice"]),
        "images": len(table),
        "empty": int((table["objects"] == 0).sum()),
        "organ": {str(organ): _mean(rows["dice"]) for organ, rows in table.groupby("organ")},
        "data_source": {str(source): _mean(rows["dice"]) for source, rows in table.groupby("data_source")},
        "baseline": {name: _mean(table[name]) for name in BASELINES},
    }
    if len(shifted):
        organs = {str(organ): _mean(rows["dice"]) for organ, rows in shifted.groupby("organ")}
        content["dice_shifted"] = organs | {"mean": _mean(shifted["dice"])}
    return content | nested


def typical(table: pd.DataFrame) -> list[str]:
    """The id of the image with the median Dice (the lower of two) for each organ and data source; where there
    is one of both, of the worst and the best image, too."""
    ranked = table.sort_values(["dice", "id"], kind="stable")
    parts = [rows["id"] for _, rows in ranked.groupby(["organ", "data_source"])]
    if len(parts) > 1:
        return [ids.iloc[(len(ids) - 1) // 2] for ids in parts]
    (ids,) = parts
    return list(dict.fromkeys(ids.iloc[[0, (len(ids) - 1) // 2, -1]]))


def report(table: pd.DataFrame, shifted: pd.DataFrame, nested: Nested) -> str:
    """The scores as a Markdown table for the terminal and for people, each with its number of images."""
    scores, count = summary(table, shifted, nested), len(table)
    lines = [f"Mean out-of-fold Dice: {scores['dice']:.3f} over {count} images", ""]
    for name, estimate in nested.items():
        which = "the shifted images" if name == "nested_shifted" else "these images"
        lines += [f"The rules were chosen on {which}; chosen on other folds: {estimate['dice']:.3f}", ""]
    rows = []
    for part in ("organ", "data_source"):
        sizes = table[part].value_counts()
        rows += [(name, sizes[name], dice) for name, dice in scores[part].items()]
    if len(shifted):
        sizes = shifted["organ"].value_counts().to_dict() | {"mean": len(shifted)}
        rows += [(f"shifted: {name}", sizes[name], dice) for name, dice in scores["dice_shifted"].items()]
    rows += [(f"baseline: {name}", count, dice) for name, dice in scores["baseline"].items()]
    lines += markdown.table(["part", "images", "Dice"], [(*row, f"{dice:.3f}") for *row, dice in rows])
    if scores["empty"]:
        lines += ["", f"{scores['empty']} of {count} masks are empty."]
    return "\n".join(lines) + "\n"


def _mean(values: pd.Series) -> float:
    return round(float(values.mean()), 6)
