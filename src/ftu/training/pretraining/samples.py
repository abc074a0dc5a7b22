"""Images to be repaired, some of which have no mask. Shapes: C channels, S image size (px)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftu.files import png
from ftu.training.augmentation.compose import Augmentation, sample_seed
from ftu.training.pretraining.corruptions import CORRUPTIONS
from ftu.training.samples import Samples, as_target

TASK = 1  # beside the seed of a sample: the corruption's own stream
LABELLED = "train"


class RepairSamples(Samples):
    """Samples of images as `Samples` has them, corrupted, and behind each the image (C, S, S) float32, 0 to
    1, that it was before.

    Ids are `train/NAME`, whose masks lie in the mask folder, and `test/NAME`, which count as without a mask:
    importance 0 in all terms of masks; `as_is` augments them. Augmentation comes first. What is done to an
    image depends on the seed, the epoch and the image alone.
    """

    def __init__(
        self,
        image_folder: Path,
        mask_folder: Path,
        ids: Sequence[str],
        size: int,
        augment: Augmentation | None,
        seed: int,
        *,
        as_is: Augmentation | None,
        corrupt: str,
        **how: Any,  # noqa: ANN401 # of Samples
    ) -> None:
        self.corruption, self.as_is = CORRUPTIONS.get(corrupt), as_is
        labelled = {name: float(_set(name) == LABELLED) for name in ids}
        importance = None if all(labelled.values()) else labelled
        super().__init__(image_folder, mask_folder, ids, size, augment, seed, importance=importance, **how)

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Any, ...]:
        image, mask, index = self.arrays(key)
        epoch, _, *again = key
        rng = np.random.default_rng((sample_seed(self.seed, epoch, index, *again), TASK))
        shown = self.corruption(image, rng) if self.corruption else image
        clean = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))).float() / 255
        return self.as_input(shown), as_target(mask), index, clean

    def augmentation(self, index: int) -> Augmentation | None:
        return self.augment if _set(self.ids[index]) == LABELLED else self.as_is

    def _paths(self, index: int) -> tuple[Path, ...]:
        name = self.ids[index]
        image = self.image_folder / f"{name}.png"
        if _set(name) != LABELLED:
            return (image,)
        return image, self.mask_folder / f"{name.partition('/')[2]}.png"

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, *masks = map(Path, self._paths(index))
        pixels = png.read_image(image)
        return pixels, png.read_mask(masks[0]) if masks else np.zeros(pixels.shape[:2], np.uint8)


def _set(name: str) -> str:
    return name.partition("/")[0]
