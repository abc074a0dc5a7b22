"""Trains a network without batch statistics, dropout or stochastic depth, in torchrun's processes.

`torchrun --nproc-per-node N batch_free.py FOLDER ACCUMULATE` makes toy images in FOLDER, and prints the
history and the auxiliary heads as JSON. Not a test: what tests/test_processes.py runs.
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ftu import images, processes, runtime, schedules, training
from ftu.dataset import Samples, batches
from ftu.encoders import Encoder
from ftu.run import Run, accelerate
from ftu.segmenter import Segmenter

SIZE, IMAGES, BATCH, EPOCHS = 32, 14, 4, 4


class Pyramid(nn.Module):
    """Four maps at strides 4 to 32; each image is normalised by itself."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        inputs, strides = [3, *channels], [4, 2, 2, 2]
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, d, 3, s, 1), nn.GroupNorm(1, d), nn.GELU())
            for c, d, s in zip(inputs, channels, strides, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps:
            maps.append(x := step(x))
        return maps


class First(nn.Module):
    """A decoder that reads the last map and the first."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels[-1], channels[0], 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        deep = nn.functional.interpolate(self.project(maps[-1]), maps[0].shape[-2:], mode="nearest")
        return torch.cat([maps[0], deep], dim=1)


def network() -> Segmenter:
    channels = [8, 8, 16, 16]
    head = nn.Sequential(nn.Conv2d(16, 1, 1), nn.Upsample(scale_factor=4, mode="nearest"))
    return Segmenter(Encoder(Pyramid(channels), channels), First(channels), head)


def draw(folder: Path) -> list[str]:
    """Bright squares on a dark ground; the same in every process."""
    rng, ids = np.random.default_rng(0), [f"{number:02}" for number in range(IMAGES)]
    for name in ids:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        row, column = rng.integers(0, SIZE // 2, 2)
        mask[row : row + 16, column : column + 16] = 1
        image = rng.integers(0, 60, (SIZE, SIZE, 3)) + 150 * mask[..., None]
        images.write_rgb(folder / "images" / f"{name}.png", image.astype(np.uint8))
        images.write_mask(folder / "masks" / f"{name}.png", mask)
    return ids


def main(folder: Path, accumulate: int) -> None:
    accelerator = accelerate(torch.device("cpu"), "fp32", accumulate)
    processes.launch(accelerator.num_processes)
    runtime.fix_randomness(0, threads=1)
    with accelerator.main_process_first():
        ids = draw(folder) if accelerator.is_main_process else [f"{number:02}" for number in range(IMAGES)]
    part = partial(Samples, folder / "images", folder / "masks", augment=None, seed=0, cache=True)
    learnt, held_out = part(ids[:-5]), part(ids[-5:])
    run = Run(
        network(), accelerator, SIZE, len(learnt) // BATCH,
        seed=0, epochs=EPOCHS, lr=1e-2, weight_decay=0.01,
        scheduler={"kind": "onecycle", "min_lr": 1e-6, "warmup": 0.3}, clip=0.5, ema=0.9, compile=False,
        switch_epoch=EPOCHS // 2,
    )  # fmt: skip
    train, valid = batches(
        learnt, held_out, accelerator, batch_size=BATCH, accumulate=accumulate, valid_batch_size=2, workers=0
    )
    schedule = schedules.choose("switched", [2, 1], 0.2, EPOCHS // 2)
    rows = list(training.fit(run, train, valid, schedule, patience=0))
    if accelerator.is_main_process:
        heads = [head.state_dict()["weight"].flatten().tolist() for head in run.segmenter.aux_heads]
        print(json.dumps({"processes": accelerator.num_processes, "rows": rows, "heads": heads}))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
