"""Epochs of the engine against epochs of a plain eager loop and of MONAI's trainer: one network, one data.

PYTHONPATH=src python benchmarks/training.py
PYTHONPATH=src:.peers python benchmarks/training.py --device cuda --size 768 --batch 8 --workers 8 \\
    --encoder coat_lite_small --width 320 --variants "fp32 bf16 bf16+compile"

`make peers` installs MONAI. With `--peers "monai nnunet"` nnU-Net's training step takes part, too; nnunetv2
wants an older timm, so an environment of its own.

All draw from equal loaders: the paper's augmentation of cached images of noise (speed does not depend on what
they show); with `--data resident` all see one batch that lies on the device. The peers run the main loss
alone, as a tutorial has it, eager and in torch's own layout, under autocast where the variant says so; the
engine has its bookkeeping besides: gradient norms, a history, and the auxiliary loss if `--aux single`. The
share of the peak counts the products of forward and backward pass (torch.utils.flop_counter).
"""

import argparse
import gc
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from ftu.files import png
from ftu.networks.common import devices
from ftu.networks.common.contract import Segmenter
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.pipeline.params import load_params
from ftu.training import loop
from ftu.training.accelerator import accelerate
from ftu.training.augmentation.compose import augmentation
from ftu.training.losses import schedules
from ftu.training.run import Run
from ftu.training.samples import EpochBatches, Samples, TrainBatches, loader
from side_by_side import installed, medians

ROOT = Path(__file__).parents[1]
Result = TypeVar("Result")

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Dense TFLOPS of the data sheets, by a part of the device's name; fp32 is that of TF32, which torch lets
# convolutions use (products of matrices stay in fp32 proper: 67).
PEAKS = {
    "H100": {"fp32": 495.0, "bf16": 989.0, "fp16": 989.0},
    "H200": {"fp32": 495.0, "bf16": 989.0, "fp16": 989.0},
    "A100": {"fp32": 156.0, "bf16": 312.0, "fp16": 312.0},
}


def main() -> None:
    words = arguments()
    device = devices.choose_device(words.device)
    devices.fix_randomness(0, words.threads, words.device)
    operations = step_operations(network(words), words, device)
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{words.threads} CPU threads"
    print(f"{words.encoder}, {words.decoder} {words.width}, {words.size} px, batch {words.batch}, {on}")
    print(f"{operations / 1e9:.1f} GFLOP an image and step; medians of {words.repeats} epochs in turn")
    print(
        "| | images/s | engine's ratio to it | GPU memory | TFLOPS | of the peak |\n|---|---|---|---|---|---|"
    )
    for variant in words.variants.split():
        peak = words.peak_tflops or known_peak(on, variant.split("+")[0])
        for name, seconds, ratio, memory in measured(words, device, variant):
            speed = words.batch * words.steps / seconds
            rate = speed * operations / 1e12
            share = f"{100 * rate / peak:.1f} % of {peak:g}" if peak else ""
            print(
                f"| {name} {variant} | {speed:.2f} | {ratio:.2f} | {memory:.2f} GiB | {rate:.3f} | {share} |",
                flush=True,
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="coat_lite_tiny")
    parser.add_argument("--decoder", default="daformer")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4, help="of one epoch")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each, in turn")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--variants", default="fp32", help="of fp32, bf16, fp16, each with or without +compile"
    )
    there = installed({"monai": "ignite", "nnunet": "nnunetv2"})
    parser.add_argument("--peers", default=there, help="of monai, nnunet; left out: those installed")
    parser.add_argument("--data", default="loaded", choices=["loaded", "resident"])
    parser.add_argument(
        "--aux", default="none", choices=["none", "single"], help="auxiliary loss of the engine"
    )
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="of the device, where it is not known")
    return parser.parse_args()


