"""The mean of maps: of folds, and of experiments by weight, at native size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ftu.errors import InputError
from ftu.probabilities import map_file

CLIP = 0.5 / map_file.FULL_SCALE  # half of a file's step: all that rounds to 0 or 1


Mean = Literal["probability", "logit"]


Groups = Sequence[tuple[Sequence[Path], float]]  # an experiment each: the maps of its folds, its weight


def native_probability(groups: Groups, *, height: int, width: int, mean: Mean) -> np.ndarray:
    """(C, H, W) float32 in 0..1: the folds' mean, brought to native size, and the experiments' weighted mean.

    The folds of an experiment are averaged as probabilities. Experiments are averaged as `mean` says; as
    logits, probabilities are first kept 1/131070 away from 0 and 1, half a step of the files. One experiment
    is taken as it is. Two native maps are in memory at a time, whatever the number of models.

    Raises ValueError when no weight is above 0; InputError for a map that is missing or damaged, and for
    folds of one experiment that differ in size.
    """
    weighed = [(paths, weight) for paths, weight in groups if weight > 0]
    if not weighed:
        raise ValueError("an ensemble needs at least one weight above 0")
    if len(weighed) == 1:
        return _native(weighed[0][0], height, width)
    whole = sum(weight for _, weight in weighed)
    total = None
    for paths, weight in weighed:
        native = _native(paths, height, width)
        if mean == "logit":
            _to_logit(native)
        native *= np.float32(weight / whole)
        total = native if total is None else np.add(total, native, out=total)
        del native  # or it would lie beside the next
    assert total is not None
    if mean == "logit":
        _to_probability(total)
    return np.clip(total, 0, 1, out=total)  # a sum of shares may end a rounding above 1


def _native(paths: Sequence[Path], height: int, width: int) -> np.ndarray:
    """The mean of maps of one (C, h, w), resized to (C, H, W): the same bytes as the mean of their stack.

    Bilinear where it grows, area average where it shrinks (160 px of HuBMAP prostate): points of a finer map
    would see a part of it alone.
    """
    total = map_file.read(paths[0])
    for path in paths[1:]:
        one = map_file.read(path)
        if one.shape != total.shape:
            raise InputError(
                f"{path}: is {one.shape} (classes, px) where {paths[0]} is {total.shape}; run `dvc repro`"
            )
        total += one
    total /= np.float32(len(paths))
    shrinks = height <= total.shape[1] and width <= total.shape[2]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    native = np.empty((len(total), height, width), np.float32)
    for band, target in zip(total, native, strict=True):
        cv2.resize(band, (width, height), dst=target, interpolation=interpolation)
    return native


def _to_logit(probability: np.ndarray) -> None:
    np.clip(probability, CLIP, 1 - CLIP, out=probability)
    probability /= 1 - probability
    np.log(probability, out=probability)


def _to_probability(logit: np.ndarray) -> None:
    np.negative(logit, out=logit)
    np.exp(logit, out=logit)
    logit += 1
    np.reciprocal(logit, out=logit)
