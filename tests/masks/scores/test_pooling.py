"""What is counted is added up by volume; what is scored is averaged by class, then over classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.masks.scores import pooling

NAMES = ("NA", "1e5", "001")


def test_volumes_stand_in_the_order_in_which_they_appear():
    counts = np.array([[[1, 2]], [[10, 20]], [[100, 200]]])
    np.testing.assert_array_equal(pooling.pooled(counts, ["NA", "001", "NA"]), [[[101, 202]], [[10, 20]]])


@given(data=st.data(), counts=arrays(np.int64, (5, 2, 3), elements=st.integers(0, 2**40)))
def test_a_volume_has_the_sums_over_its_images(data, counts):
    volumes = data.draw(st.lists(st.sampled_from(NAMES), min_size=5, max_size=5))
    for name, sums in zip(dict.fromkeys(volumes), pooling.pooled(counts, volumes), strict=True):
        np.testing.assert_array_equal(sums, counts[[volume == name for volume in volumes]].sum(axis=0))


def test_classes_weigh_the_same_however_seldom_they_are():
    """Images first 0.5; classes first would be 0.7, all scores alike 0.65."""
    found = pooling.means(np.array([[0.9, np.nan], [0.8, 0.2], [0.7, np.nan]]))
    np.testing.assert_allclose(found.classes, [0.8, 0.2])
    np.testing.assert_array_equal(found.images, [3, 1])
    assert found.mean == pytest.approx(0.5)


@pytest.mark.filterwarnings("error")
def test_a_class_without_scores_is_left_out():
    found = pooling.means(np.array([[np.nan, 0.25], [np.nan, 0.75]]))
    np.testing.assert_array_equal(found.classes, [np.nan, 0.5])
    np.testing.assert_array_equal(found.images, [0, 2])
    assert found.mean == 0.5
    assert np.isnan(pooling.means(np.full((2, 3), np.nan)).mean)


@given(scores=arrays(np.float64, (4, 3), elements=st.floats(0, 1)))
def test_where_all_is_defined_the_order_does_not_matter(scores):
    found = pooling.means(scores)
    assert found.mean == pytest.approx(scores.mean())
    assert found.mean == pytest.approx(pooling.defined_mean(scores, axis=1).mean())
