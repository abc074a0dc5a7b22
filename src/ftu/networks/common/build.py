"""Networks by family: each is a folder beside this one, whose module `segmenter` builds its networks."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ftu.errors import InputError
from ftu.networks.common.contract import Segmenter, outputs_of

OLDEST = "encoder_decoder"  # the family of a model.json that names none


def described(model: Mapping[str, Any], *, size: int, channels: int, classes: int) -> dict[str, Any]:
    """What `build` takes for a network of these parameters (train.model) and images of `size` px.

    Of RGB images and one class it says what earlier versions said: their files have the same bytes.
    """
    own = {"channels": channels, "outputs": outputs_of(classes)}
    return {**model, "size": size} | ({} if channels == 3 and classes == 1 else own)


def build(architecture: Mapping[str, Any]) -> Segmenter:
    """The network that `architecture` describes, at random: its `family`, and what that one's builder takes.

    Raises InputError when there is no such family, or it cannot build that.
    """
    parts = {name: value for name, value in architecture.items() if name != "family"}
    return family(architecture).build_segmenter(**parts)


def takes_one_size(architecture: Mapping[str, Any]) -> bool:
    """Whether the network is built for one image size and takes no other."""
    return family(architecture).takes_one_size(architecture)


def family(architecture: Mapping[str, Any]) -> ModuleType:
    """The module that builds networks like this one; InputError when its family is unknown."""
    name = architecture.get("family", OLDEST)
    known = sorted(path.parent.name for path in Path(__file__).parents[1].glob("*/segmenter.py"))
    if name not in known:
        raise InputError(f"train.model.family: {name!r:.100} is unknown; use one of {', '.join(known)}")
    return import_module(f"ftu.networks.{name}.segmenter")
