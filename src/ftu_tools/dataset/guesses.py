"""Guesses at parameters from the files and names of a data set in folders, each with a sentence."""

import math
import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ftu.datasets import image_files
from ftu.errors import InputError, some
from ftu.files import names
from ftu_tools.dataset import naming
from ftu_tools.dataset.labels import MOST_CLASSES

FOLDS = 5
LARGEST_SIDE = 512  # px: what a laptop trains on
ALIKE = 1.5  # times by which sizes of images, or of their pixels, may differ to be squeezed to one square
MOST_WINDOWS = 400  # in an epoch: minutes on a laptop
MANY_CLASSES = 20  # so many are rather the numbers of objects
THRESHOLD = 0.5
WIDTH = 256  # of a U-Net of several classes, whose last map has a sixteenth of the channels, as smp's
MAKE = "PYTHONPATH=src python -m ftu_tools.dataset.make"

Sections = dict[str, dict[str, Any]]  # train.model is a section, too


class Guess(NamedTuple):
    """Values of parameters, by section, and sentences on where they came from."""

    sections: Sections
    words: list[str]


def together(guesses: Sequence[Guess]) -> Guess:
    """All of them as one; no two name the same key."""
    sections: Sections = {}
    for guess in guesses:
        for section, values in guess.sections.items():
            sections[section] = sections.get(section, {}) | values
    return Guess(sections, [sentence for guess in guesses for sentence in guess.words])


def channels(paths: Sequence[Path]) -> Guess:
    """Grey or RGB, and what follows of colours; InputError where both are there."""
    found = {image_files.image_channels(path): path for path in paths}
    if len(found) > 1:
        raise InputError(
            f"{found[1]} is grey, and {found[3]} RGB; a data set has one kind: convert the others, "
            "`magick IN -colorspace gray OUT.png`"
        )
    (count,) = found
    if count == 3:
        return Guess({"data": {"channels": 3}}, ["data.channels: 3, RGB"])
    return Guess(
        {"data": {"channels": 1}, "augment": {"hue": 0.0, "stain": 0.0}},
        ["data.channels: 1, grey; so augment.hue and augment.stain are 0, stain.backend none"],
    )


def classes(paths: Sequence[Path], said: Sequence[str]) -> Guess:
    """A class for each number up to the largest in masks, called as `said`, or class_1, class_2, ...

    InputError where the numbers are rather levels of grey, or `said` names fewer: for all that decode would
    refuse (ftu.datasets.folders).
    """
    holds = {path: np.unique(image_files.read_labels(path)).tolist() for path in paths}
    numbers = sorted({number for values in holds.values() for number in values} - {0})
    if len(said) < 2 and all(set(values) <= {0, 1} or set(values) <= {0, 255} for values in holds.values()):
        numbers = [1] if numbers else []
    elif numbers:
        _check_numbers(numbers, holds, said)
    count = max([1, len(said), *numbers])
    called = list(said) or [f"class_{number}" for number in range(1, count + 1)]
    numbered = "all that is not 0 in masks" if count == 1 else f"the numbers 1 to {count} in masks"
    words = [f"data.classes: {some(called, 6)}, {numbered}"]
    words += [] if said else ["rename data.classes, in this order; give CLASSES=gland,vessel to begin with"]
    if absent := sorted(set(range(1, count + 1)) - set(numbers)):
        words.append(f"no mask holds {some(map(str, absent))}; are these classes?")
    if count > MANY_CLASSES:
        words.append(f"{count} classes are many; where each object has a number, make one class: `{MAKE}`")
    one = count == 1
    sections: Sections = {
        "data": {"classes": called},
        "postprocess": {"method": "table" if one else "argmax", "never_empty": "warn"},
        "calibrate": {"enabled": False, "metric": "dice"},
        "ensemble": {"mean": "probability"},
    }
    if not one:
        sections["train.model"] = {"width": WIDTH}
        words.append(
            f"train.model.width: {WIDTH}, so that the {WIDTH // 16} channels of the last map tell "
            f"{count + 1} classes apart"
        )
        words.append(
            "several classes: each pixel is of the likeliest (postprocess.method argmax), so that there are "
            "no thresholds, and calibrate, shift and the mean of logits are off"
        )
    return Guess(sections, words)


def _check_numbers(numbers: Sequence[int], holds: Mapping[Path, list[int]], said: Sequence[str]) -> None:
    """Raise InputError unless these are numbers of classes, of those `said` where some are."""
    largest = numbers[-1]
    path = next(path for path, values in holds.items() if largest in values)
    called = shlex.quote(",".join(said)) if said else "NAME,NAME"
    mapped = ",".join(f"{number}=NAME" for number in numbers[:3])
    make = f"make such masks: `{MAKE} IMAGES MASKS --to NEW --classes {called} --labels {mapped}`"
    if said and largest > len(said):
        one = "one class has 0 and 1, or 0 and 255"
        expected = one if len(said) == 1 else f"{len(said)} classes has 0 to {len(said)}"
        raise InputError(
            f"{path}: has the values {some(holds[path])}; a mask of {expected}, and CLASSES names "
            f"{', '.join(said)}; name all, the first is 1, or {make}"
        )
    if largest > MOST_CLASSES or (not said and largest > max(MANY_CLASSES, 2 * len(numbers))):
        raise InputError(
            f"{path}: holds {largest}; masks hold {some(map(str, numbers), 6)}, and classes are numbered "
            f"from 1 on; {make}"
        )


