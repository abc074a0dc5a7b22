"""The images that a process has in one round, and whether the network can train on so few.

Batch normalisation has no variance of one value: behind a map of 1 x 1, such as the pooled one of DeepLabV3+,
a network cannot train on one image at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ftu.errors import InputError
from ftu.networks.common import build
from ftu.networks.common.contract import Segmenter

ONE_VALUE = "Expected more than 1 value per channel when training"  # torch.nn.functional.batch_norm


@dataclass(frozen=True)
class Rounds:
    """How a step of `batch_size` images is dealt, for a network that `build` makes of its `architecture`."""

    architecture: dict[str, Any]
    batch_size: int
    accumulate: int
    processes: int
    key: str = "train.batch_size"

    @property
    def images(self) -> int:
        """Images that each process has in a round."""
        return self.batch_size // (self.accumulate * self.processes)

    def check(self) -> None:
        """Raise InputError where a round has one image and the network cannot train on it."""
        if self.images == 1 and not self.takes_one():
            raise InputError(
                f"{self.key} {self.batch_size}, train.accumulate {self.accumulate}, train.processes "
                f"{self.processes}: each process has one image a round, and the batch normalisation of this "
                f"train.model cannot train on one; raise {self.key}, or lower train.accumulate or "
                "train.processes, to two images or more"
            )

    def try_step(self) -> None:
        """Raise InputError unless the network can be built and take a step, whatever fails in it.

        Images of zeros go forward, and gradients back, on the meta device, which computes shapes alone. Some
        encoders do not go there: where that fails, the CPU decides. Random numbers stay as they are.
        """
        with torch.random.fork_rng(devices=[]):
            for places in (("meta", "meta"), ("cpu", "meta"), ("cpu", "cpu")):
                fault = self._fault(*places)
                if not fault:
                    return
        raise fault

    def _fault(self, built_on: str, device: str) -> InputError | None:
        """What is wrong with a step on `device` of a network built on another, none where it works."""
        try:
            _step(self.architecture, min(self.images, 2), built_on, device)
        except InputError as error:
            return error
        except Exception as error:  # smp and timm raise what they like
            parts = {name: value for name, value in self.architecture.items() if name != "size"}
            return InputError(
                f"train.model: this network cannot train on images of {self.architecture['size']} px "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); use another encoder, "
                f"another decoder, or another resize.side; it is {parts}"
            )
        return None

    def smaller(self) -> list[int]:
        """How many images a round could have if the same step were dealt to more rounds or processes."""
        parts = [count for count in range(1, self.images) if self.images % count == 0]
        return parts[1:] if parts and not self.takes_one() else parts

    def takes_one(self) -> bool:
        """Whether the network can train on one image. It is built to try it, which draws random numbers."""
        return takes_one_image(build.build(self.architecture), self.architecture["size"])


def _step(architecture: Mapping[str, Any], images: int, built_on: str, device: str) -> None:
    """Build the network, and let `images` images of zeros go forward and back.

    Raises InputError for other strides than the encoder states for its four blocks.
    """
    with torch.device(built_on):
        network, size = build.build(architecture).train(), architecture["size"]
    with torch.device(device):  # also what the forward pass makes
        shown = torch.zeros(images, network.encoder.inputs, size, size)
        output, padded = network.to(device)(shown), network.encoder.pad(shown).shape[-1]
    strides, stated = [padded // aux.shape[-1] for aux in output.aux_logits], [*network.encoder.strides]
    if strides[:3] != stated[:3] or strides[3] not in stated[2:]:
        raise InputError(
            f"train.model.encoder: its blocks have strides {strides} at {size} px, and training needs 4, 8, "
            "16 and 32 (16 where the last is dilated); use another encoder"
        )
    (output.logits.mean() + sum(aux.mean() for aux in output.aux_logits)).backward()


def takes_one_image(network: Segmenter, size: int) -> bool:
    """Whether `network` can train on one image of `size` px. It is tried: batch statistics change."""
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network.train()(torch.zeros(1, network.encoder.inputs, size, size, device=device))
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        return False
    return True
