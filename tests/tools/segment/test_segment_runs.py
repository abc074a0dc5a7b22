"""A map that is cut by rows has the objects that it has when it is cut whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.masks import classes, components, cutting
from ftu.masks.classes import ClassRule
from ftu.masks.cutting import Rule
from ftu.probabilities.map_file import FULL_SCALE
from ftu_tools.segment import outlines, runs

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
LEVELS = st.sampled_from([0, 9000, 30000, 40000, FULL_SCALE])
SIZES = st.sampled_from([0.0, 4.0, 18.0])  # um2; a pixel has 4


def drawn(parts, shape):
    """The mask that parts were found in."""
    mask = np.zeros(shape, bool)
    for own, top, left in outlines.crops(parts):
        mask[top : top + own.shape[0], left : left + own.shape[1]] |= own
    return mask


@given(SHAPES.flatmap(lambda shape: arrays(np.uint16, (1, *shape), elements=LEVELS)), SIZES, SIZES)
@pytest.mark.parametrize("rows", [1, 2, 256])
def test_one_class_is_cut_as_it_is_whole(rows, map_, smallest, largest):
    rule = Rule(0.5, smallest, largest, np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ROWS", rows)
        (found,) = runs.cut(map_, rule, pixel_area=4.0, method="table")
    probability = map_[0].astype(np.float32) / np.float32(FULL_SCALE)
    whole = cutting.cut(probability, rule, pixel_size=2.0, method="table", never_empty="off")
    np.testing.assert_array_equal(drawn(found, map_.shape[1:]), whole.mask)
    np.testing.assert_array_equal(found.areas, components.find(whole.mask, 1, connectivity=8).areas)


@given(
    SHAPES.flatmap(lambda shape: arrays(np.uint16, (3, *shape), elements=st.sampled_from([0, 9000, 21000])))
)
def test_several_classes_are_cut_as_they_are_whole(map_):
    rule = ClassRule((4.0, 0.0, 9.0), (18.0, 4.0, 0.0))
    found = runs.cut(map_, rule, pixel_area=4.0, method="argmax")
    probability = map_.astype(np.float32) / np.float32(FULL_SCALE)
    whole = classes.cut(probability, rule, pixel_size=2.0, never_empty="off")
    for number, parts in enumerate(found, start=1):
        np.testing.assert_array_equal(drawn(parts, map_.shape[1:]), whole.mask == number)


@pytest.mark.parametrize("method", ["otsu", "quantile"])
def test_a_threshold_of_the_map_is_that_of_the_whole_map(method):
    map_ = np.random.default_rng(1).integers(0, FULL_SCALE, (1, 40, 30), np.uint16)
    rule = Rule(np.nan, 0, 0, 0.3)
    (found,) = runs.cut(map_, rule, pixel_area=1.0, method=method)
    probability = map_[0].astype(np.float32) / np.float32(FULL_SCALE)
    whole = cutting.cut(probability, rule, pixel_size=1.0, method=method, never_empty="off")
    np.testing.assert_array_equal(drawn(found, map_.shape[1:]), whole.mask)


def test_a_hole_is_filled_where_runs_touch_its_corner():
    mask = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]])  # the hole's way out is through a corner
    (found,) = runs.cut(
        (mask * FULL_SCALE).astype(np.uint16)[None], Rule(0.5, 0, 1, np.nan), pixel_area=1.0, method="table"
    )
    assert drawn(found, mask.shape)[1, 1]
    assert found.areas.tolist() == [7]
