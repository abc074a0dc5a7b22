"""The engine that predicts, files in and files out, against a plain loop over the same images.

PYTHONPATH=src python benchmarks/predict.py --device cuda --size 768 --encoder tu-resnet50 --tta d4

The plain loop is what a notebook has: eager torch, one whole image at a time, its views one by one through
ttach's own wrapper, 16-bit PNGs. `--side` above `--size` makes images larger than the network's: the engine
then lays windows of `--size`, the plain loop still takes the image whole. The images are noise under a blur.
Both run in turn in one process, after one round each that is not counted.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import ttach
from torch import nn

from ftu.files import png
from ftu.networks.common import devices
from ftu.networks.common.contract import Probabilities
from ftu.networks.common.standardize import MEAN, STD, image_tensor
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.prediction import sliding_window, views
from ftu.prediction.predictor import TYPES, Predictor
from ftu.probabilities import map_file
from side_by_side import medians


def main() -> None:
    words = arguments()
    device = devices.choose_device(words.device)
    devices.fix_randomness(0, words.threads, words.device)
    network = Probabilities(
        build_segmenter(
            encoder=words.encoder, decoder=words.decoder, width=words.width, fuse="conv1x1", size=words.size
        )
    )
    folder = Path(tempfile.mkdtemp())
    paths = draw(folder, words.images, words.side or words.size)
    passes: dict[str, Callable[[], object]] = {
        "plain": partial(plain_pass, network, paths, folder, words.tta, device),
        "engine": partial(engine_pass, network, paths, folder, words, device),
    }
    seconds = medians(passes, words.repeats)
    for name, once in passes.items():
        print(f"{name}: {len(paths) / seconds[name]:.2f} images/s, peak memory {peak(once, device)}")
    print(f"engine / plain: {seconds['plain'] / seconds['engine']:.2f} times the images/s")
    print(f"largest difference of a probability: {difference(folder, paths):.1e}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="tu-resnet10t")
    parser.add_argument("--decoder", default="unet")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=256, help="px, of the network and its windows")
    parser.add_argument("--side", type=int, default=0, help="px, of the images; 0: --size")
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--tta", default="flips", choices=["none", "flips", "d4"])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8, help="windows and views at a time")
    parser.add_argument("--repeats", type=int, default=3, help="passes of each, in turn")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=list(TYPES), help="of the engine alone")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def draw(folder: Path, count: int, side: int) -> list[Path]:
    rng, paths = np.random.default_rng(0), [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        noise = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
        png.write_image(path, np.asarray(cv2.GaussianBlur(noise, (0, 0), 2)))
    return paths


@torch.inference_mode()
def plain_pass(network: nn.Module, paths: list[Path], folder: Path, tta: str, device: torch.device) -> None:
    """The notebook's loop."""
    turns = list(ttach.aliases.d4_transform())  # pyright: ignore[reportArgumentType]
    chosen = [turns[turn] for group in views.groups(tta, []) for turn in group.symmetries]
    network.to(device).to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]
    model = ttach.SegmentationTTAWrapper(network, chosen, merge_mode="mean")  # pyright: ignore[reportArgumentType]
    for path in paths:
        batch = image_tensor(png.read_image(path), MEAN, STD)[None].to(device)
        probability = model(batch)[0, 0].cpu().numpy()
        stored = np.rint(probability * map_file.FULL_SCALE).astype(np.uint16)
        cv2.imwrite(str(folder / f"plain_{path.name}"), stored)


def engine_pass(
    network: nn.Module, paths: list[Path], folder: Path, words: argparse.Namespace, device: torch.device
) -> None:
    """What the stage does for its files."""
    sets = {words.tta: views.groups(words.tta, [])}
    how = {"batch_size": words.batch, "mean": MEAN, "std": STD, "device": device}
    predictor = Predictor(network, sets, **how, precision=words.precision)
    pictures = sliding_window.plan(paths, words.size, words.overlap, "smooth", shrink=True)
    sliding_window.write_files(predictor, pictures, [[folder / f"engine_{path.stem}.tif"] for path in paths])


def peak(once: Callable[[], object], device: torch.device) -> str:
    """The most memory in use at once while `once` runs: of this process, and on the GPU."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the peak before; proc(5)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    once()
    held = int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 2**20
    on_gpu = (
        f", {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB on the GPU" if device.type == "cuda" else ""
    )
    return f"{held:.2f} GiB{on_gpu}"


def difference(folder: Path, paths: list[Path]) -> float:
    """Between the two, over all images; windows see less around them than the whole image shows."""
    pairs = (
        (
            cv2.imread(str(folder / f"plain_{path.name}"), cv2.IMREAD_UNCHANGED) / map_file.FULL_SCALE,  # pyright: ignore[reportOptionalOperand]
            map_file.read(folder / f"engine_{path.stem}.tif")[0],
        )
        for path in paths
    )
    return max(float(np.abs(plain - engine).max()) for plain, engine in pairs)


if __name__ == "__main__":
    main()
