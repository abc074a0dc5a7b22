"""Images per second of our loader, of a plain albumentations DataLoader and of MONAI's CacheDataset.

PYTHONPATH=src python benchmarks/loading.py
PYTHONPATH=src:.peers python benchmarks/loading.py --size 768 --workers 2        after `make peers`: MONAI too

All draw the paper's augmentation from the same albumentations object, standardise by ImageNet's statistics
and give batches of float32 images and masks. The plain loader reads its files each time, by OpenCV, as
notebooks do; CacheDataset reads them once by MONAI's own transforms, and so does ours. The second table feeds
each into a plain training step of a small network: what is left of the differences when a model computes.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ftu.files import png
from ftu.networks.common import devices
from ftu.networks.common.standardize import MEAN, STD
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.pipeline.params import load_params
from ftu.training.augmentation.compose import Augmentation, augmentation
from ftu.training.samples import Samples, TrainBatches, loader
from side_by_side import installed, medians

ROOT = Path(__file__).parents[1]

Loader = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def main() -> None:
    words = arguments()
    device = devices.choose_device(words.device)
    devices.fix_randomness(0, words.threads, words.device)
    cv2.setNumThreads(words.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = draw(folder, words.images, words.size)
        loaders = {"ours": ours, "albumentations": plain} | ({"CacheDataset": monai} if words.peers else {})
        built = {name: build(folder, ids, words, device) for name, build in loaders.items()}
        print(f"{len(ids)} images of {words.size} px, batches of {words.batch}, {words.workers} workers")
        report("loader alone", {name: partial(drain, one) for name, one in built.items()}, words, len(ids))
        step = training_step(words, device)
        report(
            "and a model", {name: partial(feed, one, step) for name, one in built.items()}, words, len(ids)
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    there = installed({"monai": "monai"})
    parser.add_argument(
        "--peers", default=there, help="monai: its CacheDataset too; left out: if it is installed"
    )
    parser.add_argument("--encoder", default="tu-resnet10t", help="of the U-Net that is trained besides")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="passes of each, in turn")
    return parser.parse_args()


def report(
    title: str, passes: dict[str, Callable[[], object]], words: argparse.Namespace, count: int
) -> None:
    seconds = medians(passes, words.repeats)
    print(f"| {title} | images/s | ratio to ours |\n|---|---|---|")
    for name, time in seconds.items():
        print(f"| {name} | {count / time:.1f} | {time / seconds['ours']:.2f} |", flush=True)


def draw(folder: Path, count: int, size: int) -> list[str]:
    """Smooth noise: PNGs of it are about as large as those of tissue."""
    rng, ids = np.random.default_rng(0), [str(number) for number in range(count)]
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in ids:
        noise = rng.integers(0, 256, (size, size, 3), np.uint8)
        png.write_image(folder / "images" / f"{name}.png", np.asarray(cv2.GaussianBlur(noise, (0, 0), 1)))
        png.write_mask(folder / "masks" / f"{name}.png", rng.integers(0, 2, (size, size), np.uint8))
    return ids


def recipe(size: int) -> Augmentation:
    return augmentation(
        size, windows=False, **load_params(ROOT / "profiles/competition.yaml").augment.model_dump()
    )


def steps(size: int) -> A.Compose:
    """The albumentations object inside our augmentation: all of it but changes of colour."""
    cells = [cell.cell_contents for cell in getattr(recipe(size), "__closure__", ())]
    return next(content for content in cells if isinstance(content, A.Compose))


def ours(folder: Path, ids: list[str], words: argparse.Namespace, device: torch.device) -> Loader:
    """`ftu.training.samples`, as the stage train uses it."""
    samples = Samples(
        folder / "images", folder / "masks", ids, words.size, recipe(words.size), seed=0, cache=True
    )
    batches = TrainBatches(len(ids), batch_size=words.batch, accumulate=1, seed=0, rank=0, processes=1)
    made = loader(samples, batches, words.workers, pin=device.type == "cuda")
    return lambda: ((image, mask) for image, mask, _ in made)


class Files(Dataset[tuple[Tensor, Tensor]]):
    """What notebooks have: read, augment, standardise."""

    def __init__(self, folder: Path, ids: list[str], size: int) -> None:
        self.folder, self.ids = folder, ids
        self.steps = A.Compose([*steps(size).transforms, A.Normalize(MEAN, STD), ToTensorV2()])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = cv2.imread(str(self.folder / "images" / f"{self.ids[index]}.png"))
        mask = cv2.imread(str(self.folder / "masks" / f"{self.ids[index]}.png"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert mask is not None
        made = self.steps(image=cv2.cvtColor(image, cv2.COLOR_BGR2RGB), mask=mask)
        return made["image"], made["mask"][None].float()


def plain(folder: Path, ids: list[str], words: argparse.Namespace, device: torch.device) -> Loader:
    made = DataLoader(Files(folder, ids, words.size), **settings(words, device))
    return lambda: made


def monai(folder: Path, ids: list[str], words: argparse.Namespace, device: torch.device) -> Loader:
    """CacheDataset: what is not random is kept; albumentations' steps are one random transform of it."""
    data, transforms = import_module("monai.data"), import_module("monai.transforms")
    compose = steps(words.size)

    class Albumentations(transforms.RandomizableTransform):
        """Random, which keeps it out of the cache."""

        def __call__(self, data: dict[str, Tensor]) -> dict[str, np.ndarray]:
            image, mask = np.moveaxis(np.asarray(data["image"]), 0, -1), np.asarray(data["mask"])[0]
            made = compose(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
            return {"image": np.moveaxis(made["image"], -1, 0), "mask": made["mask"][None]}

    chain = transforms.Compose(
        [
            transforms.LoadImaged(
                ["image", "mask"], reader="PILReader", reverse_indexing=False, image_only=True
            ),
            transforms.EnsureChannelFirstd(["image", "mask"]),
            transforms.CastToTyped(["image", "mask"], np.uint8),
            Albumentations(),
            transforms.ScaleIntensityRanged(["image"], 0, 255, 0, 1),
            transforms.NormalizeIntensityd(["image"], subtrahend=MEAN, divisor=STD, channel_wise=True),
            transforms.ToTensord(["image", "mask"], dtype=torch.float32, track_meta=False),
        ]
    )
    files = [{part: str(folder / f"{part}s" / f"{name}.png") for part in ("image", "mask")} for name in ids]
    made = data.DataLoader(data.CacheDataset(files, chain, progress=False), **settings(words, device))
    return lambda: ((batch["image"], batch["mask"]) for batch in made)


def settings(words: argparse.Namespace, device: torch.device) -> dict:
    return {
        "batch_size": words.batch,
        "shuffle": True,
        "drop_last": True,
        "num_workers": words.workers,
        "persistent_workers": words.workers > 0,
        "pin_memory": device.type == "cuda",
    }


def drain(batches: Loader) -> None:
    for image, mask in batches():
        assert image.dtype == mask.dtype == torch.float32


def feed(batches: Loader, step: Callable[[Tensor, Tensor], float]) -> None:
    for image, mask in batches():
        step(image, mask)


def training_step(words: argparse.Namespace, device: torch.device) -> Callable[[Tensor, Tensor], float]:
    model = build_segmenter(
        encoder=words.encoder, decoder="unet", width=64, fuse="conv1x1", size=words.size
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step(image: Tensor, mask: Tensor) -> float:
        optimizer.zero_grad()
        image, mask = image.to(device, non_blocking=True), mask.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = F.binary_cross_entropy_with_logits(model(image).logits, mask)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
