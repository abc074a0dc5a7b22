"""HD95 and surface Dice against all pairs of boundary pixels, MONAI's values, and cases done by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.masks.scores import boundary
from label_pairs import CLASSES, ellipsoids, label_pairs

steps = st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.25, 2]), min_size=3, max_size=3, unique=True)
tolerances = st.integers(0, 6).map(lambda whole: whole + 0.1)  # never the root of a sum of squared steps


def boundary_pixels(mask: np.ndarray) -> np.ndarray:
    """(P, D) places of a mask that have a face neighbour without it, or none at all, one by one."""
    inside = {tuple(place) for place in np.argwhere(mask)}
    moves = [sign * axis for axis in np.eye(mask.ndim, dtype=int) for sign in (1, -1)]
    outer = [p for p in sorted(inside) if any(tuple(np.add(p, move)) not in inside for move in moves)]
    return np.array(outer, int).reshape(-1, mask.ndim)


def by_all_pairs(prediction, truth, *, spacing, tolerance) -> tuple[float, float]:
    """HD95 and surface Dice of two masks."""
    ours, theirs = (boundary_pixels(mask) * np.array(spacing) for mask in (prediction, truth))
    if not len(ours) + len(theirs):
        return np.nan, np.nan
    if not len(ours) or not len(theirs):
        return np.nan, 0.0
    table = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(axis=-1))
    near = np.count_nonzero(table.min(1) <= tolerance) + np.count_nonzero(table.min(0) <= tolerance)
    return max(np.quantile(table.min(1), 0.95), np.quantile(table.min(0), 0.95)), near / sum(table.shape)


@given(pair=label_pairs(side=6), spacing=steps, tolerance=tolerances)
def test_scores_are_those_of_all_pairs_of_boundary_pixels(pair, spacing, tolerance):
    spacing = spacing[: pair[0].ndim]
    found = boundary.score(*pair, classes=CLASSES, spacing=spacing, tolerance=tolerance)
    expected = [
        by_all_pairs(*(labels == label for labels in pair), spacing=spacing, tolerance=tolerance)
        for label in range(1, CLASSES + 1)
    ]
    np.testing.assert_allclose(np.stack([found.hd95, found.surface_dice], axis=1), expected)


# compute_hausdorff_distance(percentile=95) and compute_surface_dice of MONAI 1.6.1; its inf is nan here.
MONAI = {
    (23, 31): ((0.7, 0.3), 0.6, {1: (1.4031782, 0.5915493), 3: (2.1, 0.6338028), 6: (np.nan, 0)}),
    (9, 13, 17): ((2.0, 0.5, 0.3), 0.5, {1: (2.1908672, 0.5178571), 3: (2.2443266, 0.5714286)}),
}


@pytest.mark.parametrize("shape", MONAI)
def test_scores_are_those_of_monai(shape):
    spacing, tolerance, known = MONAI[shape]
    pair = ellipsoids(shape, shift=1, size=0.22), ellipsoids(shape, shift=0, size=0.27)
    found = boundary.score(*pair, classes=CLASSES, spacing=spacing, tolerance=tolerance)
    expected = [known.get(label, (np.nan, np.nan)) for label in range(1, CLASSES + 1)]
    np.testing.assert_allclose(np.stack([found.hd95, found.surface_dice], axis=1), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "tolerance", "expected"),
    [((2, 1, 1), 1, 72 / 98), ((2, 1, 1), 2, 1), ((1, 1, 1), 1, 1)],  # 0.7347: counted, not weighted by area
)
def test_a_tolerance_is_a_length_and_voxels_are_counted(spacing, tolerance, expected):
    cube, moved = np.zeros((2, 12, 12, 12), np.uint8)
    cube[3:8, 3:8, 3:8], moved[4:9, 3:8, 3:8] = 1, 1
    found = boundary.score(moved, cube, classes=1, spacing=spacing, tolerance=tolerance)
    assert found.surface_dice[0] == pytest.approx(expected)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_each_axis_has_its_own_spacing(order):
    one, other = np.zeros((2, 4, 5, 6), np.uint8)
    one[1, 2, 3], other[3, 1, 0] = 1, 1
    spacing = [(0.5, 2, 3)[axis] for axis in order]
    pair = one.transpose(order), other.transpose(order)
    found = boundary.score(*pair, classes=1, spacing=spacing, tolerance=0)
    assert found.hd95[0] == pytest.approx(np.sqrt((2 * 0.5) ** 2 + (1 * 2) ** 2 + (3 * 3) ** 2))


def test_hd95_is_the_larger_of_two_percentiles():
    """Not the percentile of both directions taken together, 94.95 px."""
    truth = np.ones((1, 101), np.uint8)
    prediction = np.eye(1, 101, dtype=np.uint8)
    found = boundary.score(prediction, truth, classes=1, spacing=(3, 0.5), tolerance=0)
    assert found.hd95[0] == pytest.approx(95 * 0.5)
    assert found.surface_dice[0] == pytest.approx(2 / 102)


@given(pair=label_pairs(), spacing=steps, tolerance=tolerances)
def test_neither_map_is_the_first_and_the_unit_is_free(pair, spacing, tolerance):
    spacing = spacing[: pair[0].ndim]
    found = boundary.score(*pair, classes=CLASSES, spacing=spacing, tolerance=tolerance)
    doubled = [2 * step for step in spacing]
    turned = boundary.score(*pair[::-1], classes=CLASSES, spacing=doubled, tolerance=2 * tolerance)
    np.testing.assert_array_equal(turned.hd95, 2 * found.hd95)
    np.testing.assert_allclose(turned.surface_dice, found.surface_dice)
    np.testing.assert_array_equal(turned.one_sided, found.one_sided)


def test_three_tenths_are_not_more_than_a_tolerance_of_three_tenths():
    """3 * 0.1 > 0.3 in floating point."""
    truth, prediction = np.eye(1, 9, dtype=np.uint8), np.eye(1, 9, 3, dtype=np.uint8)
    assert boundary.score(prediction, truth, classes=1, spacing=(1, 0.1), tolerance=0.3).surface_dice[0] == 1


def test_what_one_map_lacks_has_no_distance_and_is_told():
    nothing, truth = np.array([[[0, 0, 0]], [[3, 0, 6]]], np.uint8)
    for pair in ((nothing, truth), (truth, nothing)):
        found = boundary.score(*pair, classes=CLASSES, spacing=(1, 2), tolerance=1)
        assert np.isnan(found.hd95).all()
        np.testing.assert_array_equal(found.surface_dice, [np.nan, np.nan, 0, np.nan, np.nan, 0])
        np.testing.assert_array_equal(found.one_sided, [False, False, True, False, False, True])


@pytest.mark.parametrize("spacing", [(1.0,), (1, 1, 1), (1, 0), (1, np.nan), (np.inf, 1)])
def test_a_spacing_is_a_length_for_each_axis(spacing):
    with pytest.raises(ValueError, match=r"a positive number of um for each axis of \(2, 3\)"):
        boundary.score(*np.zeros((2, 2, 3), np.uint8), classes=1, spacing=spacing, tolerance=1)


@pytest.mark.parametrize("tolerance", [-0.5, np.nan, np.inf])
def test_a_tolerance_is_a_length(tolerance):
    with pytest.raises(ValueError, match=f"a tolerance of {tolerance} um"):
        boundary.score(*np.zeros((2, 2, 3), np.uint8), classes=1, spacing=(1, 2), tolerance=tolerance)


def test_what_is_no_pair_of_label_maps_is_refused():
    with pytest.raises(ValueError, match="truth holds the label 3"):
        boundary.score(*np.array([[[0]], [[3]]], np.uint8), classes=2, spacing=(1, 2), tolerance=0)
