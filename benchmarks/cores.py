"""How much faster resize and normalize are with a second worker, on an idle machine of two cores.

OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/cores.py

16 synthetic TIFFs of 3000 x 3000 px, to 768 px and to the stain of one of them, by the clock, in one process
and in two of one thread each. The start of the two, which a stage does once, is not counted.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ftu.datasets import image_files
from ftu.datasets.synthetic import histology
from ftu.files import png
from ftu.pipeline.workers.pool import Pool
from ftu.preprocessing import stain
from ftu.preprocessing.stain import StainFit

IMAGES, SIDE, SIZE, REPEATS = 16, 3000, 768, 3


def write_images(folder: Path) -> list[Path]:
    for index in range(IMAGES):
        organ = list(histology.ORGANS)[index % len(histology.ORGANS)]
        rng = np.random.default_rng(index)
        image, _ = histology.draw(organ, "HPA", height=SIDE, width=SIDE, pixel_size=0.4, rng=rng)
        image_files.write_tiff(folder / f"{index}.tiff", image)
    return sorted(folder.glob("*.tiff"))


def resize_and_normalize(source: Path, folder: Path, target: StainFit) -> None:
    cv2.setNumThreads(1)
    image = image_files.read_resized(source, (SIZE, SIZE))
    normalized, _ = stain.normalize(image, stain.fit(image, seed=0), target)
    png.write_image(folder / f"{source.stem}.png", normalized)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_images(folder)
        target = stain.fit(image_files.read_resized(files[0], (SIZE, SIZE)), seed=0)
        work = partial(resize_and_normalize, folder=folder, target=target)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for workers in seconds:
            Pool("process", workers, "").each(work, files[:4], doing="start")
        for _ in range(REPEATS):
            for workers, times in seconds.items():
                start = time.perf_counter()
                Pool("process", workers, "").each(work, files, doing="work")
                times.append(time.perf_counter() - start)
    one, two = (min(times) for times in seconds.values())
    print(f"resize and normalize of {IMAGES} images of {SIDE} px at {SIZE} px, least of {REPEATS}")
    print(f"one worker {one / IMAGES:.3f} s an image, two {two / IMAGES:.3f} s: {one / two:.2f} x as fast")


if __name__ == "__main__":
    main()
