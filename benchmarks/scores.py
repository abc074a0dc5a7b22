"""Scores of label maps at 3000 px, and of a volume: ours, MONAI's, and objects by labelled images.

PYTHONPATH=src:.peers python benchmarks/scores.py        after `make peers`

First both give the scores of hundreds of small random images and volumes with unequal spacings, and the
largest differences are printed. MONAI has no objects: there the peer is scikit-image's labelling and its
contingency table; both have the same sums. All on one thread; MONAI's one-hot tensors are made beforehand.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.metrics import contingency_table

from ftu.masks.scores import boundary, objects, overlap
from side_by_side import medians

monai = import_module("monai.metrics")

SIDE, REPEATS, DRAWS = 3000, 5, 400
PIXEL_SIZE, TOLERANCE = 0.4, 2.0  # um
VOLUME, SPACING = (64, 256, 256), (2.0, 0.5, 0.4)

Pair = tuple[np.ndarray, np.ndarray]  # prediction and truth


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    for name, difference in differences(rng).items():
        print(f"{name:14s} differs from MONAI's by at most {difference:.1e}")
    for name, pair, classes, spacing in (
        ("image, 1 class", blobs(rng, (SIDE, SIDE), 40, 1), 1, (PIXEL_SIZE, PIXEL_SIZE)),
        ("image, 5 classes", blobs(rng, (SIDE, SIDE), 40, 5), 5, (PIXEL_SIZE, PIXEL_SIZE)),
        ("volume, 5 classes", blobs(rng, VOLUME, 6, 5), 5, SPACING),
    ):
        report(name, medians(candidates(pair, classes, spacing), REPEATS))


def candidates(pair: Pair, classes: int, spacing: Sequence[float]) -> dict[str, Callable[[], object]]:
    hot = [one_hot(labels, classes) for labels in pair]
    found: dict[str, Callable[[], object]] = {
        "overlap, ours": lambda: overlap.count(*pair, classes=classes),
        "overlap, MONAI": lambda: monai.compute_dice(*hot, include_background=False),
        "boundary, ours": lambda: boundary.score(
            *pair, classes=classes, spacing=spacing, tolerance=TOLERANCE
        ),
        "boundary, MONAI": lambda: monai_boundary(*hot, spacing=spacing, tolerance=TOLERANCE),
    }
    if pair[0].ndim == 2:
        expected = [labelled(*pair, value=value) for value in range(1, classes + 1)]
        np.testing.assert_allclose(objects.match(*pair, classes=classes), expected)
        found["objects, ours"] = lambda: objects.match(*pair, classes=classes)
        found["objects, scikit-image"] = lambda: [
            labelled(*pair, value=value) for value in range(1, classes + 1)
        ]
    return found


def one_hot(labels: np.ndarray, classes: int) -> torch.Tensor:
    """(1, C + 1, ...) float32, the background first."""
    return torch.from_numpy(np.stack([labels == value for value in range(classes + 1)])[None]).float()


def monai_boundary(
    prediction: torch.Tensor, truth: torch.Tensor, *, spacing: Sequence[float], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """HD95, um, and surface Dice of each class (C,)."""
    tolerances = [tolerance] * (truth.shape[1] - 1)
    hd95 = monai.compute_hausdorff_distance(prediction, truth, percentile=95, spacing=spacing)
    surface = monai.compute_surface_dice(prediction, truth, tolerances, spacing=spacing)
    return hd95[0].numpy(), surface[0].numpy()


def labelled(prediction: np.ndarray, truth: np.ndarray, *, value: int) -> tuple[float, int, int, int]:
    """SUMS of one class."""
    ours, theirs = (np.asarray(label(labels == value, connectivity=2)) for labels in (prediction, truth))
    table = contingency_table(ours, theirs).tocoo()
    areas, others = np.bincount(ours.ravel()), np.bincount(theirs.ravel())
    ious = table.data / (areas[table.row] + others[table.col] - table.data)
    matched = ious[(ious > objects.MATCHED) & (table.row > 0) & (table.col > 0)]
    return matched.sum(), len(matched), len(areas) - 1 - len(matched), len(others) - 1 - len(matched)


def blobs(rng: np.random.Generator, shape: tuple[int, ...], sigma: float, classes: int) -> Pair:
    """Rounded blobs of each class in a fifteenth of the area, and the same with a ragged outline."""
    prediction, truth = np.zeros((2, *shape), np.uint8)
    for value in range(1, classes + 1):
        smooth, ragged = (
            gaussian_filter(rng.standard_normal(shape, np.float32), s) for s in (sigma, sigma / 5)
        )
        smooth, ragged = smooth / smooth.std(), ragged / ragged.std()
        truth[smooth > 1.5] = value
        prediction[smooth + 0.15 * ragged > 1.5] = value
    return prediction, truth


def differences(rng: np.random.Generator) -> dict[str, float]:
    """The largest of any class over DRAWS images and volumes; where ours is nan MONAI's is not finite."""
    worst = {"Dice": 0.0, "IoU": 0.0, "HD95, um": 0.0, "surface Dice": 0.0}
    for draw in range(DRAWS):
        shape, spacing = (
            rng.integers(3, 25 if draw % 2 else 12, 3)[draw % 2 :],
            rng.uniform(0.2, 3, 3)[draw % 2 :],
        )
        classes, tolerance = 3, rng.uniform(0, 3)
        pair = (
            blobs(rng, tuple(shape), 1.5, classes)
            if draw % 4
            else rng.integers(0, 4, (2, *shape)).astype(np.uint8)
        )
        hot = [one_hot(labels, classes) for labels in pair]
        counts = overlap.count(*pair, classes=classes)
        found = boundary.score(*pair, classes=classes, spacing=list(spacing), tolerance=tolerance)
        hd95, surface = monai_boundary(*hot, spacing=list(spacing), tolerance=tolerance)
        of_monai = [
            monai.compute_dice(*hot, include_background=False, ignore_empty=False)[0].numpy(),
            monai.compute_iou(*hot, include_background=False, ignore_empty=False)[0].numpy(),
            np.where(np.isfinite(hd95), hd95, np.nan),
            surface,
        ]
        ours = [overlap.dice(counts), overlap.iou(counts), found.hd95, found.surface_dice]
        for name, one, other in zip(worst, ours, of_monai, strict=True):
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
            worst[name] = max(worst[name], float(np.nanmax(np.abs(one - other), initial=0)))
    return worst


def report(title: str, seconds: dict[str, float]) -> None:
    print(f"\n{title}, medians of {REPEATS} alternating repeats")
    for name, value in seconds.items():
        ours = seconds[f"{name.split(',')[0]}, ours"]
        print(f"{name:24s} {1000 * value:8.1f} ms   {value / ours:5.1f} x ours")


if __name__ == "__main__":
    main()
