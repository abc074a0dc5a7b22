"""Predicts one large image with a small network, and prints the peak of this process's memory in MB.

python tests/support/predict_large.py IMAGE TARGET
"""

import sys
from pathlib import Path

import torch
from torch import nn

import one_image
from ftu.datasets import image_files
from ftu.prediction import sliding_window, views

WINDOW, OVERLAP = 512, 0.125


def network() -> nn.Module:
    """One convolution, cheap enough for 400 million pixels on one core."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 1, kernel_size=3, padding=1), nn.Sigmoid()).eval()


def peak_memory() -> int:
    """MB of resident memory at most; ru_maxrss would count the process that started this one as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main(source: Path, target: Path) -> None:
    torch.set_num_threads(1)
    shape = image_files.image_shape(source)
    with image_files.pixel_rows(source) as read:
        bands = one_image.predict(
            network(), read, shape,
            sets={"none": views.groups("none", [])}, window=WINDOW, overlap=OVERLAP, blend="smooth",
            batch_size=4, mean=(0.5,) * 3, std=(0.25,) * 3, device=torch.device("cpu"),
        )  # fmt: skip
        sliding_window.write_maps(bands, shape, [target])
    print(peak_memory())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
