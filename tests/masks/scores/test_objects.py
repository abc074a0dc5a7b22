"""Objects matched one by one: against an assignment solved over labelled pixels, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linear_sum_assignment
from skimage import measure

from ftu.masks.scores import objects
from label_pairs import CLASSES, label_pairs


def by_assignment(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """SUMS of two masks: the best of all assignments, of which what has an IoU above one half counts."""
    ours, theirs = (
        [labels == k for k in range(1, labels.max() + 1)]
        for labels in (np.asarray(measure.label(mask, connectivity=2)) for mask in (prediction, truth))
    )
    ious = np.array([[(a & b).sum() / (a | b).sum() for b in theirs] for a in ours]).reshape(
        len(ours), len(theirs)
    )
    matched = [iou for iou in ious[linear_sum_assignment(ious, maximize=True)] if iou > 0.5]
    return [sum(matched), len(matched), len(ours) - len(matched), len(theirs) - len(matched)]


@given(pair=label_pairs(dims=(2,), side=10))
def test_the_matching_is_that_of_the_best_assignment(pair):
    expected = [by_assignment(*(labels == k for labels in pair)) for k in range(1, CLASSES + 1)]
    np.testing.assert_allclose(objects.match(*pair, classes=CLASSES), expected)


def test_sums_and_scores_by_hand():
    truth = np.array(
        [[1, 1, 1, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0]], np.uint8
    )
    prediction = np.array([[1, 1, 1, 0, 1, 0, 0, 0, 1], [0] * 9, [1, 1, 1, 0, 0, 0, 0, 0, 0]], np.uint8)
    sums = objects.match(prediction, truth, classes=1)
    np.testing.assert_allclose(sums, [[1 + 3 / 5, 2, 2, 1]])  # two are invented, one is missed
    np.testing.assert_allclose(objects.f1(sums), [4 / 7])
    np.testing.assert_allclose(objects.segmentation_quality(sums), [0.8])
    np.testing.assert_allclose(objects.panoptic_quality(sums), [1.6 / 3.5])


def test_one_half_is_not_enough():
    halves = np.array([[3, 3, 0, 3]], np.uint8), np.array([[3, 0, 0, 3]], np.uint8)
    np.testing.assert_array_equal(objects.match(*halves, classes=3)[2], [1, 1, 1, 1])


def test_an_object_holds_together_by_corners():
    corners = np.array([[1, 0, 1], [0, 1, 0]], np.uint8)
    np.testing.assert_array_equal(objects.match(corners, corners, classes=1), [[1, 1, 0, 0]])


@settings(max_examples=25)
@given(first=label_pairs(dims=(2,)), second=label_pairs(dims=(2,)))
def test_sums_of_images_are_those_of_both_in_one(first, second):
    height = max(len(first[0]), len(second[0]))
    together = [
        np.concatenate([np.pad(labels, ((0, height - len(labels)), (0, 1))) for labels in maps], axis=1)
        for maps in zip(first, second, strict=True)
    ]
    apart = [objects.match(*pair, classes=CLASSES) for pair in (first, second)]
    np.testing.assert_allclose(objects.match(*together, classes=CLASSES), sum(apart))


def test_nothing_in_either_map_is_undefined_and_nothing_found_is_0():
    sums = np.array([[[0, 0, 0, 0], [0, 0, 0, 2.0], [0, 0, 3.0, 0]]])
    np.testing.assert_array_equal(objects.f1(sums), [[np.nan, 0, 0]])
    np.testing.assert_array_equal(objects.panoptic_quality(sums), [[np.nan, 0, 0]])
    np.testing.assert_array_equal(objects.segmentation_quality(sums), [[np.nan] * 3])


def test_objects_of_a_stack_are_not_counted():
    stack = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(ValueError, match="match each slice"):
        objects.match(stack, stack, classes=CLASSES)


@pytest.mark.parametrize("label", [1, 6])
def test_an_empty_map_misses_every_object(label):
    truth = np.array([[label, 0, label]], np.uint8)
    sums = objects.match(np.zeros_like(truth), truth, classes=CLASSES)
    np.testing.assert_array_equal(sums[label - 1], [0, 0, 0, 2])
    assert sums.sum() == 2
