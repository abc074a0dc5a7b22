"""A fold's predictions on disk: probabilities in oof/ and test/, and what made them in prediction.json."""

from collections.abc import Iterable
from pathlib import Path

from ftu import jsonfile
from ftu.errors import InputError

FACTS = "prediction.json"


def check_fold(folder: Path, model: Path, *, oof: Iterable[str], test: Iterable[str]) -> None:
    """Raise InputError unless `folder` holds just these ids, predicted by the weights in `model`."""
    remedy = "run `dvc repro`, or take the fold out of split.run"
    facts = jsonfile.read(folder / FACTS, f"the fold was not predicted: {remedy}")
    trained = jsonfile.read(model / "model.json", f"the fold was not trained: {remedy}")
    if facts["weights_sha256"] != trained["weights_sha256"]:
        raise InputError(f"{folder}: is stale, {model} was trained again since; run `dvc repro`")
    for part, expected in (("oof", set(oof)), ("test", set(test))):
        found = {path.stem for path in (folder / part).glob("*.png")}
        if found != expected:
            odd = ", ".join(sorted(found ^ expected)[:5])
            raise InputError(
                f"{folder / part}: holds {len(found)} images where {len(expected)} are due (at odds: {odd}); "
                "run `dvc repro`"
            )
