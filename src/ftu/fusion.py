"""One probability map of an image out of many: of an experiment's folds, then of an ensemble's experiments.

Shapes: (h, w) the grid of an experiment's maps, which each experiment has for itself; (H, W) native size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from ftu import probabilities
from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.predictions import map_path

LIST = "members.json"  # what the folder of the members holds
CLIP = 0.5 / probabilities.FULL_SCALE  # half of a file's step: all that rounds to 0 or 1

Part = Literal["oof", "test", "shifted"]
Mean = Literal["probability", "logit"]
Groups = Sequence[tuple[Sequence[Path], float]]  # an experiment each: the maps of its folds, its weight


class Experiment(NamedTuple):
    """A trained experiment: where its maps lie (root/fold_K/PART/TTA/ID.tif), and what it weighs."""

    name: str
    root: Path
    folds: tuple[int, ...]
    weight: float
    tta: str

    def maps(self, part: Part, image_id: str) -> list[Path]:
        """The maps of one image: of test one by each fold; else the one by the fold that held the image out.

        Which fold that is, is this experiment's own affair: another may have dealt the images differently.
        Raises InputError when no fold held the image out.
        """
        folders = [self.root / f"fold_{fold}" for fold in self.folds]
        paths = [map_path(folder, part, self.tta, image_id) for folder in folders]
        found = paths if part == "test" else [path for path in paths if path.exists()]
        if not found:
            raise InputError(
                f"{self.root}: no fold of {list(self.folds)} holds {part}/{self.tta}/{image_id}.tif; "
                f"run `dvc repro`, or take {self.name} out of the ensemble"
            )
        return found


def ensemble(own: Experiment, members: Path, weights: Mapping[str, float]) -> list[Experiment]:
    """`own` and the experiments that were fetched into the folder `members`, weighted by name.

    Raises InputError when `weights` names others than were fetched.
    """
    fetched = jsonfile.read(members / LIST, "run `dvc repro`")["members"]
    if set(weights) != set(fetched):
        raise InputError(
            f"{members}: holds {sorted(fetched)} but the rules weigh {sorted(weights)}; run `dvc repro`"
        )
    others = [
        Experiment(name, members / facts["folder"], tuple(facts["folds"]), weights[name], own.tta)
        for name, facts in fetched.items()
    ]
    return [own, *others]


def groups(experiments: Sequence[Experiment], part: Part, image_id: str) -> Groups:
    """What `native_probability` takes, of one image; an experiment of weight 0 is left out."""
    return [(each.maps(part, image_id), each.weight) for each in experiments if each.weight]


def native_probability(groups: Groups, *, height: int, width: int, mean: Mean) -> np.ndarray:
    """(H, W) float32 in 0..1: the folds' mean, brought to native size, and the experiments' weighted mean.

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
    total = np.zeros((height, width), np.float32)
    for paths, weight in weighed:
        native = _native(paths, height, width)
        if mean == "logit":
            _to_logit(native)
        native *= np.float32(weight / whole)
        total += native
    if mean == "logit":
        _to_probability(total)
    return np.clip(total, 0, 1, out=total)  # a sum of shares may end a rounding above 1


def _native(paths: Sequence[Path], height: int, width: int) -> np.ndarray:
    """The mean of maps of one (h, w), resized to (H, W): the same bytes as the mean of their stack.

    Bilinear where it grows, area average where it shrinks (160 px of HuBMAP prostate): points of a finer map
    would see a part of it alone.
    """
    total = probabilities.read(paths[0])
    for path in paths[1:]:
        one = probabilities.read(path)
        if one.shape != total.shape:
            raise InputError(f"{path}: is {one.shape} px where {paths[0]} is {total.shape}; run `dvc repro`")
        total += one
    total /= np.float32(len(paths))
    shrinks = height <= total.shape[0] and width <= total.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(total, (width, height), interpolation=interpolation)


def _to_logit(probability: np.ndarray) -> None:
    np.clip(probability, CLIP, 1 - CLIP, out=probability)
    probability /= 1 - probability
    np.log(probability, out=probability)


def _to_probability(logit: np.ndarray) -> None:
    np.negative(logit, out=logit)
    np.exp(logit, out=logit)
    logit += 1
    np.reciprocal(logit, out=logit)
