"""Encoders by name: timm's CoaT, and every encoder of smp (`tu-<name>` is timm's through smp).

An encoder gives a list of maps, each half the size of the one before; the last four have strides 4, 8, 16 and
the output stride: 32, or 16 where the last stage is dilated instead.
"""

from collections.abc import Callable
from difflib import get_close_matches

import segmentation_models_pytorch as smp
import timm

from ftu.errors import InputError
from ftu.networks.common.contract import Encoder


def coat(name: str, size: int, output_stride: int) -> Encoder:  # noqa: ARG001
    """timm's CoaT, built for one image size; its output stride is always 32.

    Source: Xu et al. 2021, https://arxiv.org/abs/2104.06399.
    """
    net = timm.create_model(name, pretrained=False, features_only=True, img_size=size)
    return Encoder(net, list(net.feature_info.channels()))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def smp_encoder(name: str, size: int, output_stride: int) -> Encoder:
    """Any encoder of smp; those of timm that are built for one image size are built for this one."""
    built_for = {"img_size": size} if takes_one_size(name) else {}
    net = smp.encoders.get_encoder(name, weights=None, output_stride=output_stride, **built_for)
    return Encoder(net, list(net.out_channels))


def takes_one_size(name: str) -> bool:
    """Whether the encoder called `name` is built for one image size and takes no other."""
    facts = timm.get_pretrained_cfg(name.removeprefix("tu-")) if name.startswith(("coat_", "tu-")) else None
    return bool(facts and facts.fixed_input_size)


OWN_BUILDERS: dict[str, Callable[[str, int, int], Encoder]] = {"coat_": coat}


def build_encoder(name: str, size: int, output_stride: int) -> Encoder:
    """The encoder called `name` for (size, size) images, at random; `size` is a multiple of 32.

    Raises InputError when neither timm nor smp has it.
    """
    build = next((own for prefix, own in OWN_BUILDERS.items() if name.startswith(prefix)), smp_encoder)
    try:
        return build(name, size, output_stride)
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"train.model.encoder: {name!r} cannot be built ({_reason(name, error)}); name a coat_* of timm, "
            "an encoder of segmentation-models-pytorch, or tu-<any timm model>"
        ) from error


def _reason(name: str, error: Exception) -> str:
    """Why an encoder could not be built; for an unknown name the known ones that look most like it."""
    known = [*smp.encoders.get_encoder_names(), *timm.list_models("coat_*")]
    known += [f"tu-{model}" for model in timm.list_models()]
    if name in known:
        return str(error.args[0])
    close = get_close_matches(name, known)
    return f"unknown; the nearest are {', '.join(close)}" if close else "unknown"
