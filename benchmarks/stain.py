"""Stain normalisation of one image: ours, and other people's.

PYTHONPATH=src python benchmarks/stain.py
PYTHONPATH=src:.peers python benchmarks/stain.py        after `make peers`: torchstain too

All fit the source and repaint it; the target was fitted before. Ours runs on one core; staintools fits for
one second by the clock and then uses every core, as do torchstain and tiatoolbox. torchstain is Macenko's
method, which needs no dictionary: it is here for scale. `--device cuda` adds ours in torch (stain_torch.py),
of an image that lies on the device and of one that is brought there and back, and says how far its pixels are
from ours. The images mirror and enlarge scikit-image's real tissue.
"""

import argparse
from collections.abc import Callable
from importlib import import_module

import cv2
import numpy as np
import torch
from skimage import data

import stain_torch
from ftu.preprocessing import stain
from side_by_side import installed, medians

Work = Callable[[], object]


def main() -> None:
    words = arguments()
    cv2.setNumThreads(1)
    target = data.immunohistochemistry()[:, 256:]
    for side in words.sides:
        image = draw_tissue(side)
        works = candidates(image, target, words.peers.split(), words.device)
        seconds = medians(works, words.repeats)
        print(f"image of {side} x {side}, medians of {words.repeats} alternating repeats")
        for name, value in seconds.items():
            print(f"{name:28s} {value:8.4f} s   {value / seconds['ours']:7.2f} x ours", flush=True)
        if words.device == "cuda":
            print(f"ours in torch: {difference(image, target, words.device)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[768, 3000], help="px")
    there = installed({name: name for name in PEERS})
    parser.add_argument("--peers", default=there, help=f"of {', '.join(PEERS)}; left out: those installed")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of ours in torch")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def draw_tissue(side: int) -> np.ndarray:
    """(side, side, 3): scikit-image's (512, 512, 3) and its mirror images, nothing averaged."""
    image = data.immunohistochemistry()
    missing = side - len(image)
    return np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="symmetric")


def candidates(image: np.ndarray, target: np.ndarray, peers: list[str], device: str) -> dict[str, Work]:
    target_fit = stain.fit(target, seed=0)
    works: dict[str, Work] = {"ours": lambda: stain.normalize(image, stain.fit(image, seed=0), target_fit)}
    if device == "cuda":
        works |= ours_in_torch(image, target, device)
    for peer in peers:
        works |= PEERS[peer](image, target, device)
    return works


def ours_in_torch(image: np.ndarray, target: np.ndarray, device: str) -> dict[str, Work]:
    target_fit = stain_torch.fit(torch.from_numpy(target.copy()).to(device), seed=0)
    there = torch.from_numpy(image).to(device)

    def normalized(pixels: torch.Tensor) -> torch.Tensor:
        made = stain_torch.normalize(pixels, stain_torch.fit(pixels, seed=0), target_fit)
        if device == "cuda":
            torch.cuda.synchronize()
        return made

    return {
        f"ours in torch, {device}": lambda: normalized(there),
        f"ours in torch, {device} and back": lambda: normalized(torch.from_numpy(image).to(device)).cpu(),
    }


def staintools(image: np.ndarray, target: np.ndarray, device: str) -> dict[str, Work]:  # noqa: ARG001
    normalizer = import_module("staintools").StainNormalizer(method="vahadane")
    normalizer.fit(target.copy())
    return {"staintools": lambda: normalizer.transform(image.copy())}


def torchstain(image: np.ndarray, target: np.ndarray, device: str) -> dict[str, Work]:
    """Both of its backends; torch's fits and paints planes (3, H, W)."""
    works: dict[str, Work] = {}
    plain = import_module("torchstain.numpy.normalizers").NumpyMacenkoNormalizer()
    plain.fit(target)
    works["torchstain, numpy (Macenko)"] = lambda: plain.normalize(image, stains=False)
    normalizer = import_module("torchstain.torch.normalizers").TorchMacenkoNormalizer()
    normalizer.fit(planes(target))
    works["torchstain, torch (Macenko)"] = lambda: normalizer.normalize(planes(image), stains=False)
    if device == "cuda":
        on_gpu = import_module("torchstain.torch.normalizers").TorchMacenkoNormalizer()
        on_gpu.fit(planes(target).cuda())
        there = planes(image).cuda()

        def normalized() -> None:
            on_gpu.normalize(there, stains=False)
            torch.cuda.synchronize()

        works["torchstain, cuda (Macenko)"] = normalized
    return works


def tiatoolbox(image: np.ndarray, target: np.ndarray, device: str) -> dict[str, Work]:  # noqa: ARG001
    normalizer = import_module("tiatoolbox.tools.stainnorm").VahadaneNormalizer()
    normalizer.fit(target.copy())
    return {"tiatoolbox (Vahadane)": lambda: normalizer.transform(image.copy())}


PEERS = {"staintools": staintools, "torchstain": torchstain, "tiatoolbox": tiatoolbox}


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


def difference(image: np.ndarray, target: np.ndarray, device: str) -> str:
    """How far the torch version is from ours; SystemExit when so far that it would be another method."""
    source, aim = stain.fit(image, seed=0), stain.fit(target, seed=0)
    there = torch.from_numpy(image).to(device)
    fits = [stain_torch.fit(pixels, seed=0) for pixels in (there, torch.from_numpy(target.copy()).to(device))]
    stains = max(
        float(np.abs(ours.matrix - other.matrix.cpu().numpy()).max())
        for ours, other in zip((source, aim), fits, strict=True)
    )
    made = stain_torch.normalize(there, *fits).cpu().numpy().astype(int)
    levels = np.abs(made - stain.normalize(image, source, aim)[0])
    if stains > 0.01 or levels.mean() > 1:
        raise SystemExit(f"stains differ by {stains:.4f}, pixels by {levels.mean():.2f} levels on average")
    return f"stains within {stains:.1e}, pixels {levels.mean():.3f} levels on average, at most {levels.max()}"


if __name__ == "__main__":
    main()
