"""An encoder's first weights: none, ImageNet's from the hub, or a local file; never silently random."""

import re
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from ftu.cache.hashes import sha256
from ftu.errors import InputError, some
from ftu.files import limits
from ftu.networks.common import hub, weights_file
from ftu.networks.common.contract import Encoder
from ftu.networks.common.efficientnet_names import in_timms_names
from ftu.networks.common.standardize import MEAN, STD

# What the files of torchvision, timm and smp carry for their classifier alone. The norms are CoaT's last
# (its authors' files hold all four), the norm Twins's, conv_head and bn2 EfficientNet's.
CLASSIFIER = ("classifier.", "head.", "fc.", "_fc.", "last_linear.", "aggregate.", "conv_head.", "bn2.")
CLASSIFIER += ("norm1.", "norm2.", "norm3.", "norm4.", "norm.")

# Encoders that extend one of timm's: its weights fill what they share, and the rest begins at random.
EXTENDED = {"coat_small_plus1": "coat_small"}
ADDED = re.compile(r"model\.(patch_embed|cls_token|cpe|crpe|serial_blocks)5\b")  # of coat_small_plus1
NOTHING = re.compile(r"(?!)")
MLP = ".mlp."  # in the names of a transformer's layers

# Of smp's own weights, by prefix of the encoder's name; those of other families have not been looked up.
SMP_LICENCES = {
    "mit_": "NVIDIA Source Code License, non-commercial",
    "resnet": "apache-2.0",
    "efficientnet-": "apache-2.0",
}
# And their mean and standard deviation, where these are not ImageNet's. smp keeps them on the hub, beside the
# weights (config.json), where a training from a file should not have to look.
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SMP_STATISTICS = {
    "inception": HALVES,
    "xception": HALVES,
    "timm-tf_efficientnet_lite": HALVES,
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
}


def load_encoder_weights(encoder: Encoder, name: str, weights: str, parts: str = "all") -> dict[str, str]:
    """Fill `encoder`, built as `name`, and say where the weights came from: source, licence, a file's sha256,
    and `at_random` the parts that an extended encoder has and they lack.

    With `parts` mlp_only the encoder takes those of its MLP layers alone, and the rest stays at random.
    Raises InputError when they cannot be fetched, or the file is missing, damaged or does not fit.
    """
    if weights == "none":
        return {"source": "none", "licence": "none"}
    if weights == "imagenet":
        state = _read_hub(name)
        facts = {"source": "imagenet", "licence": licence(name)}
    else:
        path = Path(weights)
        state, prefix = weights_file.read(path)
        if prefix:
            sys.stderr.write(f"warning: train.weights: {path}: left out {prefix!r}, of all names\n")
        facts = {"source": path.name, "sha256": sha256(path), "licence": "that of the file"}
    drawn = {key: value.clone() for key, value in encoder.net.state_dict().items() if MLP not in key}
    left = _fill(encoder.net, state, weights, ADDED if name in EXTENDED else NOTHING)
    if parts == "mlp_only":
        encoder.net.load_state_dict(drawn, strict=False)
        left = "all but the MLP layers"
    return facts | ({"at_random": left} if left else {})


def statistics(name: str, weights: str, channels: int = 3) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of red, green, blue to standardise with, as shares of the full range.

    For `imagenet` and a file they are those that the weights of the encoder called `name` were trained with,
    as timm and smp state them; without weights, ImageNet's. Of grey, one channel, they are the means of the
    three: then a grey image gives what the same image in three channels would, each so standardised.
    """
    if weights == "none":
        mean, std = MEAN, STD
    elif name in smp.encoders.get_encoder_names():
        known = (values for prefix, values in SMP_STATISTICS.items() if name.startswith(prefix))
        mean, std = next(known, (MEAN, STD))
    else:
        facts = timm_facts(name)
        mean, std = (facts.mean, facts.std) if facts else (MEAN, STD)
    if channels == 1:
        return [sum(mean) / 3], [sum(std) / 3]
    return list(mean), list(std)


def licence(name: str) -> str:
    """The licence of an encoder's ImageNet weights; timm states that of its own."""
    if name in smp.encoders.get_encoder_names():
        known = (licence for prefix, licence in SMP_LICENCES.items() if name.startswith(prefix))
        return next(known, "unknown")
    facts = timm_facts(name)
    return (facts and facts.license) or "unknown"


