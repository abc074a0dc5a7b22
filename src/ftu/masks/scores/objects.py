"""Object F1 and panoptic quality of each class: were the objects found, one by one?

An object is an 8-connected part of a class in an image. Two of different maps match where their IoU is more
than one half. Then neither can match a third, so that there is one matching and no assignment to be solved
(Kirillov et al. 2019, arXiv:1801.00868, section 4.1).
"""

import numpy as np
from scipy.sparse import coo_array

from ftu.masks import components
from ftu.masks.scores import label_maps, pooling

SUMS = ("iou_sum", "tp", "fp", "fn")  # over matched pairs; of pairs; of unmatched in prediction, in truth
MATCHED = 0.5  # IoU above which two objects match; with less, a matching would not be unique


def match(prediction: np.ndarray, truth: np.ndarray, *, classes: int) -> np.ndarray:
    """(C, 4) float64: SUMS of each class of two label maps (H, W), to be added up over images.

    Raises ValueError where they are no pair of label maps, or have slices: score each slice of a volume.
    """
    label_maps.check(prediction, truth, classes=classes)
    if truth.ndim != 2:
        raise ValueError(
            f"objects are parts of a slice (H, W), not of {truth.shape}: match each slice, add up"
        )
    return np.array(
        [
            _of_class((prediction == label).view(np.uint8), (truth == label).view(np.uint8))
            for label in range(1, classes + 1)
        ]
    )


def f1(sums: np.ndarray) -> np.ndarray:
    """(...) F1 = 2 tp / (2 tp + fp + fn) in 0..1 of sums (..., 4): Kirillov's recognition quality RQ.

    nan where neither map has an object.
    """
    _, tp, fp, fn = np.moveaxis(sums, -1, 0)
    return pooling.ratio(tp, tp + fp / 2 + fn / 2, np.nan)


def segmentation_quality(sums: np.ndarray) -> np.ndarray:
    """(...) SQ in 0.5..1 of sums (..., 4): the mean IoU of matched objects, nan where none match."""
    iou_sum, tp, _, _ = np.moveaxis(sums, -1, 0)
    return pooling.ratio(iou_sum, tp, np.nan)


def panoptic_quality(sums: np.ndarray) -> np.ndarray:
    """(...) PQ = iou_sum / (tp + fp / 2 + fn / 2) = SQ x RQ in 0..1 of sums (..., 4).

    nan where neither map has an object, 0 where none match.
    """
    iou_sum, tp, fp, fn = np.moveaxis(sums, -1, 0)
    return pooling.ratio(iou_sum, tp + fp / 2 + fn / 2, np.nan)


def _of_class(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, int, int, int]:
    """SUMS of two (H, W) uint8 masks of 0 and 1."""
    predicted, true, shared = (
        components.find(mask, 1, connectivity=8) for mask in (prediction, truth, prediction & truth)
    )  # a run of the shared pixels lies in one run of each mask
    parts = [
        found.labels[np.searchsorted(found.starts, shared.starts, "right") - 1] for found in (predicted, true)
    ]
    table = coo_array((shared.stops - shared.starts, parts), (len(predicted.areas), len(true.areas)))
    table.sum_duplicates()
    ious = table.data / (predicted.areas[table.row] + true.areas[table.col] - table.data)
    matched = ious[ious > MATCHED]
    tp = len(matched)
    return float(matched.sum()), tp, len(predicted.areas) - tp, len(true.areas) - tp