def measured(
    words: argparse.Namespace, device: torch.device, variant: str
) -> list[tuple[str, float, float, float]]:
    """Of each candidate its name, the seconds of an epoch, how often that of the engine's, GiB of the GPU."""
    AcceleratorState._reset_state(reset_partial_state=True)  # one precision a process, it thinks
    loops = {"plain": plain_epoch, "engine": engine_epoch}
    loops |= {peer: PEERS[peer] for peer in words.peers.split()}
    if device.type == "cuda" and variant != "fp16":
        loops.pop("nnunet", None)  # which knows no other way on a GPU, and none but fp32 on a CPU
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, [str(number) for number in range(words.batch * words.steps)], words.size)
        built = {
            name: tuned(name, partial(held, partial(loop, words, device, folder, variant)))
            for name, loop in loops.items()
        }
        seconds = medians(
            {name: partial(tuned, name, epoch) for name, (epoch, _) in built.items()}, words.repeats
        )
    return [(name, time, time / seconds["engine"], built[name][1]) for name, time in seconds.items()]


def tuned(name: str, work: Callable[[], Result]) -> Result:
    """The engine's choice of convolutions by trial is its own; torch leaves it off, and so do the peers."""
    torch.backends.cudnn.benchmark = name == "engine"
    return work()


def held(build: Callable[[], Callable[[], object]]) -> tuple[Callable[[], object], float]:
    """An epoch, and the most GiB of a GPU that it needs at once; kernels are chosen and compiled by then."""
    if not torch.cuda.is_initialized():
        return build(), 0.0
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    epoch = build()
    epoch()
    torch.cuda.reset_peak_memory_stats()
    epoch()
    return epoch, (torch.cuda.max_memory_allocated() - before) / 2**30


def network(words: argparse.Namespace) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(
        encoder=words.encoder, decoder=words.decoder, width=words.width, fuse="conv1x1", size=words.size
    )


class Logits(nn.Module):
    """The network as a loop without an auxiliary loss sees it."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> Tensor:
        return self.segmenter(images).logits


class Resident:
    """A loader whose batches are one, on the device already."""

    def __init__(self, words: argparse.Namespace, device: torch.device) -> None:
        generator, side = torch.Generator().manual_seed(0), (words.size, words.size)
        self.images = torch.randn(words.batch, 3, *side, generator=generator).to(device)
        self.masks = torch.randint(2, (words.batch, 1, *side), generator=generator).float().to(device)
        self.steps, self.batch_sampler = words.steps, EpochBatches()
        self.dataset = SimpleNamespace(ids=[str(number) for number in range(words.batch)])

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for _ in range(self.steps):
            yield self.images, self.masks, torch.arange(len(self.images))


def data(words: argparse.Namespace, device: torch.device, folder: Path) -> DataLoader:
    """The loader that each candidate has one of."""
    if words.data == "resident":
        return Resident(words, device)  # pyright: ignore[reportReturnType]
    recipe = load_params(ROOT / "profiles/competition.yaml")
    ids = [str(number) for number in range(words.batch * words.steps)]
    augment = augmentation(words.size, windows=False, **recipe.augment.model_dump())
    samples = Samples(folder / "images", folder / "masks", ids, words.size, augment, seed=0, cache=True)
    steps = TrainBatches(len(ids), batch_size=words.batch, accumulate=1, seed=0, rank=0, processes=1)
    return loader(samples, steps, words.workers, pin=device.type == "cuda")


def plain_epoch(
    words: argparse.Namespace, device: torch.device, folder: Path, variant: str
) -> Callable[[], object]:
    """The tutorial's loop."""
    precision, _, compiled = variant.partition("+")
    model: nn.Module = Logits(network(words)).to(device).train()
    if compiled:
        model.compile()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    batches = data(words, device, folder)

    def epoch() -> None:
        total = 0.0
        for images_, masks, _ in batches:
            images_, masks = images_.to(device, non_blocking=True), masks.to(device, non_blocking=True)
            optimizer.zero_grad()
            with torch.autocast(device.type, TYPES[precision], enabled=precision != "fp32"):
                loss = F.binary_cross_entropy_with_logits(model(images_), masks)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            total += loss.item()

    return epoch


