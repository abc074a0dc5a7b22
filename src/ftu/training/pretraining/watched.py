"""Choosing an epoch by the shape of what a network finds in images without masks (`train.watch: solidity`).

Where the images with masks are of another source than those that matter, their Dice says little of these. A
network that fails there finds rags; so the epoch is taken whose objects are as compact as those of the masks.
Source: Gonzalez Marfil 2022, third step of the Attention Y-Net, as its code has it: it looks at every second
epoch and at the parts of a stack of slices, this at every epoch and at the parts of each window.
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ftu.errors import InputError
from ftu.networks.common.contract import Segmenter
from ftu.training.pretraining import solidity
from ftu.training.pretraining.samples import RepairSamples
from ftu.training.samples import Samples, ValidBatches, loader

FOLDER, SMALLEST, NOTHING = "test", 10, 1.0  # in that of the fold's pre-training; px; the gap of no object


def check(images: Sequence[Path]) -> None:
    """Raise InputError where a training finds no image to look at."""
    if not images:
        raise InputError(
            "train.watch solidity looks at the test images, and there are none: put those of the other "
            "source there (docs/adaptation.md), or use train.watch loss"
        )


def keep(folder: Path, images: Sequence[Path]) -> None:
    """Copy the images that a training will look at into `folder`."""
    (folder / FOLDER).mkdir()
    for image in images:
        shutil.copyfile(image, folder / FOLDER / image.name)


class Watched:
    """The images, and the solidity that objects have in the masks that are learnt from."""

    def __init__(
        self,
        folder: Path,
        drawn: Samples,
        accelerator: Accelerator,
        *,
        batch_size: int,
        workers: int,
        classes: int,
    ) -> None:
        """`folder` is what `keep` filled, `drawn` are the training samples: their masks count as they are."""
        names = sorted(f"{FOLDER}/{path.stem}" for path in (folder / FOLDER).iterdir())
        how: dict[str, Any] = {"size": drawn.size, "augment": None, "seed": drawn.seed, "cache": False}
        how |= {"mean": drawn.mean, "std": drawn.std}
        masks = Samples(drawn.image_folder, drawn.mask_folder, drawn.ids, **how)
        self.images = RepairSamples(folder, folder, names, as_is=None, corrupt="none", **how)
        share = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
        dealt = ValidBatches(len(self.images), batch_size=batch_size, **share)
        self.batches = loader(self.images, dealt, workers, accelerator.device.type == "cuda")
        self.files, self.accelerator, self.classes = self.images.files(), accelerator, classes
        shapes = np.concatenate([self.shapes(masks.arrays((0, number))[1]) for number in range(len(masks))])
        if not len(shapes):
            raise InputError(
                "train.watch solidity: no mask that this fold learns from has an object of more than "
                f"{SMALLEST} px; use train.watch dice or loss"
            )
        self.expected = float(shapes.mean())

    @torch.no_grad()
    def __call__(self, network: Segmenter) -> dict[str, float]:
        """Columns of the history: the mean solidity of what the network finds, nan of nothing, and how far
        it is from that of the masks, 1 of nothing."""
        network.eval()
        shapes = [np.empty(0)]
        for images, *_ in self.batches:
            with self.accelerator.autocast():
                logits = network(images.to(self.accelerator.device)).logits
            shapes += [self.shapes(mask) for mask in likeliest(logits)]
        found = np.concatenate(shapes)
        sums = torch.tensor([found.sum(), len(found)], dtype=torch.float64, device=self.accelerator.device)
        total, count = self.accelerator.reduce(sums, "sum").tolist()  # pyright: ignore[reportAttributeAccessIssue]
        mean = total / count if count else math.nan
        return {"solidity": mean, "solidity_gap": abs(mean - self.expected) if count else NOTHING}

    def shapes(self, mask: np.ndarray) -> np.ndarray:
        """The solidity of each object in a mask (S, S) of 0 and the numbers of the classes."""
        numbers = range(1, self.classes + 1)
        return np.concatenate([solidity.of_objects(mask == number, SMALLEST) for number in numbers])


def likeliest(logits: Tensor) -> np.ndarray:
    """(B, S, S): of logits (B, K, S, S) the number of each pixel's class, 0 of the background."""
    found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    return found.cpu().numpy()
