"""From probabilities of native size to masks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import filters, measure

from ftu.masks import cutting
from ftu.masks.cutting import Guard, Method, Rule

shares = st.floats(0, 1, width=32)
PLAIN = Rule(threshold=0.5, smallest_object=0, largest_hole=0, foreground=math.nan)
MASKS = arrays(np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.integers(0, 1))
FIELDS = arrays(np.float32, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=shares)
areas = st.sampled_from([0, 1, 2, 3, 5, 9, 20])
TURNS = [np.flipud, np.fliplr, np.transpose, np.rot90]


def masked(
    probability: np.ndarray,
    rule: Rule = PLAIN,
    *,
    pixel_size: float = 1.0,
    method: Method = "table",
    never_empty: Guard = "off",
) -> cutting.Cut:
    return cutting.cut(
        np.ascontiguousarray(probability, np.float32),
        rule,
        pixel_size=pixel_size,
        method=method,
        never_empty=never_empty,
    )


@given(probability=FIELDS, threshold=shares)
def test_under_a_plain_rule_only_what_exceeds_the_threshold_is_1(probability, threshold):
    found = masked(probability, PLAIN._replace(threshold=threshold))
    np.testing.assert_array_equal(found.mask, probability > np.float32(threshold))
    assert found.mask.dtype == np.uint8
    assert (found.threshold, found.asked, found.action) == (threshold, threshold, "")


@given(mask=MASKS, smallest=areas, largest=areas)
def test_sizes_are_those_of_independent_labelling(mask, smallest, largest):
    filled = np.asarray(measure.label(1 - mask, connectivity=1))
    for region in measure.regionprops(filled):
        rows, columns = region.coords.T
        inside = (rows > 0) & (rows < mask.shape[0] - 1) & (columns > 0) & (columns < mask.shape[1] - 1)
        if inside.all() and region.area <= largest:
            filled[rows, columns] = 0
    objects = np.asarray(measure.label(filled == 0, connectivity=2))
    expected = np.isin(objects, [r.label for r in measure.regionprops(objects) if r.area >= smallest])
    found = masked(mask, PLAIN._replace(smallest_object=smallest, largest_hole=largest))
    np.testing.assert_array_equal(found.mask, expected)
    assert found.objects == len(np.unique(objects[expected]))


@given(mask=MASKS, smallest=areas, largest=areas)
def test_cutting_a_mask_again_changes_nothing(mask, smallest, largest):
    rule = PLAIN._replace(smallest_object=smallest, largest_hole=largest)
    once = masked(mask, rule).mask
    np.testing.assert_array_equal(masked(once, rule).mask, once)


@given(probability=FIELDS, low=shares, high=shares, smallest=areas, largest=areas)
def test_a_higher_threshold_never_adds_a_pixel_whatever_is_filled_and_dropped(
    probability, low, high, smallest, largest
):
    low, high = sorted((low, high))
    wide, narrow = (
        masked(probability, Rule(threshold, smallest, largest, math.nan)).mask for threshold in (low, high)
    )
    assert (narrow <= wide).all()


@given(
    probability=FIELDS,
    smallest=areas,
    largest=areas,
    method=st.sampled_from(["table", "otsu", "quantile"]),
    never_empty=st.sampled_from(["off", "lower"]),
)
def test_a_turned_map_gives_the_turned_mask(probability, smallest, largest, method, never_empty):
    rule = Rule(0.5, smallest, largest, 0.3)
    straight = masked(probability, rule, method=method, never_empty=never_empty)
    for turn in TURNS:
        turned = masked(turn(probability), rule, method=method, never_empty=never_empty)
        np.testing.assert_array_equal(turned.mask, turn(straight.mask))
        assert turned[1:] == straight[1:]


@given(mask=MASKS, smallest=areas, largest=areas)
def test_sizes_do_not_depend_on_the_sampling(mask, smallest, largest):
    rule = PLAIN._replace(smallest_object=smallest, largest_hole=largest)
    fine = masked(np.kron(mask, np.ones((2, 2))), rule, pixel_size=0.5).mask
    np.testing.assert_array_equal(fine, np.kron(masked(mask, rule, pixel_size=1.0).mask, np.ones((2, 2))))


def test_a_diagonal_outline_closes_a_hole_and_is_one_object():
    ring = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    found = masked(ring, PLAIN._replace(largest_hole=1))
    assert (found.mask[2, 2], found.mask.sum(), found.objects) == (1, 5, 1)
    assert masked(ring[1:4, 1:4], PLAIN._replace(largest_hole=1)).mask.sum() == 5
    assert masked(ring[:3], PLAIN._replace(largest_hole=1)).mask.sum() == 3  # open to the border


# ------------------------------------------------------------------ thresholds


@given(probability=arrays(np.float32, (20, 20), elements=shares))
def test_otsu_is_the_best_of_all_edges(probability):
    found = masked(probability, method="otsu").threshold
    low, high = float(probability.min()), float(probability.max())
    if low == high:
        assert found == high
        return
    bins = np.histogram(probability.astype(float), 256, (low, high))[0]
    values = np.repeat(np.arange(256.0), bins)
    spread = [
        np.mean(values <= k)
        * np.mean(values > k)
        * (values[values <= k].mean() - values[values > k].mean()) ** 2
        for k in range(255)
    ]
    best = low + (high - low) * (1 + np.arange(255)[np.isclose(spread, max(spread), rtol=1e-9)]) / 256
    assert np.abs(best - found).min() < 1e-6 * (high - low)


def test_otsu_parts_two_values_however_close_they_are():
    for low, high in ((0.0, 1e-43), (0.5, np.nextafter(np.float32(0.5), np.float32(1)))):
        assert masked(np.array([[high, low, low]], np.float32), method="otsu").mask.tolist() == [[1, 0, 0]]


def test_otsu_is_that_of_another_library():
    rng = np.random.default_rng(0)
    for mean in (0.3, 0.6, 0.9):
        probability = np.clip(np.append(rng.normal(0.1, 0.05, 3000), rng.normal(mean, 0.1, 1000)), 0, 1)
        probability = probability.reshape(40, 100).astype(np.float32)
        half_a_bin = np.ptp(probability) / 512  # theirs is the centre of the bin below the edge
        ours = cutting.otsu_threshold(probability)
        assert ours - half_a_bin == pytest.approx(filters.threshold_otsu(probability), abs=1e-5)


@given(probability=FIELDS, share=shares)
def test_the_quantile_leaves_its_share_of_the_pixels_less_ties(probability, share):
    found = masked(probability, PLAIN._replace(foreground=share), method="quantile")
    wanted = min(round(share * probability.size), probability.size - 1)
    assert found.mask.sum() <= wanted <= np.count_nonzero(probability >= np.float32(found.threshold)) - 1
    if len(np.unique(probability)) == probability.size:
        assert found.mask.sum() == wanted


@given(share=shares)
def test_on_a_large_map_of_distinct_values_exactly_the_share_is_left(share):
    """numpy sorts small arrays whole, which hides a wrong place in the order."""
    values = np.random.default_rng(0).permutation(10_000).reshape(100, 100).astype(np.float32) / 10_000
    found = masked(values, PLAIN._replace(foreground=share), method="quantile")
    assert found.mask.sum() == min(round(share * values.size), values.size - 1)


def test_a_quantile_without_a_share_is_refused():
    with pytest.raises(ValueError, match="no quantile leaves a share of nan"):
        masked(np.zeros((2, 2)), method="quantile")


# ------------------------------------------------------------------ never empty


def peak(height: float) -> np.ndarray:
    """A cone of this height, 21 x 21 px, on 0."""
    rows, columns = np.mgrid[-10:11, -10:11]
    return np.clip(height * (1 - np.hypot(rows, columns) / 10), 0, 1)


@pytest.mark.parametrize(
    ("guard", "action", "threshold"),
    [("off", "", 0.5), ("warn", "empty", 0.5), ("lower", "lowered", 0.5 * 0.8**3)],
)
def test_the_guard_of_an_empty_mask(guard, action, threshold):
    found = masked(peak(0.3), never_empty=guard)
    assert (found.action, found.asked, found.threshold) == (action, 0.5, pytest.approx(threshold))
    assert found.objects == (guard == "lower")
    assert found.mask.any() == (guard == "lower")


def test_the_threshold_is_lowered_until_an_object_is_large_enough():
    rule = PLAIN._replace(smallest_object=50)
    found = masked(peak(0.3), rule, never_empty="lower")
    above = masked(peak(0.3), rule._replace(threshold=found.threshold / cutting.STEP))
    assert (found.action, found.objects, above.objects) == ("lowered", 1, 0)
    assert found.mask.sum() >= 50


@given(probability=FIELDS, guard=st.sampled_from(["off", "warn", "lower"]), smallest=areas)
def test_a_mask_that_holds_something_is_left_alone(probability, guard, smallest):
    rule = PLAIN._replace(smallest_object=smallest)
    off, found = masked(probability, rule), masked(probability, rule, never_empty=guard)
    if off.objects:
        np.testing.assert_array_equal(found.mask, off.mask)
        assert found[1:] == off[1:]


@pytest.mark.parametrize(
    ("probability", "rule"),
    [(np.zeros((5, 5)), PLAIN), (peak(0.3), PLAIN._replace(smallest_object=1e6)), (peak(0), PLAIN)],
    ids=["nothing anywhere", "nothing large enough", "flat"],
)
def test_what_cannot_be_lowered_far_enough_is_empty_and_says_so(probability, rule):
    found = masked(probability, rule, never_empty="lower")
    assert (found.action, found.threshold, found.objects, found.mask.any()) == ("empty", 0.5, 0, False)