def engine_epoch(
    words: argparse.Namespace, device: torch.device, folder: Path, variant: str
) -> Callable[[], object]:
    """`training.train_epoch` as the stage calls it."""
    precision, _, compiled = variant.partition("+")
    recipe = load_params(ROOT / "profiles/competition.yaml")
    run = Run(
        network(words), accelerate(device, precision, accumulate=1), words.size, words.steps,  # pyright: ignore[reportArgumentType]
        seed=0, epochs=1000, lr=1e-4, weight_decay=0.01, scheduler=recipe.train.scheduler.model_dump(),
        clip=0.0, ema=0.0, compile=bool(compiled), switch_epoch=500, restart_at_switch=False,
        checkpoint="last", decay_norms=True, lr_decoder=1.0, aux_target="exact", recompute=False,
        optimizer={"kind": "adamw", "momentum": 0.9}, freeze=[], watch="dice",
    )  # fmt: skip
    weights = schedules.choose(words.aux, [2, 1], 0.2, 500, {"bce": 1.0})(0)
    return partial(loop.train_epoch, run, data(words, device, folder), 0, weights)


def monai_epoch(
    words: argparse.Namespace, device: torch.device, folder: Path, variant: str
) -> Callable[[], object]:
    """MONAI's SupervisedTrainer. It does not split its batches (decollate), as no metric asks for it."""
    engines = import_module("monai.engines")
    precision, _, compiled = variant.partition("+")
    model = Logits(network(words)).to(device)
    trainer = engines.SupervisedTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=data(words, device, folder),
        network=model,
        optimizer=torch.optim.AdamW(model.parameters(), 1e-4),
        loss_function=nn.BCEWithLogitsLoss(),
        non_blocking=True,
        prepare_batch=lambda batch, device, non_blocking, **_: (
            batch[0].to(device, non_blocking=non_blocking),
            batch[1].to(device, non_blocking=non_blocking),
        ),
        decollate=False,
        amp=precision != "fp32",
        amp_kwargs={"dtype": TYPES[precision]},
        compile=bool(compiled),
    )

    def epoch() -> None:
        trainer.run()
        if device.type == "cuda":
            torch.cuda.synchronize()  # the others read their losses, and so wait too

    return epoch


def nnunet_epoch(
    words: argparse.Namespace,
    device: torch.device,
    folder: Path,
    variant: str,  # noqa: ARG001
) -> Callable[[], object]:
    """The train_step of nnU-Net v2's trainer. Its constructor wants a data set in its own format and builds a
    network from that: both are put in place by hand, and AdamW, which the others have, for its SGD."""
    kind = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer").nnUNetTrainer
    trainer = kind.__new__(kind)
    trainer.device, trainer.network = device, Logits(network(words)).to(device).train()
    trainer.optimizer = torch.optim.AdamW(trainer.network.parameters(), 1e-4)
    trainer.loss = nn.BCEWithLogitsLoss()
    trainer.grad_scaler = torch.amp.GradScaler("cuda") if device.type == "cuda" else None
    batches = data(words, device, folder)

    def epoch() -> None:
        for images_, masks, _ in batches:
            trainer.train_step({"data": images_, "target": masks})

    return epoch


PEERS = {"monai": monai_epoch, "nnunet": nnunet_epoch}


def draw(folder: Path, ids: list[str], size: int) -> None:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in ids:
        png.write_image(folder / "images" / f"{name}.png", rng.integers(0, 256, (size, size, 3), np.uint8))
        png.write_mask(folder / "masks" / f"{name}.png", rng.integers(0, 2, (size, size), np.uint8))


def step_operations(model: Segmenter, words: argparse.Namespace, device: torch.device) -> int:
    """Floating-point operations of forward and backward pass for one image."""
    model.to(device)
    image = torch.zeros(1, 3, words.size, words.size, device=device)
    with FlopCounterMode(display=False) as counter:
        model.eval()(image).logits.sum().backward()  # eval: batch normalisation wants more than one image
    return counter.get_total_flops()


def known_peak(device: str, precision: str) -> float:
    """TFLOPS, 0 where the table does not know the device."""
    return next((peaks[precision] for part, peaks in PEAKS.items() if part in device), 0.0)


if __name__ == "__main__":
    main()
