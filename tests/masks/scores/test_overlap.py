"""Dice and IoU of classes: counts by hand and by sets, their sums, and what an absent class is worth."""

import numpy as np
import pytest
from hypothesis import given

from ftu.masks import metrics
from ftu.masks.scores import overlap, pooling
from label_pairs import CLASSES, LABELS, label_pairs


def test_counts_by_hand():
    prediction, truth = np.array([[1, 1, 3]], np.uint8), np.array([[1, 0, 1]], np.uint8)
    counts = overlap.count(prediction, truth, classes=3)
    np.testing.assert_array_equal(counts, [[1, 2, 2], [0, 0, 0], [0, 1, 0]])


@given(pair=label_pairs())
def test_counts_are_those_of_sets_of_pixels(pair):
    for label, counts in zip(range(1, CLASSES + 1), overlap.count(*pair, classes=CLASSES), strict=True):
        ours, theirs = ({*np.flatnonzero(labels == label)} for labels in pair)
        assert counts.tolist() == [len(ours & theirs), len(ours), len(theirs)]


@given(pair=label_pairs(dims=(3,)))
def test_counts_of_a_volume_are_the_sums_over_its_slices(pair):
    slices = np.stack([overlap.count(*planes, classes=CLASSES) for planes in zip(*pair, strict=True)])
    np.testing.assert_array_equal(overlap.count(*pair, classes=CLASSES), slices.sum(axis=0))


@given(pair=label_pairs())
def test_dice_of_a_class_is_that_of_its_masks_to_the_bit(pair):
    expected = [
        metrics.dice(*((labels == k).astype(np.uint8) for labels in pair)) for k in range(1, CLASSES + 1)
    ]
    assert overlap.dice(overlap.count(*pair, classes=CLASSES)).tolist() == expected


@given(pair=label_pairs())
def test_iou_is_dice_over_two_less_dice(pair):
    counts = overlap.count(*pair, classes=CLASSES)
    dice = overlap.dice(counts)
    np.testing.assert_allclose(overlap.iou(counts), dice / (2 - dice))


def test_mean_over_slices_and_pooled_over_a_volume_are_two_numbers():
    counts = np.array([[[80, 90, 90]], [[1, 1, 2]]])  # 10 and 0 false pixels, 10 and 1 missed
    assert overlap.iou(counts).mean() == pytest.approx(0.65)
    assert overlap.iou(pooling.pooled(counts, ["1e5", "1e5"]))[0, 0] == pytest.approx(81 / 102)


@pytest.mark.parametrize("score", [overlap.dice, overlap.iou])
def test_an_absent_class_is_worth_what_one_says(score):
    counts = np.array([[[0, 0, 0], [0, 0, 5], [0, 1, 0]]])  # in neither map, missed, invented
    np.testing.assert_array_equal(score(counts), [[1, 0, 0]])
    np.testing.assert_array_equal(score(counts, empty=0.0), [[0, 0, 0]])
    np.testing.assert_array_equal(score(counts, empty=np.nan), [[np.nan, 0, 0]])


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (np.zeros((3, 2), np.uint8), r"prediction is \(3, 2\) but truth is \(2, 3\)"),
        (np.zeros((2, 3), np.int64), r"prediction is int64 of shape \(2, 3\)"),
        (
            np.full((2, 3), max(LABELS) + 1, np.uint8),
            "prediction holds the label 7, but the classes are 1 to 6",
        ),
    ],
)
def test_what_is_no_pair_of_label_maps_is_refused(prediction, words):
    with pytest.raises(ValueError, match=words):
        overlap.count(prediction, np.zeros((2, 3), np.uint8), classes=CLASSES)


def test_a_batch_of_volumes_is_no_label_map():
    with pytest.raises(ValueError, match=r"of shape \(1, 2, 3, 4\), not"):
        overlap.count(*np.zeros((2, 1, 2, 3, 4), np.uint8), classes=CLASSES)
