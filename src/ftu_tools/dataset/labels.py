"""What masks and annotations say of each pixel, and its class: 0 the background, 1 the first, and so on."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ftu.errors import InputError
from ftu.pipeline.sections.data import CLASS_NAME, MEAN, MOST_CLASSES

BACKGROUND = "background"  # the class of what has none
UNCLASSIFIED = "unclassified"  # the name of an annotation that has none
BLACK = "#000000"  # background, unless --labels says of another colour that it is
COLOUR = re.compile(r"#[0-9a-f]{6}")
DENSE = 2**16  # labels up to this are counted in a table


class Labels(NamedTuple):
    """A label for each pixel, and what the labels are called."""

    values: np.ndarray  # (H, W), whole numbers
    words: dict[int, str]  # of those that are there: 1, #ff0000, gland
    drawn: bool = False  # whether words are names of shapes, in the order in which they were drawn
    odd: Sequence[tuple[str, str]] = ()  # what is to be told: what happened, and to which


class Meaning:
    """Which class a label stands for."""

    def __init__(self, classes: Sequence[str], labels: Mapping[str, str]) -> None:
        """`labels` are label -> class, as --labels says; InputError where that is no class."""
        self.classes, self.labels = list(classes), dict(labels)
        for label, name in labels.items():
            if name not in (*classes, BACKGROUND):
                raise InputError(
                    f"--labels: {label}={name}: {name!r} is no class; --classes names "
                    f"{', '.join(classes) or 'none'}, and {BACKGROUND} always is one"
                )
        self.colours = [label for label in labels if COLOUR.fullmatch(label)]
        if self.colours and not any(labels[colour] == BACKGROUND for colour in self.colours):
            self.labels.setdefault(BLACK, BACKGROUND)
            self.colours = [label for label in self.labels if COLOUR.fullmatch(label)]
        self.numbers = [label for label in labels if label.isdecimal()]

    def of(self, label: str, drawn: bool) -> int | None:
        """The class's number, None where there is none."""
        if label in self.labels:
            name = self.labels[label]
            return 0 if name == BACKGROUND else self.classes.index(name) + 1
        if drawn:
            return [BACKGROUND, *self.classes].index(label) if label in (BACKGROUND, *self.classes) else None
        if label == "0":
            return 0
        if self.numbers or not label.isdecimal():
            return None
        number = int(label)
        if len(self.classes) == 1:
            return 1
        return number if number <= len(self.classes) else None


def parsed(classes: str, labels: str) -> Meaning:
    """What --classes and --labels say: "gland,vessel" and "1=gland,#ff0000=vessel"."""
    pairs: dict[str, str] = {}
    for part in filter(None, labels.split(",")):
        label, sign, name = part.rpartition("=")
        label = label.strip()
        label = label.lower() if label.startswith("#") else label
        if not (label and sign and name.strip()) or (label.startswith("#") and not COLOUR.fullmatch(label)):
            raise InputError(
                f"--labels: {part!r} is not LABEL=CLASS; write for example 1=gland, '#ff0000=gland' or "
                f"Tumor=gland"
            )
        for spelt in {label, str(int(label))} if label.isdecimal() else {label}:  # 01 is 1 in a mask
            if pairs.setdefault(spelt, name.strip()) != name.strip():
                raise InputError(f"--labels: {spelt} is {pairs[spelt]} and {name.strip()}; keep one")
    return Meaning(named(classes, "--classes"), pairs)


def named(text: str, key: str) -> list[str]:
    """The classes that `key` names, as in "gland,vessel"; InputError, of that key, for what is no name."""
    classes = [name.strip() for name in text.split(",")] if text else []
    for name in classes:
        if name == MEAN:
            raise InputError(f"{key}: {MEAN!r} is what reports call the mean over classes; use another name")
        odd = name.isdecimal() or name in (BACKGROUND, UNCLASSIFIED)
        if odd or not re.fullmatch(CLASS_NAME, name):
            raise InputError(
                f"{key}: {name!r} is no name of a class; write for example gland,vessel, in plain "
                f"letters (of the foreground alone: {BACKGROUND} is always there)"
            )
    if len(set(classes)) < len(classes):
        raise InputError(f"{key}: {', '.join(classes)} names one twice; keep one")
    if len(classes) > MOST_CLASSES:
        raise InputError(f"{key}: names {len(classes)}; a mask has room for {MOST_CLASSES}")
    return classes


def counts(values: np.ndarray) -> dict[int, int]:
    """How many pixels each label has, of those that are there."""
    if values.size and values.min() >= 0 and values.max() < DENSE:
        table = np.bincount(values.ravel())
        return {int(label): int(table[label]) for label in np.flatnonzero(table)}
    found, numbers = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def mask(values: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    """(H, W) uint8 of class numbers: `classes` are label -> number of those that are there."""
    if not classes:
        return np.zeros(values.shape, np.uint8)
    if min(classes) >= 0 and max(classes) < DENSE:
        table = np.zeros(max(classes) + 1, np.uint8)
        table[list(classes)] = list(classes.values())
        return table[values]
    found = np.array(sorted(classes))
    table = np.array([classes[int(label)] for label in found], np.uint8)
    return table[np.searchsorted(found, values)]
