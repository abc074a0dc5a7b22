"""An epoch of the engine, loading and augmentation included, against a plain fp32 loop over one batch.

PYTHONPATH=src python benchmarks/training.py --device cuda --precision bf16 --compile --workers 8 --peak 989

The plain loop is what a tutorial has: the same network in eager fp32 and contiguous layout, AdamW, nothing to
load. The images are noise; speed does not depend on what they show. `--peak` is the device's matrix peak in
TFLOPS at that precision: with it the share that the engine reaches is printed.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from ftu import images, runtime, schedules, training
from ftu.augment import augmentation
from ftu.dataset import Samples, batches
from ftu.params import load_params
from ftu.run import Run, accelerate
from ftu.segmenter import Segmenter, build_segmenter
from side_by_side import medians

ROOT = Path(__file__).parents[1]


def main() -> None:
    words = arguments()
    device = runtime.choose_device(words.device)
    runtime.fix_randomness(0, words.threads, words.device)
    network = partial(
        build_segmenter,
        encoder=words.encoder,
        decoder=words.decoder,
        width=words.width,
        fuse="conv1x1",
        size=words.size,
    )
    count = words.batch * words.steps
    epochs = {
        "plain": plain_epoch(network(), words, device),
        "engine": engine_epoch(network(), words, device),
    }
    seconds = medians(epochs, words.repeats)  # kernels are chosen and compiled in the first, uncounted call
    for name, epoch in epochs.items():
        speed = f"{name}: {count / seconds[name]:.2f} images/s"
        print(f"{speed}, peak memory {peak_memory(epoch):.1f} GiB" if device.type == "cuda" else speed)
    print(f"engine / plain: {seconds['plain'] / seconds['engine']:.2f} times the images/s")
    operations = 3 * forward_operations(network(), words.size)  # a backward pass is about two forward ones
    rate = count * operations / seconds["engine"] / 1e12
    share = f", {100 * rate / words.peak:.1f} % of {words.peak} TFLOPS" if words.peak else ""
    print(f"engine: {rate:.3f} TFLOPS at {operations / 1e9:.1f} GFLOP an image and step{share}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="coat_lite_tiny")
    parser.add_argument("--decoder", default="daformer")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4, help="of one epoch")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each, in turn")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOPS")
    return parser.parse_args()


def peak_memory(epoch: Callable[[], object]) -> float:
    """GiB of the GPU in use at once during an epoch."""
    torch.cuda.reset_peak_memory_stats()
    epoch()
    return torch.cuda.max_memory_allocated() / 2**30


def plain_epoch(model: Segmenter, words: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """The tutorial's loop, on one batch that is in place already."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    batch = torch.randn(words.batch, 3, words.size, words.size, device=device)
    masks = torch.zeros(words.batch, 1, words.size, words.size, device=device)

    def epoch() -> None:
        for _ in range(words.steps):
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(model(batch).logits, masks).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()  # the engine reads its losses, and so waits too

    return epoch


def engine_epoch(model: Segmenter, words: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """`training.train_epoch` as the stage calls it, with the augmentation of the paper's recipe."""
    recipe = load_params(ROOT / "profiles/competition.yaml")
    ids = [str(number) for number in range(words.batch * words.steps)]
    folder = Path(tempfile.mkdtemp())
    draw(folder, ids, words.size)
    accelerator = accelerate(device, words.precision, accumulate=1)
    augment = augmentation(words.size, windows=False, **recipe.augment.model_dump())
    part = partial(Samples, folder / "images", folder / "masks", ids, words.size, seed=0, cache=True)
    loader, _ = batches(
        part(augment=augment), part(augment=None), accelerator,
        batch_size=words.batch, accumulate=1, valid_batch_size=8, workers=words.workers,
    )  # fmt: skip
    run = Run(
        model, accelerator, words.size, words.steps,
        seed=0, epochs=1000, lr=1e-4, weight_decay=0.01, scheduler=recipe.train.scheduler.model_dump(),
        clip=0.0, ema=0.0, compile=words.compile, switch_epoch=500,
    )  # fmt: skip
    weights = schedules.choose("single", [2, 1], 0.2, 500)(0)
    return partial(training.train_epoch, run, loader, 0, weights)


def draw(folder: Path, ids: list[str], size: int) -> None:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in ids:
        images.write_rgb(folder / "images" / f"{name}.png", rng.integers(0, 256, (size, size, 3), np.uint8))
        images.write_mask(folder / "masks" / f"{name}.png", rng.integers(0, 2, (size, size), np.uint8))


def forward_operations(model: Segmenter, size: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
