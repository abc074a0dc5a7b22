"""Resize and normalize of a 3000 x 3000 TIFF at 768 px: ours in several ways against what scripts usually do.

PYTHONPATH=src python benchmarks/preprocess.py

Each candidate runs in a process of its own that imports what it needs, in turn with the others: CPU seconds
of its threads per image, medians over images, and the most memory that it ever held. The image mirrors
scikit-image's real tissue. The second part runs our two steps in more and more processes at once: images per
second, which on a busy machine says little, and CPU seconds per image, which grow where processes are in each
other's way.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

SIDE, SIZE, ROUNDS, EACH = 3000, 768, 3, 5
ATONCE = 60  # images, for the share of processes
Work = Callable[[Path, Path], object]  # a TIFF, and a folder for what comes of it


def ours(target: np.ndarray, _: Path) -> Work:
    """Two stages: a PNG lies between them."""
    from ftu.preprocessing import normalization, resize

    normalize = normalization.prepare("exact", lambda: target, seed=0, most_gain=3)

    def work(source: Path, to: Path) -> None:
        resize.resize_image_file(source, to / "resized.png", (SIZE, SIZE))
        normalize(to / "resized.png", to / "normalized.png")

    return work


def fused(target: np.ndarray, _: Path) -> Work:
    """One stage: what was resized is still written, but not read again."""
    from ftu.datasets import image_files
    from ftu.files import png
    from ftu.preprocessing import stain

    fit = stain.fit(target, seed=0)

    def work(source: Path, to: Path) -> None:
        image = image_files.read_resized(source, (SIZE, SIZE))
        png.write_image(to / "resized.png", image)
        png.write_image(to / "normalized.png", stain.normalize(image, stain.fit(image, seed=0), fit)[0])

    return work


def kept(target: np.ndarray, folder: Path) -> Work:
    """Two stages with the item cache: the first image of a process makes, the others find."""
    from ftu.cache import per_image
    from ftu.preprocessing import normalization, resize

    keep = per_image.keeper(folder / "items")
    resize = keep(resize.resize_image_file, reads=1, writes=1)
    normalize = keep(normalization.prepare("exact", lambda: target, seed=0, most_gain=3), reads=1, writes=1)

    def work(source: Path, to: Path) -> None:
        resize(source, to / "resized.png", (SIZE, SIZE))
        normalize(to / "resized.png", to / "normalized.png")

    return work


def made(target: np.ndarray, folder: Path) -> Work:
    """The item cache where it finds nothing: every image looks new to it."""
    work = kept(target, folder)

    def anew(source: Path, to: Path) -> None:
        for path in (folder / "items").rglob("*/*"):
            path.unlink()
        work(source, to)

    return anew


def rasterio_cv2_staintools(target: np.ndarray, _: Path) -> Work:
    """Read all, cv2's area average, staintools' Vahadane; PNGs by cv2."""
    import rasterio
    from staintools import StainNormalizer

    normalizer = StainNormalizer(method="vahadane")
    normalizer.fit(target.copy())

    def work(source: Path, to: Path) -> None:
        with rasterio.open(source) as tiff:
            image = np.ascontiguousarray(np.moveaxis(tiff.read(), 0, -1))
        image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(to / "resized.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        image = cv2.cvtColor(np.asarray(cv2.imread(str(to / "resized.png"))), cv2.COLOR_BGR2RGB)
        normalized = cv2.cvtColor(normalizer.transform(image), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(to / "normalized.png"), normalized)

    return work


def pillow_only(_: np.ndarray, __: Path) -> Work:
    """Pillow's area average and PNG, and no normalisation at all."""
    from PIL import Image

    def work(source: Path, to: Path) -> None:
        with Image.open(source) as image:
            image.resize((SIZE, SIZE), Image.Resampling.BOX).save(to / "resized.png")

    return work


CANDIDATES = {work.__name__: work for work in (ours, fused, made, kept, rasterio_cv2_staintools, pillow_only)}


def draw(folder: Path) -> None:
    """The image, and the target beside it."""
    from skimage import data

    from ftu.datasets import image_files

    image = data.immunohistochemistry()
    missing = SIDE - len(image)
    padded = np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="symmetric")
    image_files.write_tiff(folder / "image.tiff", padded)
    np.save(folder / "target.npy", image[:, 256:])
    time.sleep(3)  # so that the file counts as settled


def candidate(name: str, folder: Path) -> None:
    """In a process of its own: print CPU seconds of each image and peak memory (MB) as JSON."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        to = Path(scratch)
        work = CANDIDATES[name](np.load(folder / "target.npy"), to)
        seconds = []
        for _ in range(1 + EACH):
            start = time.process_time()
            work(folder / "image.tiff", to)
            seconds.append(time.process_time() - start)
    print(json.dumps({"seconds": seconds[1:], "peak": peak_memory()}))


def peak_memory() -> float:
    """MB. The process's own: what getrusage says begins at the memory of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def measure(folder: Path) -> None:
    """Medians of all candidates, run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    peaks: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for name in list(CANDIDATES) * ROUNDS:
        command = [sys.executable, __file__, "--candidate", name, str(folder)]
        said = json.loads(subprocess.check_output(command, encoding="utf-8"))
        seconds[name] += said["seconds"]
        peaks[name].append(said["peak"])
    own = statistics.median(seconds["ours"])
    print(f"{SIDE} px to {SIZE} px, medians of {ROUNDS} x {EACH} images")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:24s} {median:7.3f} CPU s {median / own:6.2f} x ours {max(peaks[name]):5.0f} MB")


def start_worker(target: np.ndarray) -> None:
    cv2.setNumThreads(1)
    _work["ours"] = ours(target, Path())


_work: dict[str, Work] = {}


def one(source: Path, _: int) -> float:
    """CPU seconds of one image."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        _work["ours"](source, Path(scratch))
    return time.process_time() - start


def share(folder: Path) -> None:
    """Images per second of 1, 2, 4 ... processes that have started, up to the cores there are."""
    alone, target = 0.0, np.load(folder / "target.npy")
    context = multiprocessing.get_context("spawn")
    for processes in sorted({1, *(2**power for power in range(1, 9) if 2**power <= (os.cpu_count() or 1))}):
        with ProcessPoolExecutor(
            processes, mp_context=context, initializer=start_worker, initargs=(target,)
        ) as pool:
            work = partial(one, folder / "image.tiff")
            list(pool.map(work, range(8 * processes)))  # all have started
            start = time.perf_counter()
            seconds = statistics.median(pool.map(work, range(ATONCE)))
            rate = ATONCE / (time.perf_counter() - start)
        alone = alone or rate
        print(
            f"{processes:3d} processes {rate:6.1f} images/s {rate / alone:5.2f} x one   {seconds:.3f} CPU s"
        )


def main() -> None:
    if sys.argv[1:2] == ["--candidate"]:
        candidate(sys.argv[2], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        measure(Path(folder))
        share(Path(folder))


if __name__ == "__main__":
    main()
