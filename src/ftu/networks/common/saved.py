"""A trained model on disk: weights.safetensors and model.json, all that is needed to build it again."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Generic, Self, TypeVar

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from ftu.cache.hashes import sha256
from ftu.errors import InputError
from ftu.files import jsonfile, limits
from ftu.networks.common import build, weights_file
from ftu.networks.common.contract import Segmenter
from ftu.networks.common.standardize import MEAN, STD

WEIGHTS = "weights.safetensors"
FACTS = "model.json"
Architecture = TypeVar("Architecture", bound=BaseModel)  # of a family
PerChannel = Annotated[list[float], Field(min_length=1, max_length=3)]  # of red, green, blue, or of grey


class Facts(BaseModel, Generic[Architecture]):
    """What of model.json is used to build the network and to predict; the rest is for people."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    architecture: Architecture
    mean: PerChannel
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=3)]
    weights_sha256: str

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        channels = getattr(self.architecture, "channels", 3)
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(f"mean {self.mean} and std {self.std} are not of {channels} channels")
        return self


def save(folder: Path, model: Segmenter, state: dict[str, Tensor], architecture: dict, facts: dict) -> None:
    """Write `state`, weights of `model`, and what describes them; `build` takes `architecture`.

    `mean` and `std` in `facts` say how images are standardised for it, if not with ImageNet's statistics.
    """
    model.load_state_dict(state)
    write_weights(folder / WEIGHTS, state)
    content = {
        "architecture": architecture,
        "mean": list(MEAN),
        "std": list(STD),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    jsonfile.write(folder / FACTS, content | facts)


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """CoaT has layers under two names: save_file refuses shared tensors, and save_model lists them in an
    order that changes from run to run."""
    weights = {name: value.cpu().contiguous().clone() for name, value in state.items()}
    safetensors.torch.save_file(weights, path)


def load(folder: Path) -> tuple[Segmenter, dict]:
    """The network that `save` wrote, and its facts.

    Nothing in either file is run: one is JSON, the other names, shapes and numbers. Raises InputError when a
    part is missing or damaged, or the weights do not fit the architecture.
    """
    facts = jsonfile.read(folder / FACTS, "the fold was not trained: run `dvc repro`")
    try:
        Facts[builder(folder).Architecture].model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        told = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{folder / FACTS}: {where}{told}; run `dvc repro` to train the fold again"
        ) from error
    try:
        limits.opened(folder / WEIGHTS, weights_file.LARGEST).close()
        found = sha256(folder / WEIGHTS)
    except OSError:
        found = ""
    if found != facts["weights_sha256"]:
        raise InputError(
            f"{folder / WEIGHTS}: cannot be loaded (missing, or not those that {FACTS} names); run "
            "`dvc repro` to train it again"
        )
    model = build.build(facts["architecture"])
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{folder / WEIGHTS}: cannot be loaded ({error}); run `dvc repro` to train it again"
        ) from error
    if odd := misfits(model.state_dict(), weights):
        raise InputError(
            f"{folder / WEIGHTS}: are those of another network than {FACTS} names, {facts['architecture']}: "
            f"{len(odd)} tensors differ, {odd[0]} first; run `dvc repro` to train it again"
        )
    if fault := weights_file.tensors_fault(weights):
        raise InputError(f"{folder / WEIGHTS}: {fault}; run `dvc repro` to train it again")
    model.load_state_dict(weights)
    return model, facts


def builder(folder: Path) -> ModuleType:
    """The module that builds the network whose model.json lies there; InputError for an unknown family."""
    architecture = jsonfile.read(folder / FACTS, "run `dvc repro`").get("architecture")
    try:
        return build.family(architecture if isinstance(architecture, dict) else {})
    except InputError as error:
        raise InputError(f"{folder / FACTS}: {error}, or the version that made it") from error


def misfits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """The names under which only one side has a tensor, or both have one of another shape."""
    one, other = ({(name, value.shape) for name, value in side.items()} for side in (ours, theirs))
    return sorted({name for name, _ in one ^ other})
