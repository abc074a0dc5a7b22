"""A trained model on disk: weights.safetensors and model.json, all that is needed to build it again."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from ftu import jsonfile
from ftu.digest import sha256
from ftu.errors import InputError
from ftu.segmenter import Segmenter, build_segmenter
from ftu.standardize import MEAN, STD

WEIGHTS = "weights.safetensors"
FACTS = "model.json"


def save(folder: Path, model: Segmenter, state: dict[str, Tensor], architecture: dict, facts: dict) -> None:
    """Write `state`, weights of `model`, and what describes them; build_segmenter takes `architecture`."""
    model.load_state_dict(state)
    # CoaT has layers under two names: save_file refuses shared tensors, and save_model lists them in an order
    # that changes from run to run.
    weights = {name: value.cpu().contiguous().clone() for name, value in state.items()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    content = {
        "architecture": architecture,
        "mean": MEAN,
        "std": STD,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    jsonfile.write(folder / FACTS, content | facts)


def load(folder: Path) -> tuple[Segmenter, dict]:
    """The network that `save` wrote, and its facts.

    Raises InputError when a part is missing or the weights do not fit the architecture.
    """
    facts = jsonfile.read(folder / FACTS, "the fold was not trained: run `dvc repro`")
    model = build_segmenter(**facts["architecture"])
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{folder / WEIGHTS}: cannot be loaded ({error}); run `dvc repro` to train it again"
        ) from error
    if odd := _misfits(model.state_dict(), weights):
        raise InputError(
            f"{folder / WEIGHTS}: are those of another network than {FACTS} names, {facts['architecture']}: "
            f"{len(odd)} tensors differ, {odd[0]} first; run `dvc repro` to train it again"
        )
    model.load_state_dict(weights)
    return model, facts


def _misfits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """The names under which only one side has a tensor, or both have one of another shape."""
    one, other = ({(name, value.shape) for name, value in side.items()} for side in (ours, theirs))
    return sorted({name for name, _ in one ^ other})