def belonging(root: Path, train: pd.DataFrame, test: pd.DataFrame, said: pd.DataFrame) -> Guess:
    """Who is of one patient or volume, by images.csv or by names, and what a fold holds as a whole.

    `train` and `test` have the columns `group` and `z` where images.csv has.
    """
    seen = naming.guess(list(train["name"]), list(test["name"]))
    both = pd.concat([train, test])
    told = "group" in said
    group = "group" if told else seen.group
    z = "z" if told and "z" in said and _are_slices(both) else seen.z
    units = _units(train, group)
    if z and units < 2:
        by, what = "z", "neighbouring slices of one volume, which says nothing of other volumes"
        units = _slices(train, z)
    else:
        by, what = ("group", f"{units} groups") if group else ("image", "single images")
    if units < 2:
        what = "groups" if group else "images"
        raise InputError(f"{root}: has {units} training {what}, and folds need two at least; add more")
    count = min(FOLDS, units)
    both_told = "images.csv" if z in ("", "z") else "images.csv; z by names"
    origin = both_told if told else f"names, such as {train['name'].iloc[0]}; a guess, check it"
    words = [f"data.group: ['{group}'], data.z: '{z}' ({origin})"] if group else []
    lonely = "; where images share a patient, slide or volume, say so in data.group"
    words.append(f"split.by: {by}, {count} folds of {what}{'' if group else lonely}")
    return Guess(
        {
            "data": {"group": [group] if group else [], "z": z},
            "split": {"count": count, "run": list(range(count)), "by": by},
        },
        words,
    )


def _are_slices(both: pd.DataFrame) -> bool:
    """Whether the columns `group` and `z` say a slice of one volume: a patient may have several volumes."""
    again = both.duplicated(["set", "data_source", "group", "z"])
    return bool(both["z"].str.fullmatch(r"\d+").all() and not again.any())


def _units(train: pd.DataFrame, group: str) -> int:
    """Groups of training images; what has none is one of its own."""
    if not group:
        return len(train)
    values = names.with_told(train, group)[group].str.strip()
    return values[values != ""].nunique() + int((values == "").sum())


def _slices(train: pd.DataFrame, z: str) -> int:
    """The slices of the largest volume."""
    if not names.is_pattern(z):
        return len(train)
    return max(Counter(names.without(name, z) for name in train["name"]).values())


def pixel_size(root: Path, train: pd.DataFrame, said: pd.DataFrame) -> float:
    """um per px as the table says of most images, or as the first image's file states; 0 where neither
    does."""
    if known := sizes_said(said):
        return statistics.mode(known)
    stated: Sequence[float] = list(image_files.stated_of(root / train["image"].iloc[0]).values())
    return round(stated[0], 6) if stated else 0.0


def sizes_said(said: pd.DataFrame) -> list[float]:
    """um per px as images.csv says, of the images of which it does."""
    return [float(value) for value in said["pixel_size"] if value] if "pixel_size" in said else []


def shown(train: pd.DataFrame, scale: float, scales: Sequence[float], folds: int) -> Guess:
    """What the network sees of images of `train`: whole ones, where these are small and alike, or windows of
    `scale` um per px; and how many at a time."""
    sides = train[["img_height", "img_width"]].to_numpy()
    smallest, longest = np.quantile(sides.min(axis=1), 0.05), np.quantile(sides.max(axis=1), 0.95)
    side = min(max(round(float(np.median(sides.max(axis=1))) / 32) * 32, 64), LARGEST_SIDE)
    one_scale = not scales or max(scales) <= ALIKE * min(scales)
    fixed = longest <= LARGEST_SIDE and longest <= ALIKE * smallest and one_scale
    holds = 1 if fixed else math.ceil(float(np.median(sides.prod(axis=1))) / side**2)
    crops = min(holds, max(1, MOST_WINDOWS // len(train)))
    words = [f"resize.mode: fixed, every image squeezed to {side} x {side} px"]
    if not fixed:
        few = f", which holds {holds}; more take longer" if crops < holds else ""
        words = [
            f"resize.mode: microns, windows of {side} x {side} px at {scale:g} um per px, as the images are; "
            "a larger resize.microns shows more at once, and takes less time",
            f"train.crops: {crops}, the windows of an image in an epoch{few}",
        ]
    windows = len(train) * (folds - 1) // folds * crops
    sections: Sections = {
        "resize": {"mode": "fixed" if fixed else "microns", "side": side, "microns": scale},
        "train": {"batch_size": max(1, min(4, windows)), "crops": crops},
    }
    return Guess(sections, words)
