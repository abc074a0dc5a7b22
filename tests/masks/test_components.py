"""Connected parts by runs are those of labelled pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage import measure

from ftu.masks import components

MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 1))
values, connectivities = st.integers(0, 1), st.sampled_from([4, 8])


def painted(found: components.Components, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) labels from 1 on, 0 elsewhere."""
    wide = np.zeros((shape[0], shape[1] + 1), int)
    for start, stop, label in zip(found.starts, found.stops, found.labels, strict=True):
        wide.reshape(-1)[start:stop] = label + 1
    assert not wide[:, -1].any()
    return wide[:, :-1]


@given(mask=MASKS, value=values, connectivity=connectivities)
def test_parts_are_those_of_an_independent_labelling(mask, value, connectivity):
    found = components.find(mask, value, connectivity)
    labels = painted(found, mask.shape)
    np.testing.assert_array_equal(labels > 0, mask == value)
    expected = np.asarray(measure.label(mask == value, connectivity=connectivity // 4))
    pairs = set(zip(labels.ravel(), expected.ravel(), strict=True))  # one to one
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    np.testing.assert_array_equal(found.areas, np.bincount(labels.ravel(), minlength=1)[1:])


@given(mask=MASKS, value=values, connectivity=connectivities, data=st.data())
def test_switched_parts_have_the_other_value_and_nothing_else_has(mask, value, connectivity, data):
    found, before = components.find(mask, value, connectivity), mask.copy()
    parts = data.draw(arrays(bool, len(found.areas)))
    chosen = np.append(False, parts)[painted(found, mask.shape)]
    np.testing.assert_array_equal(found.switched(mask, parts), np.where(chosen, 1 - mask, mask))
    np.testing.assert_array_equal(mask, before)


@given(mask=MASKS, value=values, connectivity=connectivities)
def test_a_part_at_the_border_is_one_that_a_frame_joins(mask, value, connectivity):
    found = components.find(mask, value, connectivity)
    labels = painted(found, mask.shape)
    frame = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    expected = np.isin(np.arange(1, len(found.areas) + 1), frame)
    np.testing.assert_array_equal(found.at_border(len(mask)), expected)


@given(mask=MASKS, connectivity=connectivities, data=st.data())
def test_sums_are_those_over_pixels(mask, connectivity, data):
    found = components.find(mask, 1, connectivity)
    other = data.draw(arrays(np.uint8, mask.shape, elements=st.integers(0, 1)))
    before = components.running_sum(other)
    expected = np.bincount(painted(found, mask.shape).ravel(), other.ravel(), len(found.areas) + 1)[1:]
    np.testing.assert_array_equal(found.sums(before[found.stops] - before[found.starts]), expected)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_spiral_is_one_part(connectivity):
    """The longest way round that labels can have to go."""
    side = 101
    mask, row, column, step = np.zeros((side, side), np.uint8), 0, -1, (0, 1)
    for length in [side, *np.repeat(np.arange(side - 1, 0, -2), 2)]:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            mask[row, column] = 1
        step = step[1], -step[0]
    assert components.find(mask, 1, connectivity).areas.tolist() == [mask.sum()]
    assert components.find(1 - mask, 0, connectivity).areas.tolist() == [mask.sum()]


def test_corners_join_objects_alone():
    mask = np.array([[1, 0], [0, 1]], np.uint8)
    assert components.find(mask, 1, 8).areas.tolist() == [2]
    assert components.find(mask, 1, 4).areas.tolist() == [1, 1]
    assert components.find(np.zeros((2, 3), np.uint8), 1, 8).areas.tolist() == []
