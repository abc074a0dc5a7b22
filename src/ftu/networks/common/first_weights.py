"""An encoder's first weights: none, ImageNet's from the hub, or a local file; never silently random."""

from pathlib import Path

import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from ftu.cache.hashes import sha256
from ftu.errors import InputError, some
from ftu.networks.common.contract import Encoder
from ftu.networks.common.efficientnet_names import in_timms_names

# What the files of torchvision, timm and smp carry for their classifier alone. The norms are CoaT's last
# (its authors' files hold all four), conv_head and bn2 EfficientNet's.
CLASSIFIER = ("classifier.", "head.", "fc.", "_fc.", "last_linear.", "aggregate.", "conv_head.", "bn2.")
CLASSIFIER += ("norm1.", "norm2.", "norm3.", "norm4.")

# Of smp's own weights, by prefix of the encoder's name; those of other families have not been looked up.
SMP_LICENCES = {
    "mit_": "NVIDIA Source Code License, non-commercial",
    "resnet": "apache-2.0",
    "efficientnet-": "apache-2.0",
}


def load_encoder_weights(encoder: Encoder, name: str, weights: str) -> dict[str, str]:
    """Fill `encoder`, built as `name`, and say where the weights came from: source, licence, a file's sha256.

    Raises InputError when they cannot be fetched, or the file is missing, damaged or does not fit.
    """
    if weights == "none":
        return {"source": "none", "licence": "none"}
    if weights == "imagenet":
        _load_from_hub(encoder, name)
        return {"source": "imagenet", "licence": licence(name)}
    path = Path(weights)
    _load_file(encoder.net, path)
    return {"source": path.name, "sha256": sha256(path), "licence": "that of the file"}


def licence(name: str) -> str:
    """The licence of an encoder's ImageNet weights; timm states that of its own."""
    if name in smp.encoders.get_encoder_names():
        known = (licence for prefix, licence in SMP_LICENCES.items() if name.startswith(prefix))
        return next(known, "unknown")
    facts = timm.get_pretrained_cfg(name.removeprefix("tu-"))
    return (facts and facts.license) or "unknown"


def non_commercial(source: dict[str, str]) -> str:
    """A warning about weights that are not for every use, empty when there is none to give."""
    if "non-commercial" not in source["licence"]:
        return ""
    return (
        f"the weights that training starts from are under the {source['licence']}; so is what comes of them"
    )


def _load_from_hub(encoder: Encoder, name: str) -> None:
    try:
        if name.startswith("coat_"):
            net = timm.create_model(name, pretrained=True, features_only=True)
        else:
            net = smp.encoders.get_encoder(name, weights=name.startswith("tu-") or "imagenet")
        encoder.net.load_state_dict(net.state_dict())
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"train.weights: the ImageNet weights of {name} could not be fetched ({error}); "
            "go online, or give the path of a local file"
        ) from error


def _load_file(net: nn.Module, path: Path) -> None:
    own = net.state_dict()
    names = {_plain(key): key for key in own}
    state = {
        names.get(_plain(key), key): value for key, value in in_timms_names(_read_state(path), names).items()
    }
    # CoaT has layers under two names, and a safetensors file keeps one of them.
    shared = {own[key].data_ptr(): value for key, value in state.items() if key in own}
    state |= {key: shared[value.data_ptr()] for key, value in own.items() if value.data_ptr() in shared}
    missing = sorted(key for key in own if key not in state and not key.endswith("num_batches_tracked"))
    unknown = sorted(
        key for key in state if key not in own and not key.removeprefix("model.").startswith(CLASSIFIER)
    )
    misshapen = sorted(key for key in own if key in state and state[key].shape != own[key].shape)
    for what, keys in {"lacks": missing, "has unknown": unknown, "has of another shape": misshapen}.items():
        if keys:
            raise InputError(
                f"train.weights: {path} does not fit the encoder: it {what} {len(keys)} keys ({some(keys)}); "
                "give the file of this very encoder"
            )
    nn.Module.load_state_dict(net, {key: state.get(key, value) for key, value in own.items()})


def _plain(key: str) -> str:
    """A key as timm's files have it: a feature net puts `model.` before it, or says stages_0 for stages.0."""
    return key.removeprefix("model.").replace("_", ".")


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"train.weights: {path} does not exist; give none, imagenet or the path of a file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch's reader fail in any way (text: KeyError)
        raise InputError(
            f"train.weights: {path} cannot be read as weights ({type(error).__name__}); "
            "give a file that torch.save or safetensors wrote, of tensors alone"
        ) from error
    while isinstance(state, dict) and (nested := [key for key in ("state_dict", "model") if key in state]):
        state = state[nested[0]]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise InputError(f"train.weights: {path} holds no table of named tensors")
    return state
