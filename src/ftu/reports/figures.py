"""Pictures for people: loss curves, and a gallery of outlines.

Matplotlib is imported where something is drawn: it takes as long as all else that a stage imports, and the
worker processes, which import what the stage does, draw nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pandas as pd

from ftu.errors import InputError
from ftu.files import csvfile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH, PREDICTION = (0, 158, 115), (213, 94, 0)  # RGB, told apart by colour-blind readers too

# Of classes in turn, RGB: Okabe and Ito, Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/)
CLASS_COLOURS = (
    (230, 159, 0), (86, 180, 233), (240, 228, 66), (204, 121, 167),
    (213, 94, 0), (0, 158, 115), (0, 114, 178),
)  # fmt: skip

BLOCK_NAMES = [f"block {number}" for number in range(1, 5)]
BLOCK_COLOURS = {
    f"gradient_{number}": colour
    for number, colour in enumerate(("#440154", "#31688e", "#35b779", "#d8b000"), 1)
}


def read_history(path: Path) -> pd.DataFrame:
    """history.csv of a training: a row per epoch, each cell a number, or nan where it is empty."""
    table = csvfile.read_csv(path)
    csvfile.check_columns(path, table, ["epoch", "active_block", "train_main", "valid_dice", "ema_dice"])
    if table.empty:
        raise InputError(f"{path}: has no rows; run `dvc repro` to train the fold again")
    return csvfile.measured(str(path), table, table.columns)


def draw_curves(histories: Mapping[int, pd.DataFrame], path: Path) -> None:
    """Losses, validation Dice and the norm of each encoder block's gradient, of each fold by epoch.

    The switch is marked where the active block changes.
    """
    from matplotlib.lines import Line2D

    figure = _figure(13, 3.5)
    losses, dice, gradients = figure.subplots(1, 3)
    for history in histories.values():
        losses.plot(history["epoch"], history["train_main"], color="tab:blue", alpha=0.6)
        losses.plot(history["epoch"], history["valid_main"], color="tab:red", alpha=0.6)
        terms = [name for name in history if str(name).startswith("train_aux_")]
        for term, style in zip(terms, cycle((":", "--", "-.", "-")), strict=False):
            if history[term].notna().any():
                losses.plot(history["epoch"], history[term], style, color="tab:green", alpha=0.6)
        dice.plot(history["epoch"], history["valid_dice"], color="tab:red", alpha=0.6)
        dice.plot(history["epoch"], history["ema_dice"], "--", color="tab:red", alpha=0.6)
        for name, colour in BLOCK_COLOURS.items():
            gradients.plot(history["epoch"], history[name], color=colour, alpha=0.6)
    _name_lines(losses, histories)
    losses.set(xlabel="epoch", ylabel="loss", yscale="log")
    dice.set(xlabel="epoch", ylabel="validation Dice (network size)", ylim=(0, 1))
    gradients.set(xlabel="epoch", ylabel="norm of the gradient", yscale="log")
    gradients.legend([Line2D([], [], color=colour) for colour in BLOCK_COLOURS.values()], BLOCK_NAMES)
    for axes in (losses, dice, gradients):
        _mark_switch(axes, next(iter(histories.values())))
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    """A figure in matplotlib's own style: a matplotlibrc in any of its places would give other bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()
    return Figure(figsize=(width, height), layout="constrained")


class Picture(NamedTuple):
    """One column of a gallery: the image (H, W, 3) uint8, and two masks (H, W) uint8 of 0 and classes."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of an (H, W, C) image, grey or RGB."""
    return image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)


def draw_gallery(pictures: Sequence[Picture], path: Path, classes: Sequence[str] = ("",)) -> None:
    """Per column: the image, below it the image with the outlines of both masks. Of several classes, that of
    `draw_classes`."""
    from matplotlib.lines import Line2D

    if len(classes) > 1:
        draw_classes(pictures, path, classes)
        return
    figure = _figure(2.0 * len(pictures), 4.6)
    for (above, below), (title, image, truth, prediction) in zip(
        figure.subplots(2, len(pictures), squeeze=False).T, pictures, strict=True
    ):
        above.imshow(image)
        above.set_title(title, fontsize=8, parse_math=False)  # a name may hold a $
        below.imshow(outlined(outlined(image, truth, TRUTH), prediction, PREDICTION))
        for axes in (above, below):
            axes.axis("off")
    key = {"truth": TRUTH, "prediction": PREDICTION}
    lines = [Line2D([], [], color=f"#{bytes(colour).hex()}", linewidth=2) for colour in key.values()]
    figure.legend(lines, list(key), loc="outside lower center", ncols=len(key), fontsize=8, frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_classes(pictures: Sequence[Picture], path: Path, classes: Sequence[str]) -> None:
    """Per column: the image, the image with the outlines of the truth, and with those of the prediction, a
    colour for each class."""
    from matplotlib.lines import Line2D

    tallest = max(picture.image.shape[0] / picture.image.shape[1] for picture in pictures)
    figure = _figure(max(3.2 * len(pictures), 5), 3 * 3.0 * min(tallest, 2) + 0.8)
    colours = [CLASS_COLOURS[number % len(CLASS_COLOURS)] for number in range(len(classes))]
    columns = figure.subplots(3, len(pictures), squeeze=False).T
    for column, (title, image, truth, prediction) in zip(columns, pictures, strict=True):
        column[0].set_title(title, fontsize=8, parse_math=False)
        for axes, mask in zip(column, (np.zeros_like(truth), truth, prediction), strict=True):
            shown = image
            for number, colour in enumerate(colours, start=1):
                shown = outlined(shown, (mask == number).view(np.uint8), colour)
            axes.imshow(shown)
            axes.set(xticks=[], yticks=[])
    for axes, name in zip(columns[0], ("image", "truth", "prediction"), strict=True):
        axes.set_ylabel(name, fontsize=8)
    lines = [Line2D([], [], color=f"#{bytes(colour).hex()}", linewidth=2) for colour in colours]
    figure.legend(lines, list(classes), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A copy of the (H, W, 3) image with the contours of the (H, W) mask, about 1 % of the width thick."""
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, colour, max(1, image.shape[1] // 120))


def _name_lines(axes: Axes, histories: Mapping[int, pd.DataFrame]) -> None:
    from matplotlib.lines import Line2D

    supervised = any(history["active_block"].any() for history in histories.values())
    lines = {"train": "tab:blue", "validation": "tab:red"} | (
        {"auxiliary": "tab:green"} if supervised else {}
    )
    axes.legend([Line2D([], [], color=colour) for colour in lines.values()], list(lines))


def _mark_switch(axes: Axes, history: pd.DataFrame) -> None:
    blocks = history["active_block"]
    for epoch in history["epoch"][1:][blocks.diff()[1:] != 0]:
        axes.axvline(epoch, color="black", linestyle="dotted")
        label = f" block {blocks[epoch - 1]:.0f} to {blocks[epoch]:.0f}"
        axes.text(epoch, 0.02, label, fontsize=8, transform=axes.get_xaxis_transform())
