"""Images and masks as tensors. Shapes: B batch, S image size (px).

A sample is asked for as (epoch, index), so that the epoch reaches the loader's workers and the augmentation
of a sample does not depend on how many there are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ftu import images
from ftu.augment import Augmentation, sample_seed
from ftu.standardize import image_tensor


class Samples(Dataset[tuple[Tensor, Tensor]]):
    """Training samples: image (3, S, S) float32 and mask (1, S, S) float32 of 0 and 1."""

    def __init__(
        self,
        ids: Sequence[str],
        image_folder: Path,
        mask_folder: Path,
        augment: Augmentation | None,
        seed: int,
    ) -> None:
        self.ids, self.image_folder, self.mask_folder = list(ids), image_folder, mask_folder
        self.augment, self.seed = augment, seed

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        image = images.read_rgb(self.image_folder / f"{self.ids[index]}.png")
        mask = images.read_mask(self.mask_folder / f"{self.ids[index]}.png")
        if self.augment:
            image, mask = self.augment(image, mask, sample_seed(self.seed, epoch, index))
        return image_tensor(image), torch.from_numpy(mask[None].astype(np.float32))


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index); `epoch` is set from outside. The order depends on seed and epoch alone."""

    def __init__(self, length: int, *, seed: int, shuffle: bool) -> None:
        self.length, self.seed, self.shuffle, self.epoch = length, seed, shuffle, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


def batches(samples: Samples, *, batch_size: int, shuffle: bool, workers: int) -> DataLoader:
    """A loader of (images (B, 3, S, S), masks (B, 1, S, S)).

    When it shuffles, a last incomplete batch is left out: batch normalisation wants full ones, and another
    order in the next epoch leaves out others.
    """
    sampler = EpochSampler(len(samples), seed=samples.seed, shuffle=shuffle)
    drop = shuffle and len(samples) >= batch_size
    return DataLoader(
        samples,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=drop,
        generator=torch.Generator(),  # its own: a pass would draw from the stream of dropout
        persistent_workers=workers > 0,
    )
