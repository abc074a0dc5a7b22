"""Curves of trainings as shapes that the page draws itself (SVG), so that they follow its colours and width.

Lengths are in px of a chart, WIDTH x HEIGHT; the epochs are numbers on the axis, not names.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 18, 36  # margins around the curves
BLOCKS = {f"gradient_{number}": f"block {number}" for number in range(1, 5)}

Place = tuple[float, str]  # along an axis, px, and what stands there


class Line(NamedTuple):
    """One curve of one fold."""

    kind: int  # which of the chart's names: colour and dashes
    points: str  # of an SVG polyline


class Chart(NamedTuple):
    """What is drawn, and what is said of it to those who do not see it."""

    title: str
    names: list[str]  # of the kinds of lines
    lines: list[Line]
    across: list[Place]
    up: list[Place]
    switches: list[Place]
    told: str


def draw(histories: Mapping[int, pd.DataFrame]) -> list[Chart]:
    """Loss, Dice and norms of gradients of the folds' histories; a chart without a value is left out."""
    terms = [str(name) for history in histories.values() for name in history if "train_aux_" in str(name)]
    losses = {"train_main": "train", "valid_main": "validation"}
    losses |= dict.fromkeys(sorted(set(terms)), "auxiliary")
    dice = {"valid_dice": "validation", "ema_dice": "of the average of weights"}
    charts = [
        _chart("Loss", losses, histories, _logarithmic),
        _chart("Dice of held-out images at network size, threshold 0.5", dice, histories, _share),
        _chart("Norm of the gradient, by block of the encoder", BLOCKS, histories, _logarithmic),
    ]
    return [chart for chart in charts if chart.lines]


class Scale(NamedTuple):
    """An axis of values: where one lies, 0 (below) to 1 (above), nan for none, and where it is labelled."""

    place: Callable[[np.ndarray], np.ndarray]
    ticks: list[tuple[float, str]]


def _share(_: np.ndarray) -> Scale:
    return Scale(lambda values: values, [(tick / 5, f"{tick / 5:.1f}") for tick in range(6)])


def _logarithmic(values: np.ndarray) -> Scale:
    """Of values above 0; others have no place."""
    logs = np.log10(values[values > 0])
    low, high = (math.floor(logs.min() * 4) / 4, math.ceil(logs.max() * 4) / 4) if len(logs) else (0, 1)
    high = max(high, low + 0.25)
    marks = [10.0**power * k for power in range(math.floor(low), math.ceil(high) + 1) for k in (1, 2, 5)]
    if high - low > 2:
        step = math.ceil((high - low) / 6)
        marks = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1, step)]
    seen = [(math.log10(mark), mark) for mark in marks]
    ticks = [((log - low) / (high - low), f"{mark:g}") for log, mark in seen if low <= log <= high]

    def place(values: np.ndarray) -> np.ndarray:
        logs = np.log10(values, out=np.full(values.shape, np.nan), where=values > 0)
        return (logs - low) / (high - low)

    return Scale(place, ticks)


def _chart(
    title: str,
    columns: Mapping[str, str],
    histories: Mapping[int, pd.DataFrame],
    scale_of: Callable[[np.ndarray], Scale],
) -> Chart:
    found = [
        (name, history["epoch"].to_numpy(float), history[column].to_numpy(float))
        for history in histories.values()
        for column, name in columns.items()
        if column in history and history[column].notna().any()
    ]
    names = [name for name in dict.fromkeys(columns.values()) if name in {each for each, *_ in found}]
    values = np.concatenate([values for *_, values in found]) if found else np.array([])
    scale = scale_of(values[np.isfinite(values)])
    last = max((epochs.max() for _, epochs, _ in found), default=0.0)
    lines = [
        Line(names.index(name), points)
        for name, epochs, values in found
        for points in _polylines(_across(epochs, last), _up(scale.place(values)))
    ]
    return Chart(
        title=title,
        names=names,
        lines=lines,
        across=[(float(_across(epoch, last)), str(epoch)) for epoch in _whole(int(last))],
        up=[(float(_up(place)), label) for place, label in scale.ticks],
        switches=[(float(_across(epoch, last)), label) for epoch, label in switches(histories)],
        told=_told(title, found),
    )


def switches(histories: Mapping[int, pd.DataFrame]) -> list[tuple[int, str]]:
    """The epochs from which another block is supervised, of all folds, and which it is."""
    found = {}
    for history in histories.values():
        blocks, epochs = history["active_block"].to_numpy(int), history["epoch"].to_numpy(int)
        for place in np.flatnonzero(np.diff(blocks)) + 1:
            found[int(epochs[place])] = f"block {blocks[place - 1]} to {blocks[place]}"
    return sorted(found.items())


def _across(epoch: np.ndarray | float, last: float) -> np.ndarray | float:
    return np.round(LEFT + epoch / max(last, 1) * (WIDTH - LEFT - RIGHT), 1)


def _up(place: np.ndarray | float) -> np.ndarray | float:
    return np.round(HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM), 1)


def _whole(last: int) -> list[int]:
    """Up to seven epochs from 0 on to label."""
    step = next(k * 10**power for power in range(9) for k in (1, 2, 5) if last <= 6 * k * 10**power)
    return list(range(0, last + 1, step))


def _polylines(across: np.ndarray | float, up: np.ndarray | float) -> list[str]:
    """The points of each stretch without a gap; of a single point twice, which is a dot."""
    stretches: list[list[str]] = [[]]
    for x, y in zip(np.atleast_1d(across), np.atleast_1d(up), strict=True):
        if math.isfinite(y):
            stretches[-1].append(f"{x:g},{y:g}")
        else:
            stretches.append([])
    return [" ".join(points * 2 if len(points) == 1 else points) for points in stretches if points]


def _told(title: str, found: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """The first and the last value of each kind, mean of the folds."""
    said = []
    for kind in dict.fromkeys(name for name, *_ in found):
        ends = [values[np.isfinite(values)][[0, -1]] for name, _, values in found if name == kind]
        first, last = np.mean(ends, axis=0)
        said.append(f"{kind} from {first:.3g} to {last:.3g}")
    return f"{title} by epoch, mean of the folds: {', '.join(said)}."


class Phase(NamedTuple):
    """Epochs with one block under auxiliary supervision (0: none), and the mean norms of the gradients."""

    block: int
    first: int
    last: int
    norms: list[float | None]  # None where no epoch has one
    epochs: int  # of all folds


def phases(histories: Mapping[int, pd.DataFrame]) -> list[Phase]:
    """What the auxiliary loss does: the gradients of BLOCKS while each block was supervised, in order."""
    rows = pd.concat(histories.values(), ignore_index=True)
    found = []
    for block, own in rows.groupby("active_block", sort=False):
        norms = [own[column].mean() if column in own else math.nan for column in BLOCKS]
        told = [None if math.isnan(norm) else float(norm) for norm in norms]
        first, last = int(own["epoch"].min()), int(own["epoch"].max())
        found.append(Phase(int(block), first, last, told, len(own)))  # pyright: ignore[reportArgumentType]
    return sorted(found, key=lambda phase: phase.first)
