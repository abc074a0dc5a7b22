"""An encoder's first weights: none, ImageNet's from the hub, or a local file; never silently random."""

import hashlib
import pickle
from pathlib import Path

import safetensors
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from ftu.encoders import Encoder
from ftu.errors import InputError

# Layers of the classifier that the files of torchvision, timm and smp carry and a segmenter has no use for.
CLASSIFIER = ("classifier.", "head.", "fc.", "_fc.", "last_linear.", "aggregate.")

NON_COMMERCIAL = ("mit_",)  # NVIDIA Source Code License: research and evaluation only


def load_encoder_weights(encoder: Encoder, name: str, weights: str) -> dict[str, str]:
    """Fill `encoder`, built as `name`, and say where the weights came from: source, licence, a file's sha256.

    Raises InputError when they cannot be fetched, or the file is missing, damaged or does not fit.
    """
    if weights == "none":
        return {"source": "none", "licence": "none"}
    if weights == "imagenet":
        _load_from_hub(encoder, name)
        return {"source": "imagenet", "licence": _licence(name)}
    path = Path(weights)
    _load_file(encoder.net, path)
    return {"source": path.name, "sha256": sha256(path), "licence": "that of the file"}


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _licence(name: str) -> str:
    return "NVIDIA non-commercial" if name.startswith(NON_COMMERCIAL) else "Apache-2.0"


def _load_from_hub(encoder: Encoder, name: str) -> None:
    try:
        if name.startswith("coat_"):
            net = timm.create_model(name, pretrained=True, features_only=True)
        else:
            net = smp.encoders.get_encoder(name, weights="imagenet")
        encoder.net.load_state_dict(net.state_dict())
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"train.weights: the ImageNet weights of {name} could not be fetched ({error}); "
            "go online, or give the path of a local file"
        ) from error


def _load_file(net: nn.Module, path: Path) -> None:
    given = _read_state(path)
    prefix = "model." if all(key.startswith("model.") for key in net.state_dict()) else ""
    state = {key if key.startswith(prefix) else prefix + key: value for key, value in given.items()}
    own = net.state_dict()
    missing = sorted(key for key in own if key not in state and not key.endswith("num_batches_tracked"))
    unknown = sorted(
        key for key in state if key not in own and not key.removeprefix(prefix).startswith(CLASSIFIER)
    )
    misshapen = sorted(key for key in own if key in state and state[key].shape != own[key].shape)
    for what, keys in {"lacks": missing, "has unknown": unknown, "has of another shape": misshapen}.items():
        if keys:
            named = ", ".join(keys[:8]) + (", ..." if len(keys) > 8 else "")
            raise InputError(
                f"train.weights: {path} does not fit the encoder: it {what} {len(keys)} keys ({named}); "
                "give the file of this very encoder"
            )
    nn.Module.load_state_dict(net, {key: state.get(key, value) for key, value in own.items()})


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"train.weights: {path} does not exist; give none, imagenet or the path of a file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        raise InputError(f"train.weights: {path} cannot be read as weights ({error})") from error
    while isinstance(state, dict) and (nested := [key for key in ("state_dict", "model") if key in state]):
        state = state[nested[0]]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"train.weights: {path} holds no table of named tensors")
    return state
