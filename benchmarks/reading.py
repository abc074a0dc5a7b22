"""Reading a 3000 x 3000 TIFF at 768 px: one decimated read against a full read and cv2's area resize.

PYTHONPATH=src python benchmarks/reading.py
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from ftu.datasets import image_files
from side_by_side import medians

SIDE, SIZE, REPEATS = 3000, 768, 9


def full_then_resized(path: Path) -> np.ndarray:
    return cv2.resize(image_files.read_image(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main() -> None:
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tiff"
        image_files.write_tiff(path, cv2.GaussianBlur(noise, (0, 0), 3))
        seconds = medians(
            {
                "decimated": lambda: image_files.read_resized(path, (SIZE, SIZE)),
                "full": lambda: full_then_resized(path),
            },
            REPEATS,
        )
    ours, peer = seconds["decimated"] * 1e3, seconds["full"] * 1e3
    print(f"reading {SIDE} px at {SIZE} px, medians of {REPEATS} alternating repeats")
    print(f"decimated {ours:.0f} ms, full + resize {peer:.0f} ms: {peer / ours:.2f} x ours")


if __name__ == "__main__":
    main()
