"""One probability map of an image out of many: of an experiment's folds, then of an ensemble's experiments.

Shapes: (h, w) the grid of an experiment's maps, which each experiment has for itself; (H, W) native size.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.probabilities.fold_maps import check_fold, map_path
from ftu.probabilities.mean import Groups

LIST = "members.json"  # what the folder of the members holds

Part = Literal["oof", "test", "shifted"]


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


def opened(
    predictions: Path,
    members: Path,
    models: Path,
    *,
    own: float,
    weights: Mapping[str, float],
    sets: Sequence[str],
    due: Mapping[int, Mapping[str, Iterable[str]]],
) -> list[Experiment]:
    """The project's own experiment, of weight `own`, and the members, once its folds hold what is due.

    `due` has the ids of each part that each fold must have predicted, in all `sets` of views, by the weights
    in `models`; the first set is the one that is read. Raises InputError as `check_fold` and `ensemble` do.
    """
    for fold, parts in due.items():
        folder = f"fold_{fold}"
        for tta in sets:
            check_fold(predictions / folder, models / folder, tta=tta, due=parts)
    return ensemble(Experiment("own", predictions, tuple(due), own, sets[0]), members, weights)


def ensemble(own: Experiment, members: Path, weights: Mapping[str, float]) -> list[Experiment]:
    """`own` and the experiments that were fetched into the folder `members`, weighted by name.

    Raises InputError when `weights` names others than were fetched.
    """
    with jsonfile.facts(members / LIST, "run `dvc repro`") as content:
        fetched = content["members"]
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
