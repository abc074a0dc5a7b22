"""The curves of an image say what its masks would score, for every threshold and size."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.calibration.dice_curves import PLAIN, THRESHOLDS, Sizes, by_size, by_threshold, curves, grid, on_grid
from ftu.masks import cutting, metrics
from ftu.masks.cutting import Rule

SIZES = Sizes((0.0, 3.0, 8.0), (0.0, 2.0, 6.0))
shapes = st.shared(st.tuples(st.integers(1, 12), st.integers(1, 12)), key="shape")
maps = arrays(np.float32, shapes, elements=st.floats(0, 1, width=32))
levels = arrays(
    np.float32, shapes, elements=st.sampled_from([np.float32(k / 100) for k in range(0, 101, 10)])
)
truths = arrays(np.uint8, shapes, elements=st.integers(0, 1))


@settings(max_examples=40)
@given(probability=maps | levels, truth=truths, pixel_size=st.sampled_from([0.5, 1.0, 1.7]))
def test_dice_is_that_of_the_mask_that_cut_makes(probability, truth, pixel_size):
    found = curves(probability, truth, pixel_size=pixel_size, sizes=SIZES)
    assert found.dice.shape == (99, 3, 3)
    for t in range(4, 99, 15):
        for s, smallest in enumerate(SIZES.smallest_objects):
            for h, largest in enumerate(SIZES.largest_holes):
                rule = Rule(float(THRESHOLDS[t]), smallest, largest, math.nan)
                made = cutting.cut(
                    probability, rule, pixel_size=pixel_size, method="table", never_empty="off"
                )
                assert found.dice[t, s, h] == pytest.approx(metrics.dice(made.mask, truth))


@given(probability=maps | levels, truth=truths)
def test_the_histogram_counts_what_labelling_counts(probability, truth):
    counted = by_size(probability, truth, pixel_size=1.0, sizes=PLAIN)
    for histogram, labelled in zip(by_threshold(probability, truth), counted, strict=True):
        np.testing.assert_array_equal(histogram, labelled[:, 0, 0])


@given(probability=maps | levels, truth=truths)
def test_the_share_above_a_threshold_is_that_of_its_pixels(probability, truth):
    found = curves(probability, truth, pixel_size=1.0, sizes=PLAIN)
    expected = [(probability > np.float32(threshold)).mean() for threshold in THRESHOLDS]
    np.testing.assert_allclose(found.above, expected)


def test_each_method_finds_its_threshold_on_an_image():
    ramp = np.linspace(0, 1, 10000, dtype=np.float32).reshape(100, 100)
    found = curves(ramp, np.ones((100, 100), np.uint8), pixel_size=1.0, sizes=PLAIN)
    rule = Rule(0.15, 0, 0, 0.3)
    assert THRESHOLDS[found.threshold(rule, "table")] == 0.15
    assert THRESHOLDS[found.threshold(rule, "otsu")] == 0.5
    assert THRESHOLDS[found.threshold(rule, "quantile")] == 0.7


@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_the_grid_has_the_image_s_proportions_and_is_never_larger(height, width):
    found = grid(height, width)
    if max(height, width) <= 512:
        assert found == (height, width)
    else:
        assert max(found) == 512
        scale = max(height, width) / 512
        for few, many in zip(found, (height, width), strict=True):
            assert few >= 1
            assert few == 1 or abs(few - many / scale) <= 0.5 + 1e-6


def test_a_mask_on_the_grid_is_one_where_at_least_half_is():
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(on_grid(mask, (2, 2)), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(on_grid(mask, (4, 4)), mask)


@given(probability=maps | levels, truth=truths)
def test_the_plain_dice_is_that_of_the_thresholded_map(probability, truth):
    found = curves(probability, truth, pixel_size=1.0, sizes=PLAIN).dice
    assert found.shape == (99, 1, 1)
    for t in range(4, 99, 15):
        above = (probability > np.float32(THRESHOLDS[t])).astype(np.uint8)
        assert found[t, 0, 0] == pytest.approx(metrics.dice(above, truth))


def test_the_plain_dice_is_not_that_of_swapped_counts():
    truth = np.array([[1, 1, 1, 0]], np.uint8)
    found = curves(np.array([[0.9, 0.1, 0.1, 0.9]], np.float32), truth, pixel_size=1.0, sizes=PLAIN).dice
    assert found[49, 0, 0] == pytest.approx(2 / 5)


@pytest.mark.parametrize(("shape", "expected"), [((5000, 1), (512, 1)), ((1, 5000), (1, 512))])
def test_a_thin_image_keeps_a_pixel(shape, expected):
    assert grid(*shape) == expected


def test_the_grid_counts_areas_along_both_axes_of_an_image_that_is_not_square():
    """Thirds of 6 x 9 px: each cell holds 9, of which 5 or more make it 1."""
    covered = np.array([[9, 5, 0], [4, 1, 8]])
    mask = np.zeros((6, 9), np.uint8)
    for row, column in np.ndindex(2, 3):
        cell = np.arange(9) < covered[row, column]
        mask[3 * row : 3 * row + 3, 3 * column : 3 * column + 3] = np.roll(cell, 4).reshape(3, 3)
    np.testing.assert_array_equal(on_grid(mask, (2, 3)), [[1, 1, 0], [0, 0, 1]])


@given(height=st.integers(1, 4), width=st.integers(1, 4), pixel_size=st.sampled_from([0.5, 1.0, 2.0]))
def test_an_object_and_a_hole_of_exactly_a_given_size_are_on_its_side(height, width, pixel_size):
    """The object is kept, the hole is filled; a little beyond, they are not. Powers of two are exact."""
    area = height * width * pixel_size**2
    mask = np.zeros((12, 12), np.uint8)
    mask[1 : 1 + height, 1 : 1 + width] = 1
    sizes = Sizes((area, area * 1.01), (0.0,))
    _, kept = by_size(mask.astype(np.float32), mask, pixel_size=pixel_size, sizes=sizes)
    assert kept[49, :, 0].tolist() == [height * width, 0]
    ring = np.ones((12, 12), np.uint8)
    ring[2 : 2 + height, 2 : 2 + width] = 0
    sizes = Sizes((0.0,), (area * 0.99, area))
    _, filled = by_size(ring.astype(np.float32), ring, pixel_size=pixel_size, sizes=sizes)
    assert filled[49, 0, :].tolist() == [144 - height * width, 144]