def timm_facts(name: str) -> PretrainedCfg | None:
    """What timm says of the weights of an encoder that is its own, or extends one of its own."""
    return timm.get_pretrained_cfg(EXTENDED.get(name, name).removeprefix("tu-"))


def non_commercial(source: dict[str, str]) -> str:
    """A warning about weights that are not for every use, empty when there is none to give."""
    if "non-commercial" not in source["licence"]:
        return ""
    return (
        f"the weights that training starts from are under the {source['licence']}; so is what comes of them"
    )


def _read_hub(name: str) -> dict[str, Tensor]:
    if odd := hub.odd_file(name, timm_facts(name)):
        fault = limits.file_fault(odd)
        raise InputError(
            f"train.weights: {odd} of the hub's copies is {fault}; rm it, and it is fetched again"
        )
    hub.offline_unless_reached()
    try:
        if name.startswith("coat_"):
            net = timm.create_model(EXTENDED.get(name, name), pretrained=True, features_only=True)
        else:
            net = smp.encoders.get_encoder(name, weights=name.startswith("tu-") or "imagenet")
    except Exception as error:  # what a damaged file makes the readers raise has no common kind
        if (file := hub.cached(name, timm_facts(name))) and file.is_file():
            raise InputError(
                f"train.weights: {file} cannot be read as weights ({type(error).__name__}); it is the hub's "
                f"copy of the ImageNet weights of {name}: rm {file.resolve()}, and they are fetched again"
            ) from error
        raise InputError(
            f"train.weights: the ImageNet weights of {name} could not be fetched "
            f"({' '.join(str(error).split())[:300]}); go online, or give the path of a local file"
        ) from error
    return net.state_dict()


def _fill(net: nn.Module, found: dict[str, Tensor], source: str, added: re.Pattern[str]) -> str:
    """Load `found` into `net`, and name the parts that stay random.

    They are those of the keys that match `added`, where `found` has none of them.
    """
    own = net.state_dict()
    names = {_plain(key): key for key in own}
    found = in_timms_names(found, names)
    state = {names.get(_plain(key), key): value for key, value in found.items()}
    # CoaT has layers under two names, and a safetensors file keeps one of them.
    shared = {own[key].data_ptr(): value for key, value in state.items() if key in own}
    state |= {key: shared[value.data_ptr()] for key, value in own.items() if value.data_ptr() in shared}
    extra = {key for key in own if added.match(key)}
    random = set() if extra & state.keys() else extra
    needed = (key for key in own if key not in random and not key.endswith("num_batches_tracked"))
    missing = sorted(key for key in needed if key not in state)
    unknown = sorted(
        key for key in state if key not in own and not re.sub(r"^(model\.)+", "", key).startswith(CLASSIFIER)
    )
    state = {key: _as_grey(value, own[key].shape) if key in own else value for key, value in state.items()}
    misshapen = sorted(key for key in own if key in state and state[key].shape != own[key].shape)
    wrong = f"train.weights: {source} does not fit the encoder"
    if missing and (prefix := _shared(found).removesuffix(_shared(own))):
        wrong += (
            f"; all its names begin with {prefix!r:.100}, without which save it if they are this encoder's"
        )
    for what, keys in {"lacks": missing, "has unknown": unknown, "has of another shape": misshapen}.items():
        if keys:
            raise InputError(
                f"{wrong}: it {what} {len(keys)} keys ({some(keys)}); give the file of this very encoder"
            )
    nn.Module.load_state_dict(net, {key: state.get(key, value) for key, value in own.items()})
    return ", ".join(sorted({key.split(".")[1] for key in random}))


def _as_grey(weights: Tensor, shape: torch.Size) -> Tensor:
    """Those of a first convolution on red, green, blue summed, where it is to read one channel; else as they
    are. A grey image then gives what it gave in three equal channels."""
    of_colours = (
        weights.ndim == 4 and weights.shape[1] == 3 and shape == (len(weights), 1, *weights.shape[2:])
    )
    return weights.sum(1, keepdim=True) if of_colours else weights


def _shared(names: Iterable[str]) -> str:
    """The dotted beginning of all names, '' if they share none."""
    parts = [name.split(".")[:-1] for name in names] or [[]]
    first, last = min(parts), max(parts)  # what these share, those between share
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{part}." for part, _ in same)


def _plain(key: str) -> str:
    """A key as timm's files have it: a feature net puts `model.` before it, and smp another, or it says
    stages_0 for stages.0."""
    return re.sub(r"^(model\.)+", "", key).replace("_", ".")
