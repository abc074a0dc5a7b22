"""From probabilities to masks: resized first, cut after, height and width in their places."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu import postprocess

sides, shares = st.integers(1, 40), st.floats(0, 1, width=32)
MAPS = arrays(np.float32, (6, 6), elements=shares)


@given(value=shares, threshold=shares, height=sides, width=sides)
def test_a_constant_map_is_all_or_nothing_at_any_size(value, threshold, height, width):
    probability = np.full((6, 6), value, np.float32)
    mask = postprocess.native_mask(probability, height=height, width=width, threshold=threshold)
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert (mask == (value > threshold)).all()


@given(probability=MAPS, threshold=shares)
def test_only_what_exceeds_the_threshold_is_1(probability, threshold):
    mask = postprocess.native_mask(probability, height=6, width=6, threshold=threshold)
    np.testing.assert_array_equal(mask, probability > np.float32(threshold))


@given(probability=MAPS, low=shares, high=shares, height=sides, width=sides)
def test_a_higher_threshold_never_adds_a_pixel(probability, low, high, height, width):
    low, high = sorted((low, high))
    wide, narrow = (
        postprocess.native_mask(probability, height=height, width=width, threshold=threshold)
        for threshold in (low, high)
    )
    assert (narrow <= wide).all()


def test_height_and_width_keep_their_places():
    probability = np.zeros((4, 4), np.float32)
    probability[:2] = 1  # the upper half
    mask = postprocess.native_mask(probability, height=8, width=20, threshold=0.5)
    np.testing.assert_array_equal(mask, np.repeat([1, 0], 4)[:, None] * np.ones((1, 20)))


def test_resizing_comes_before_the_cut():
    """A mask that is cut first has stairs; a cut of resized probabilities follows their level line."""
    ramp = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (8, 1))
    native = cv2.resize(ramp, (64, 64), interpolation=cv2.INTER_LINEAR)
    mask = postprocess.native_mask(ramp, height=64, width=64, threshold=0.3)
    np.testing.assert_array_equal(mask, native > 0.3)
    stairs = cv2.resize((ramp > 0.3).astype(np.uint8), (64, 64), interpolation=cv2.INTER_NEAREST)
    assert (mask != stairs).any()


@given(maps=st.lists(MAPS, min_size=1, max_size=5))
def test_the_mean_lies_between_the_maps_and_is_that_of_their_pixels(maps):
    mean = postprocess.mean_probability(maps)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, sum(one.astype(float) for one in maps) / len(maps), atol=1e-6)


@given(probability=MAPS)
def test_the_mean_of_one_map_is_that_map_to_the_bit(probability):
    np.testing.assert_array_equal(postprocess.mean_probability([probability]), probability)


def test_no_maps_have_no_mean():
    with pytest.raises(ValueError, match="at least one"):
        postprocess.mean_probability([])
