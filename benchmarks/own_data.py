"""decode of an own data set of grey slices and masks of three classes; and `dvc status` beside many files.

python benchmarks/own_data.py --images 1000 --workers 2

The stage runs in a copy of the project, on n slices of 512 px and on twice as many: seconds, seconds of the
processor, and the memory of its largest process, anew and with all in the item cache. Beside it a plain loop
in one process, which reads images and masks with Pillow and saves the masks, and checks nothing. Then DVC is
asked whether the folder of images and masks has changed, beside git and `md5sum` of every file; of three
tries the cheapest.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SIDE, SLICES, REPEATS = 512, 50, 3  # px; slices of a volume
DATA = {"layout": "folders", "root": "raw", "organs": ["cell"], "sources": ["lab"], "pixel_size": 1.0}
DATA |= {"channels": 1, "classes": ["membrane", "mitochondrion", "vesicle"]}
DATA |= {"group": [r"^(v\d+)_"], "z": r"_z(\d+)$"}
PARAMS = {
    "data": DATA,
    "split": {"by": "group"},
    "postprocess": {"method": "argmax"},
    "stain": {"backend": "none"},
}


class Cost(NamedTuple):
    """What a process and its children took."""

    seconds: float
    processor: float  # seconds, user and system
    memory: float  # MB, of the largest process


def draw(root: Path, images: int) -> None:
    """Grey slices of textures, and masks of where they are bright, in volumes of SLICES."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.standard_normal((4 * SIDE, 4 * SIDE)).astype(np.float32), (0, 0), 3)
    texture /= texture.std()
    for part in ("images", "masks"):
        (root / "train" / part).mkdir(parents=True)
    for number in range(images):
        top, left = rng.integers(0, 3 * SIDE, 2)
        blobs = texture[top : top + SIDE, left : left + SIDE]
        noisy = 128 + 35 * blobs + rng.normal(0, 6, blobs.shape)
        drawn = {"images": np.clip(noisy, 0, 255), "masks": np.digitize(blobs, [0.5, 1.2, 2.0])}
        for part, array in drawn.items():
            name = f"v{number // SLICES:03d}_z{number % SLICES:02d}.png"
            cv2.imwrite(str(root / "train" / part / name), array.astype(np.uint8))


def project(folder: Path, workers: int) -> None:
    """A copy of the project's code and parameters, for the data set in its folder `raw`."""
    for part in ("src", "stages"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    for section, values in PARAMS.items():
        params[section].update(values)
    params["compute"].update(executor="process", workers=workers)
    params["thresholds"] = {}
    params["stain"]["target"]["source"] = params["shift"]["source"] = "lab"
    params["shift"]["pixel_size"] = {"cell": 1.0}
    yaml.dump(params, folder / "params.yaml")


def plain(root: Path) -> None:
    """What a script does: read all, and save the masks."""
    for path in sorted((root / "train/images").iterdir()):
        np.asarray(Image.open(path))
        mask = np.asarray(Image.open(root / "train/masks" / path.name))
        Image.fromarray(mask).save(root.parent / "mask.png", compress_level=1)


def cost(*command: str | Path, folder: Path) -> Cost:
    """Of a command in `folder`; SystemExit with its words where it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        start = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": "src"}  # of the copy
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=told, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)  # of it and of those that it waited for
        seconds, process.returncode = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise SystemExit(told.read())
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def measure(folder: Path, images: int, workers: int) -> None:
    """Print the rows of a data set of so many images, which is drawn in `folder`."""
    cost(sys.executable, __file__, "--draw", folder / "raw", "--images", str(images), folder=folder)
    project(folder, workers)
    status = {
        "stages": {"decode": {"cmd": "true", "deps": ["raw"]}}
    }  # of the files, not of what is made of them
    YAML().dump(status, folder / "dvc.yaml")
    stage = (sys.executable, "stages/decode.py")
    row(images, "decode", cost(*stage, folder=folder))
    row(images, "decode, all cached", cost(*stage, folder=folder))
    row(images, "plain loop", cost(sys.executable, __file__, "--plain", folder / "raw", folder=folder))
    for words in ("git init -q", "dvc init -q", "dvc repro -q", "git add raw"):
        cost(*words.split(), folder=folder)
    for name in ("dvc", "git"):
        tried = [cost(name, "status", folder=folder) for _ in range(REPEATS)]
        row(images, f"{name} status of {2 * images} files", min(tried, key=lambda each: each.processor))
    row(images, "md5sum of all files", cost("sh", "-c", "md5sum raw/*/*/*", folder=folder))


def row(images: int, name: str, taken: Cost) -> None:
    print(
        f"| {images} | {name} | {taken.seconds:.1f} | {taken.processor:.1f} | {taken.memory:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--draw", type=Path, help="of the benchmark itself: draw images into this folder")
    parser.add_argument("--plain", type=Path, help="of the benchmark itself: the plain loop, on this folder")
    words = parser.parse_args()
    if words.draw or words.plain:
        return draw(words.draw, words.images) if words.draw else plain(words.plain)
    print("| slices | | s | CPU s | largest process, MB |\n|---|---|---|---|---|")
    for images in (words.images, 2 * words.images):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), images, words.workers)


if __name__ == "__main__":
    main()
