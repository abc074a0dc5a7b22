"""Encoders by name: timm's CoaT, and every encoder of smp (`tu-<name>` is timm's through smp).

An encoder gives maps, each half the size of the one before; those of its blocks have strides 4, 8, 16 and the
output stride: 32, or 16 where the last stage is dilated instead.
"""

from collections.abc import Callable
from difflib import get_close_matches

import segmentation_models_pytorch as smp
import timm
from torch import nn

from ftu.errors import InputError
from ftu.networks.common.contract import Encoder
from ftu.networks.common.first_weights import EXTENDED
from ftu.networks.encoder_decoder.coat import coat


def smp_encoder(name: str, size: int, output_stride: int, drop_path: float, inputs: int) -> Encoder:
    """Any encoder of smp; those of timm that are built for one image size are built for this one.

    Raises InputError when `drop_path` is not 0 and the encoder has no stochastic depth.
    """
    options: dict[str, float] = {"img_size": size} if takes_one_size(name) else {}
    if drop_path and name.startswith("tu-"):
        options["drop_path_rate"] = drop_path
    try:
        net = smp.encoders.get_encoder(
            name,
            in_channels=inputs,
            weights=None,
            output_stride=output_stride,
            **options,  # pyright: ignore[reportArgumentType]
        )
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise no_stochastic_depth(name) from error
    set_drop_path(net, name, drop_path)
    return Encoder(net, list(net.out_channels), inputs=inputs)


def set_drop_path(net: nn.Module, name: str, rate: float) -> None:
    """Give `net`, an encoder of smp, the stochastic depth that was asked for; smp's defaults are 0 to 0.2.

    Raises InputError when `rate` is not 0 and the encoder has none.
    """
    if hasattr(net, "reset_drop_path"):  # mit
        net.reset_drop_path(rate)  # pyright: ignore[reportCallIssue]
    elif hasattr(net, "_drop_connect_rate"):  # EfficientNet
        net._drop_connect_rate = rate  # pyright: ignore[reportArgumentType]
    elif not rate:
        for module in net.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0  # pyright: ignore[reportArgumentType]
    elif not name.startswith("tu-") or not any(getattr(module, "drop_prob", 0) for module in net.modules()):
        raise no_stochastic_depth(name)


def no_stochastic_depth(name: str) -> InputError:
    return InputError(
        f"train.model.drop_path: {name} has no stochastic depth that could be set; use 0, or an encoder that "
        "has it: coat_*, mit_*, efficientnet-*, tu-pvt_v2_* and other transformers of timm"
    )


def takes_one_size(name: str) -> bool:
    """Whether the encoder called `name` is built for one image size and takes no other."""
    facts = timm.get_pretrained_cfg(name.removeprefix("tu-")) if name.startswith("tu-") else None
    return bool(facts and facts.fixed_input_size)


OWN_BUILDERS: dict[str, Callable[[str, int, int, float, int], Encoder]] = {"coat_": coat}


def build_encoder(
    name: str, size: int, output_stride: int, drop_path: float = 0.0, inputs: int = 3
) -> Encoder:
    """The encoder called `name`, at random; one that takes one size takes (size, size), a multiple of 32.

    `inputs` are the channels of an image, 3 or 1. `drop_path` is the rate of stochastic depth, in [0, 1)
    (Huang et al. 2016, https://arxiv.org/abs/1603.09382). Raises InputError when neither timm nor smp has
    the encoder, or it has no stochastic depth and the rate is not 0.
    """
    build = next((own for prefix, own in OWN_BUILDERS.items() if name.startswith(prefix)), smp_encoder)
    try:
        return build(name, size, output_stride, drop_path, inputs)
    except InputError:
        raise
    except Exception as error:  # smp and timm raise what they like: KeyError, TypeError, IndexError, ...
        raise InputError(
            f"train.model.encoder: {name!r} cannot be built ({_reason(name, error)}); name a coat_* of timm, "
            "an encoder of segmentation-models-pytorch, or tu-<any timm model>"
        ) from error


def _reason(name: str, error: Exception) -> str:
    """Why an encoder could not be built; for an unknown name the known ones that look most like it."""
    known = [*smp.encoders.get_encoder_names(), *timm.list_models("coat_*"), *EXTENDED]
    known += [f"tu-{model}" for model in timm.list_models()]
    if name in known:
        return " ".join(str(error).split())[:200] or type(error).__name__
    close = get_close_matches(name, known)
    return f"unknown; the nearest are {', '.join(close)}" if close else "unknown"
