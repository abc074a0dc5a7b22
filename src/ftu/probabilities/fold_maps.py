"""A fold's predictions on disk: PART/SET/ID.tif, and what made them in prediction.json.

Parts are oof, the images that the fold holds out; shifted, the same ones made to look like another source;
and test. Sets are those of views: of each image there is a map for every set that was asked for.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ftu.errors import InputError, some
from ftu.files import jsonfile

FACTS = "prediction.json"


class Selection(NamedTuple):
    """Which epoch the networks are of: what of it was decided by the images that each of them holds out."""

    rule: str  # train.checkpoint
    first: int  # the first epoch that the rule looked at
    stopped_early: bool  # the training of one of them or more
    watched: int = 0  # test images whose shapes chose the epoch, without masks; 0: held-out images did
    loss: bool = False  # it was the lowest of the held-out images' loss, not their highest Dice

    @property
    def named(self) -> str:
        """The rule, whether early stopping chose the end, and what both looked at where that was no Dice."""
        named = f"{self.rule}, stopped early" if self.stopped_early else self.rule
        return f"{named}, by test images" if self.watched else f"{named}, by loss" if self.loss else named

    @property
    def flatters(self) -> bool:
        """Whether the held-out images decided anything, so that their scores are too high."""
        return not self.watched and self.named != "last"


def map_path(folder: Path, part: str, tta: str, name: str) -> Path:
    """Where the map of one image and set lies in the folder of a fold."""
    return folder / part / tta / f"{name}.tif"


def set_names(tta: str, candidates: Iterable[str]) -> list[str]:
    """The sets that are predicted: `tta` first, then every other one, once."""
    return list(dict.fromkeys([tta, *candidates]))


def check_fold(folder: Path, model: Path, *, tta: str, due: Mapping[str, Iterable[str]]) -> None:
    """Raise InputError unless `folder` holds just the ids that are `due`, predicted by `model`'s weights.

    `due` has the ids of each part (oof, shifted, test); `tta` is the set of views.
    """
    remedy = "run `dvc repro`, or take the fold out of split.run"
    facts = jsonfile.read(folder / FACTS, f"the fold was not predicted: {remedy}")
    trained = jsonfile.read(model / "model.json", f"the fold was not trained: {remedy}")
    if "weights_sha256" not in trained or facts.get("weights_sha256") != trained["weights_sha256"]:
        raise InputError(f"{folder}: is stale, {model} was trained again since; run `dvc repro`")
    sets = facts.get("sets")
    if not isinstance(sets, list) or tta not in sets:
        named = ", ".join(map(str, sets)) if isinstance(sets, list) else sets
        raise InputError(
            f"{folder}: has no set {tta} (predicted: {named}); name it in "
            "predict.tta or predict.candidates, and run `dvc repro`"
        )
    for part, ids in due.items():
        _check_set(folder / part / tta, set(ids))


def selection(models: Iterable[Path]) -> Selection:
    """By which rule the epochs of these models were chosen, of which there is one or more.

    Raises InputError when one does not say it, or says another than the one before.
    """
    found: dict[tuple[str, int], Path] = {}
    stopped, watched, loss = False, 0, False
    remedy = "train the fold again with `dvc repro -f -s train`"
    for model in models:
        with jsonfile.facts(model / "model.json", remedy) as facts:
            late = facts["checkpoint"] == "best_after_switch"
            found[facts["checkpoint"], facts["switch_epoch"] if late else 0] = model
            stopped |= facts.get("stopped_early", False)  # which earlier versions did not say
            watched = max(watched, facts.get("watched", 0))
            loss |= facts.get("watch") == "loss"
    if len(found) > 1:
        one, other, *_ = (f"{model}: {rule} from epoch {first} on" for (rule, first), model in found.items())
        raise InputError(f"{other}, but {one}: train.checkpoint has changed between them; run `dvc repro`")
    rule, first = next(iter(found))
    if rule == "last" and not stopped:  # nothing chose, whatever was watched
        return Selection(rule, first, stopped)
    return Selection(rule, first, stopped, watched, loss)


def _check_set(folder: Path, expected: set[str]) -> None:
    found = {path.stem for path in folder.glob("*.tif")}
    if found != expected:
        raise InputError(
            f"{folder}: holds {len(found)} images where {len(expected)} are due "
            f"(at odds: {some(sorted(found ^ expected))}); run `dvc repro`"
        )
