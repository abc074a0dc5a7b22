"""From probability maps to the submission and to scores, at 3000 px: the path of submit and evaluate.

PYTHONPATH=src python benchmarks/masking.py

Beside it the loop that notebooks have: OpenCV reads the 16-bit maps, their mean is resized and cut, holes and
small objects go by OpenCV's connected components, and the mask is encoded by the snippet that is passed
around on Kaggle, or by pycocotools (whose string is another format). Both sides give the same masks; this is
checked. At the end the whole work of both stages runs in processes: 500 images of five folds, and 351 images
with their true masks, which are also compared with three baselines. A few files stand for all of them.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

from ftu.datasets import image_files
from ftu.files import png
from ftu.files.index import ImageRow
from ftu.masks import from_maps
from ftu.masks.cutting import Rule
from ftu.masks.from_maps import Case, Way
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import map_file
from ftu.reports import scores
from ftu.reports.scores import Trial
from rle import snippet_encode
from side_by_side import medians

SIDE, GRID, FOLDS, FILES = 3000, 768, 5, 6
PIXEL_SIZE = 0.4  # um
RULES = {
    "cut alone": Rule(0.5, 0, 0, math.nan),
    "holes and small objects": Rule(0.5, 500, 1000, math.nan),
}
WAY = Way("probability", "table", "warn")


def main() -> None:
    words = arguments()
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of the tags of our maps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(FILES):
            draw(folder, number)
        for title, rule in RULES.items():
            compare(title, works(folder, rule), words.repeats)
        for title, rule in RULES.items():
            whole(title, folder, rule, words.workers)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


def draw(folder: Path, number: int) -> None:
    """Maps of five folds that agree about blobs, the true mask and the image of one tissue."""
    rng = np.random.default_rng(number)
    blobs = smooth(rng, GRID, 12)
    for path in maps(folder, number):
        probability = 1 / (1 + np.exp(-3 * (blobs - 1 + 0.3 * smooth(rng, GRID, 3))))
        with map_file.writer(path, GRID, GRID) as write:
            write(probability[None])
    truth = cv2.resize(blobs, (SIDE, SIDE)) > 1
    png.write_mask(folder / f"{number}.png", truth.astype(np.uint8))
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    image_files.write_tiff(folder / f"{number}.tiff", np.asarray(cv2.GaussianBlur(noise, (0, 0), 1)))


def smooth(rng: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    field = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), sigma)
    return field / field.std()


def maps(folder: Path, number: int) -> list[Path]:
    return [folder / f"{number}_{fold}.tif" for fold in range(FOLDS)]


def case(folder: Path, number: int, rule: Rule, folds: int) -> Case:
    row = ImageRow(str(number), "test", "kidney", "HPA", SIDE, SIDE, PIXEL_SIZE)
    return Case(row, [(maps(folder, number % FILES)[:folds], 1.0)], rule)


def trial(folder: Path, number: int, rule: Rule, baselines: bool = True) -> Trial:
    file = folder / str(number % FILES)
    image = file.with_suffix(".tiff") if baselines else None
    return Trial(case(folder, number, rule, 1), file.with_suffix(".png"), image, ["ftu"])


def works(folder: Path, rule: Rule) -> dict[str, Callable[[], object]]:
    """One image: submit from five folds, evaluate from one, ours and by hand."""
    paths, truth = maps(folder, 0), folder / "0.png"
    ours = from_maps.answer(case(folder, 0, rule, FOLDS), WAY)
    assert ours["rles"] == [snippet_encode(plain_mask(paths, rule))]
    score = scores.score(trial(folder, 0, rule, baselines=False), WAY, 0.0).row
    assert score["dice"] == round(plain_dice(paths[:1], truth, rule), 6)
    return {
        "submit, ours": lambda: from_maps.answer(case(folder, 0, rule, FOLDS), WAY),
        "submit, by hand and the snippet": lambda: snippet_encode(plain_mask(paths, rule)),
        "submit, by hand and pycocotools": lambda: coco.encode(np.asfortranarray(plain_mask(paths, rule))),
        "evaluate, ours": lambda: scores.score(trial(folder, 0, rule, baselines=False), WAY, 0.0),
        "evaluate, by hand": lambda: plain_dice(paths[:1], truth, rule),
        "evaluate with baselines, ours": lambda: scores.score(trial(folder, 0, rule), WAY, 0.0),
    }


def compare(title: str, candidates: dict[str, Callable[[], object]], repeats: int) -> None:
    seconds = medians(candidates, repeats)
    print(f"| one image of {SIDE} px, {title} | ms | ratio to ours |\n|---|---|---|")
    for name, value in seconds.items():
        ours = seconds[f"{name.split(',')[0]}, ours"]
        print(f"| {name} | {1000 * value:.1f} | {value / ours:.2f} |", flush=True)


def whole(title: str, folder: Path, rule: Rule, workers: int) -> None:
    """Both stages' work on all their images."""
    pool = Pool("process", workers, "")
    cases = [case(folder, number, rule, FOLDS) for number in range(500)]
    trials = [trial(folder, number, rule) for number in range(351)]
    for name, function, items in (
        ("submit 500", from_maps.answer, cases),
        ("evaluate 351", scores.score, trials),
    ):
        start = time.perf_counter()
        pool.each(partial(function, way=WAY), items, doing=name)
        wall = time.perf_counter() - start
        print(f"{name} of {SIDE} px, {title}, {workers} workers: {wall:.1f} s", flush=True)


def plain_mask(paths: Sequence[Path], rule: Rule) -> np.ndarray:
    """What a notebook does with the maps of an image."""
    folds = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 65535 for path in paths]  # pyright: ignore[reportOptionalMemberAccess]
    mean = np.mean(folds, axis=0, dtype=np.float32)
    mask = (cv2.resize(np.asarray(mean), (SIDE, SIDE)) > rule.threshold).astype(np.uint8)
    if not rule.smallest_object:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    left, top, width, height, area = np.asarray(stats).T
    inside = (left > 0) & (top > 0) & (left + width < SIDE) & (top + height < SIDE)
    closed = inside & (area * PIXEL_SIZE**2 <= rule.largest_hole)
    closed[0] = False
    mask |= closed.astype(np.uint8)[np.asarray(labels)]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = np.asarray(stats)[:, cv2.CC_STAT_AREA] * PIXEL_SIZE**2 >= rule.smallest_object
    kept[0] = False
    return kept.astype(np.uint8)[np.asarray(labels)]


def plain_dice(paths: Sequence[Path], truth: Path, rule: Rule) -> float:
    mask, true = plain_mask(paths, rule) > 0, cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE) > 127  # pyright: ignore[reportOptionalOperand]
    return float(2 * (mask & true).sum() / (mask.sum() + true.sum()))


if __name__ == "__main__":
    main()
