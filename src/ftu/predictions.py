"""A fold's predictions on disk: probabilities in oof/ and test/, and what made them in prediction.json."""

import json
from collections.abc import Iterable
from pathlib import Path

from ftu.errors import InputError

FACTS = "prediction.json"


def read_facts(folder: Path) -> dict:
    """What made the predictions in `folder`: fold, tta, image size, and the sha256 of the weights."""
    path = folder / FACTS
    if not path.is_file():
        raise InputError(
            f"{folder}: the fold was not predicted; run `dvc repro`, or take it out of split.run"
        )
    return json.loads(path.read_text())


def check_fold(folder: Path, model: Path, *, oof: Iterable[str], test: Iterable[str]) -> None:
    """Raise InputError unless `folder` holds just these ids, predicted by the weights in `model`."""
    facts = read_facts(folder)
    current = json.loads((model / "model.json").read_text())["weights_sha256"]
    if facts["weights_sha256"] != current:
        raise InputError(f"{folder}: is stale, {model} was trained again since; run `dvc repro`")
    for part, expected in (("oof", set(oof)), ("test", set(test))):
        found = {path.stem for path in (folder / part).glob("*.png")}
        if found != expected:
            odd = ", ".join(sorted(found ^ expected)[:5])
            raise InputError(
                f"{folder / part}: holds {len(found)} images where {len(expected)} are due (at odds: {odd}); "
                "run `dvc repro`"
            )
