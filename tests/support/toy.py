"""A training that takes a moment: bright squares on a dark ground, and networks of a few thousand weights."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ftu.files import png
from ftu.networks.common import devices
from ftu.networks.common.contract import Segmenter, pad_to_stride
from ftu.networks.encoder_decoder.daformer import DaFormerDecoder, daformer_head
from ftu.networks.encoder_decoder.encoders import Encoder
from ftu.networks.encoder_decoder.segmenter import LastBlocks, build_segmenter
from ftu.training import loop
from ftu.training.accelerator import Precision, accelerate
from ftu.training.losses import schedules
from ftu.training.losses.terms import Padding, aux_target, bce
from ftu.training.run import Row, Run
from ftu.training.samples import Samples, batches

SIZE = 32
IDS = [str(number) for number in range(8)]
CHANNELS = [4, 8, 8, 16]
PLATEAU: dict[str, Any] = {
    "kind": "plateau",
    "min_lr": 1e-6,
    "factor": 0.1,
    "patience": 10,
    "threshold": 1e-4,
    "warmup": 0.25,
}
BCE = {"bce": 1.0}
State = dict[str, Tensor]


def write_squares(folder: Path) -> Path:
    """IDS as images and masks."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in IDS:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        row, column = rng.integers(0, SIZE // 2, 2)
        mask[row : row + 16, column : column + 16] = 1
        image = rng.integers(0, 60, (SIZE, SIZE, 3)) + 150 * mask[..., None]
        png.write_image(folder / "images" / f"{name}.png", image.astype(np.uint8))
        png.write_mask(folder / "masks" / f"{name}.png", mask)
    return folder


class Maps(nn.Module):
    """Four maps of one convolution each at strides 4 to 32, with statistics of single images alone."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(2, outputs), nn.ReLU())
            for inputs, outputs, stride in zip([3, *CHANNELS], CHANNELS, (4, 2, 2, 2), strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return maps[1:]


class Added(nn.Module):
    """A decoder that adds up the four maps at stride 4: the same for an image in any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(channels, 8, 1) for channels in CHANNELS)

    def forward(self, maps: list[Tensor]) -> Tensor:
        projected = [project(block) for project, block in zip(self.project, maps, strict=True)]
        return torch.stack([F.interpolate(block, maps[0].shape[-2:]) for block in projected]).sum(dim=0)


def plain() -> Segmenter:
    """Without batch statistics and dropout."""
    return Segmenter(Encoder(Maps(), CHANNELS), Added(), daformer_head(8))


def moody() -> Segmenter:
    """With batch statistics and dropout."""
    return Segmenter(
        Encoder(Maps(), CHANNELS), LastBlocks(DaFormerDecoder(CHANNELS, 8, "conv1x1")), daformer_head(8)
    )


def resnet(decoder: str = "unet") -> Segmenter:
    return build_segmenter(encoder="resnet18", decoder=decoder, width=16, fuse="conv1x1", size=SIZE)


def cpu(precision: Precision = "fp32", accumulate: int = 1) -> Accelerator:
    """An accelerator of this process alone, whatever was asked for before it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return accelerate(torch.device("cpu"), precision, accumulate)


@contextmanager
def torch_as_before() -> Iterator[None]:
    """fix_randomness changes the whole process."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict, warn_only=warns)


@dataclass
class Toy:
    """A run with what `training.fit` takes beside it, and copies of the weights after each epoch."""

    run: Run
    loaders: tuple[DataLoader, DataLoader]
    weights_at: Callable[[int], dict[str, float]]
    patience: int
    states: list[State] = field(default_factory=list)  # of the network in training
    shipped: list[State] = field(default_factory=list)  # of the network whose weights are kept

    def epochs(self) -> Iterator[Row]:
        for row in loop.fit(self.run, *self.loaders, self.weights_at, patience=self.patience):
            self.states.append(copy.deepcopy(self.run.segmenter.state_dict()))
            self.shipped.append(copy.deepcopy(self.run.shipped.state_dict()))
            yield row

    def finish(self) -> Self:
        for _ in self.epochs():
            pass
        return self

    @property
    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self.run.rows)

    @property
    def step(self) -> torch.optim.Optimizer:
        """The optimiser itself, for hooks around its steps."""
        return self.run.optimizer.optimizer


def prepare(
    folder: Path,
    aux_loss: str = "none",
    *,
    network: Callable[[], Segmenter] = resnet,
    weight: float = 0.2,
    blocks: tuple[int, int] = (2, 1),
    seed: int = 0,
    epochs: int = 2,
    batch_size: int = 4,
    accumulate: int = 1,
    workers: int = 0,
    cache: bool = True,
    precision: Precision = "fp32",
    patience: int = 0,
    switch_epoch: int | None = None,
    scheduler: dict[str, Any] | None = None,
    main: Mapping[str, float] = BCE,
    contrast: float = 0.0,
    importance: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    **changes: Any,
) -> Toy:
    """A training of all images, validated on the first six, that has not begun."""
    devices.fix_randomness(seed, threads=1)
    accelerator, model = cpu(precision, accumulate), network()
    part = partial(
        Samples, folder / "images", folder / "masks", size=SIZE, augment=None, seed=seed, cache=cache
    )
    loaders = batches(
        part(ids=IDS, importance=importance, shares=shares),
        part(ids=IDS[:6]),
        accelerator,
        batch_size=batch_size,
        accumulate=accumulate,
        valid_batch_size=4,
        workers=workers,
    )
    switch = epochs // 2 if switch_epoch is None else switch_epoch
    settings: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.01, "clip": 0.0, "ema": 0.0, "compile": False}
    settings |= {"decay_norms": True, "lr_decoder": 1.0, "aux_target": "exact", "recompute": False}
    settings |= {"restart_at_switch": False, "checkpoint": "best", "watch": "dice", "freeze": []}
    settings |= {"optimizer": {"kind": "adamw", "momentum": 0.9}}
    run = Run(
        model,
        accelerator,
        SIZE,
        len(IDS) // batch_size,
        seed=seed,
        epochs=epochs,
        switch_epoch=switch,
        scheduler=PLATEAU | (scheduler or {}),
        **(settings | changes),
    )
    weights_at = schedules.choose(aux_loss, blocks, weight, switch, main, contrast)
    return Toy(run, loaders, weights_at, patience)


def aux_loss(logits: Tensor, masks: Tensor, pad: Padding = pad_to_stride, target: str = "exact") -> Tensor:
    """The loss of an auxiliary head: BCE against the masks at its size."""
    return bce(logits, aux_target(masks, logits.shape, target, pad))


def train(folder: Path, aux_loss: str = "none", **settings: Any) -> Toy:
    """The training from its beginning to its end."""
    return prepare(folder, aux_loss, **settings).finish()


def assert_same(state: State, other: State) -> None:
    """Bit by bit."""
    assert list(state) == list(other)
    for name, value in state.items():
        assert torch.equal(value, other[name]), name


def assert_same_run(toy: Toy, other: Toy) -> None:
    """Weights after every epoch and the history, bit by bit."""
    for state, expected in zip(toy.states, other.states, strict=True):
        assert_same(state, expected)
    pd.testing.assert_frame_equal(toy.history, other.history, check_exact=True)
