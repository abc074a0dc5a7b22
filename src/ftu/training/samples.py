"""Images and masks as tensors. Shapes: B batch, C channels, S image size (px).

A sample is asked for as (epoch, index), so that the epoch reaches the loader's workers and the augmentation
of a sample does not depend on how many there are, nor on how many processes train.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common.standardize import MEAN, STD, image_tensor
from ftu.preprocessing.dyes import own_stains
from ftu.training.augmentation.compose import Augmentation, sample_seed


class Samples(Dataset[tuple[Any, ...]]):
    """Samples: image (C, S, S) float32, mask (1, S, S) float32 of 0 and classes, and the index in `ids`.

    Images are standardised with `mean` and `std`, which the network's predictions have to be made with, too.
    Images of any size are taken: to train, one window of each, which `augment` draws; to validate (no
    `augment`), all the windows that cover it, one sample each.
    With `cache` every image and mask is read once, at the start, and kept as uint8: C + 1 bytes a px, 2.4 MB
    at 768 px in RGB. Loader workers that are forked share them.
    `importance` weights the loss of each image, by id; `shares` says how often each is drawn, relative to the
    others. None: all alike. An epoch has `crops` samples of each image. With `stains` each image's own are
    learnt at the start, for `augment` to swap.
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
        cache: bool,
        importance: Mapping[str, float] | None = None,
        shares: Mapping[str, float] | None = None,
        stains: bool = False,
        crops: int = 1,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        self.mean, self.std, self.crops = mean, std, crops
        self.ids, self.image_folder, self.mask_folder = list(ids), image_folder, mask_folder
        self.size, self.augment, self.seed = size, augment, seed
        self.importance = torch.tensor([importance[name] for name in ids]) if importance else None
        self.shares = np.array([shares[name] for name in ids]) if shares else None
        everything = tqdm(range(len(ids) if cache else 0), desc="read", disable=None, leave=False)
        self.pairs = {index: self._read(index) for index in everything}
        fitted = tqdm(range(len(ids) if stains else 0), desc="stains", disable=None, leave=False)
        self.stains = {index: own_stains(self._pair(index)[0], seed=seed) for index in fitted}
        whole = [(index, 0, 0) for index in range(len(ids))]
        self.windows = whole if augment else list(self._windows())

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def drawn(self) -> int:
        """Samples of an epoch of training."""
        return len(self) * self.crops

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Any, ...]:
        image, mask, index = self.arrays(key)
        return self.as_input(image), as_target(mask), index

    def arrays(self, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        """The sample as (S, S, C) and (S, S) uint8, and its index."""
        epoch, number, *again = key
        index, top, left = self.windows[number]
        image, mask = self._pair(index)
        if augment := self.augmentation(index):
            seed = sample_seed(self.seed, epoch, index, *again)
            return *augment(image, mask, seed, self.stains.get(index)), index
        image, mask = (_window(array, top, left, self.size) for array in (image, mask))
        return image, mask, index

    def augmentation(self, index: int) -> Augmentation | None:  # noqa: ARG002 # all have one
        return self.augment

    def as_input(self, image: np.ndarray) -> Tensor:
        """What the network gets of an image (S, S, C) uint8."""
        return image_tensor(image, self.mean, self.std)

    def files(self) -> list[Path]:
        """Every file that the samples are read from."""
        return [path for index in range(len(self.ids)) for path in self._paths(index)]

    def _windows(self) -> Iterator[tuple[int, int, int]]:
        """(index, top, left) of the windows that cover each image."""
        for index in range(len(self.ids)):
            height, width = self._pair(index)[1].shape
            for top in starts(height, self.size):
                yield from ((index, top, left) for left in starts(width, self.size))

    def _paths(self, index: int) -> tuple[Path, ...]:
        name = f"{self.ids[index]}.png"
        return self.image_folder / name, self.mask_folder / name

    def _pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pairs.get(index) or self._read(index)

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self._paths(index)
        return png.read_image(image), png.read_mask(mask)


def as_target(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask[None].astype(np.float32))


def _window(array: np.ndarray, top: int, left: int, size: int) -> np.ndarray:
    """(size, size, ...) of an array from (top, left) on, mirrored where the array is smaller."""
    part = array[top : top + size, left : left + size]
    below, right = size - part.shape[0], size - part.shape[1]
    if not below and not right:
        return part
    return np.pad(part, [(0, below), (0, right)] + [(0, 0)] * (array.ndim - 2), mode="reflect")


class EpochBatches(Sampler[list[tuple[int, ...]]]):
    """Lists of (epoch, index), or of (epoch, index, how often it was drawn before), the batches of one
    process; `epoch` is set from outside."""

    def __init__(self) -> None:
        self.epoch = 0


class TrainBatches(EpochBatches):
    """The images in an order that depends on seed and epoch alone, in steps of `batch_size`.

    Each step is dealt to `accumulate` rounds of all processes, so that a step is made of the same images for
    any number of rounds and processes. A last incomplete step is left out: batch normalisation wants full
    ones, and another order in the next epoch leaves out others. Each image comes `crops` times. With `shares`
    an epoch is as many draws with replacement, each image as often as its share says.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        accumulate: int,
        seed: int,
        rank: int,
        processes: int,
        shares: np.ndarray | None = None,
        crops: int = 1,
    ) -> None:
        super().__init__()
        self.length, self.batch_size, self.seed, self.drawn = length, batch_size, seed, length * crops
        self.accumulate, self.rank, self.processes = accumulate, rank, processes
        self.chances = None if shares is None else shares / shares.sum()

    def __len__(self) -> int:
        return self.drawn // self.batch_size * self.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.chances is None:
            keys = [
                (self.epoch, int(number) % self.length, int(number) // self.length)
                for number in rng.permutation(self.drawn)
            ]
        else:  # each draw of an image is another sample of it
            drawn, seen = rng.choice(self.length, self.drawn, p=self.chances), Counter()
            keys = []
            for index in map(int, drawn):
                keys.append((self.epoch, index, seen[index]))
                seen[index] += 1
        size = self.batch_size // (self.accumulate * self.processes)
        for number in range(len(self)):
            start = (number * self.processes + self.rank) * size
            yield keys[start : start + size]


class ValidBatches(EpochBatches):
    """Every `processes`-th image from the `rank`-th on, in order; the last batch may be smaller."""

    def __init__(self, length: int, *, batch_size: int, rank: int, processes: int) -> None:
        super().__init__()
        self.indices, self.batch_size = range(length)[rank::processes], batch_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [(self.epoch, index) for index in self.indices[start : start + self.batch_size]]


class Loader(DataLoader):
    """A loader whose workers' bad input is told in its own words."""

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            yield from super().__iter__()
        except InputError as error:  # torch puts the worker's traceback before them
            words = re.split(r"^(?:\w+\.)*InputError: ", str(error), flags=re.MULTILINE)[-1]
            raise InputError(words.strip()) from error


Batches = tuple[DataLoader, DataLoader]  # to train, to validate


def batches(
    train: Samples,
    valid: Samples,
    accelerator: Accelerator,
    *,
    batch_size: int,
    accumulate: int,
    valid_batch_size: int,
    workers: int,
) -> Batches:
    """Loaders of (images (B, C, S, S), masks (B, 1, S, S), indices (B,)), to train and to validate.

    `batch_size` is that of a step: B is its part for one process and round. Raises InputError when there are
    fewer images than one step takes.
    """
    share = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    passes = ValidBatches(len(valid), batch_size=valid_batch_size, **share)
    shown = steps(train, accelerator, batch_size=batch_size, accumulate=accumulate, workers=workers)
    return shown, loader(valid, passes, workers, accelerator.device.type == "cuda")


def steps(
    samples: Samples,
    accelerator: Accelerator,
    *,
    batch_size: int,
    accumulate: int = 1,
    workers: int,
    key: str = "train.batch_size",
) -> DataLoader:
    """The loader to train with alone, as of `batches`; `key` is the parameter of the size of a step."""
    if samples.drawn < batch_size:
        raise InputError(
            f"{key}: a step of {batch_size} images is larger than the {samples.drawn} training "
            "images of this fold; use a smaller one"
        )
    share = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    drawn = {"seed": samples.seed, "shares": samples.shares, "crops": samples.crops}
    dealt = TrainBatches(len(samples), batch_size=batch_size, accumulate=accumulate, **drawn, **share)
    return loader(samples, dealt, workers, accelerator.device.type == "cuda")


def loader(samples: Samples, batches: EpochBatches, workers: int, pin: bool) -> DataLoader:
    """The samples in these batches; the images are the same for any number of workers."""
    return Loader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin,
        generator=torch.Generator(),  # its own: a pass would draw from the stream of dropout
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,  # which shares what is cached
    )


def starts(length: int, window: int) -> list[int]:
    """Where the fewest windows start that cover `length` px, evenly spread; one where it is shorter."""
    count = max(-(-length // window), 1)
    return [round(start) for start in np.linspace(0, max(length - window, 0), count)]
