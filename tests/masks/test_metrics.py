"""Dice against tables done by hand and its laws; the baselines on images whose answer is plain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data, filters

from ftu.masks import metrics


def rows_of(image: np.ndarray) -> metrics.Rows:
    return lambda top, bottom: image[top:bottom]


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    masks = arrays(np.uint8, shape, elements=st.integers(0, 1))
    return draw(masks), draw(masks)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        ([[1, 1, 0]], [[1, 0, 0]], 2 / 3),  # 2 * 1 / (2 + 1)
        ([[1, 1, 0]], [[0, 1, 1]], 1 / 2),  # 2 * 1 / (2 + 2)
        ([[1], [1], [1]], [[1], [1], [0]], 4 / 5),  # 2 * 2 / (3 + 2)
        ([[1, 0]], [[0, 1]], 0),
        ([[0, 0]], [[0, 1]], 0),
        ([[1, 0]], [[0, 0]], 0),
        ([[0, 0]], [[0, 0]], 1),
    ],
)
def test_dice_by_hand(prediction, truth, expected):
    assert metrics.dice(np.array(prediction, np.uint8), np.array(truth, np.uint8)) == pytest.approx(expected)


@given(pair=mask_pairs())
def test_dice_is_symmetric_bounded_and_1_only_for_equals(pair):
    prediction, truth = pair
    score = metrics.dice(prediction, truth)
    assert score == metrics.dice(truth, prediction)
    assert 0 <= score <= 1
    assert (score == 1) == np.array_equal(prediction, truth)
    both = (prediction.astype(bool) & truth.astype(bool)).sum()
    assert (score == 0) == (both == 0 and (prediction.any() or truth.any()))


@given(pair=mask_pairs())
def test_dice_is_the_harmonic_mean_of_precision_and_recall(pair):
    prediction, truth = (mask.astype(bool) for mask in pair)
    both = (prediction & truth).sum()
    if both:
        precision, recall = both / prediction.sum(), both / truth.sum()
        assert metrics.dice(*pair) == pytest.approx(2 * precision * recall / (precision + recall))


def test_masks_of_different_shapes_are_not_compared():
    with pytest.raises(ValueError, match=r"\(2, 3\) but truth is \(3, 2\)"):
        metrics.dice(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@given(
    dark=arrays(np.uint8, (5, 8), elements=st.integers(0, 1)),
    colour=st.tuples(*[st.integers(0, 200)] * 3),
    channel=st.integers(0, 2),
    gap=st.integers(5, 55),
)
def test_otsu_separates_two_colours_whichever_channel_they_differ_in(dark, colour, channel, gap):
    dark[0, 0], dark[0, 1] = 0, 1
    image = np.tile(np.array(colour, np.uint8), (5, 8, 1))
    image[..., channel] += np.uint8(gap) * (1 - dark)
    np.testing.assert_array_equal(metrics.otsu_mask(rows_of(image), dark.shape), dark)


def test_otsu_of_real_tissue_is_that_of_scikit_image():
    """In 256 equal steps from the least density to the largest."""
    image = data.immunohistochemistry()
    density = metrics.optical_density(rows_of(image), image.shape[:2])
    steps = (255 * ((density - density.min()) / np.ptp(density))).astype(np.uint8)
    differ = metrics.otsu_mask(rows_of(image), image.shape[:2]) != (steps > filters.threshold_otsu(steps))
    assert differ.sum() <= 2  # where a float32 lies on a step


def test_no_more_rows_are_asked_for_at_a_time_than_fit_into_the_cache():
    asked = []

    def rows(top: int, bottom: int) -> np.ndarray:
        asked.append((top, bottom))
        return np.zeros((bottom - top, 3, 3), np.uint8)

    metrics.optical_density(rows, (150, 3))
    assert asked == [(0, 64), (64, 128), (128, 150)]


@pytest.mark.parametrize("shape", [(1, 1), (64, 7), (200, 33)])
def test_the_density_is_that_of_its_formula_to_the_bit(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    expected = -np.log((image.astype(np.float32) + 1) / 256).sum(axis=-1)
    np.testing.assert_array_equal(metrics.optical_density(rows_of(image), shape), expected)


@given(pair=mask_pairs())
def test_baselines_are_scores_of_their_masks(pair):
    dark, truth = pair
    image = np.repeat(np.where(dark, 60, 230)[..., None], 3, axis=2).astype(np.uint8)
    scores = metrics.baseline_dice(rows_of(image), truth)
    assert list(scores) == ["nothing", "everything", "otsu"]
    assert scores["nothing"] == (0 if truth.any() else 1)
    assert scores["everything"] == pytest.approx(2 * truth.mean() / (1 + truth.mean()))
    if 0 < dark.sum() < dark.size:
        assert scores["otsu"] == metrics.dice(dark, truth)


# ------------------------------------------------------------------ intervals

scores = arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1))


def width(values: np.ndarray, groups: list[str] | None = None) -> float:
    low, high = metrics.interval(values, draws=4000, seed=0, groups=groups)
    return high - low


@given(values=scores, seed=st.integers(0, 2**32 - 1))
def test_without_groups_the_interval_is_the_plain_bootstrap_to_the_bit(values, seed):
    drawn = np.random.default_rng(seed).integers(len(values), size=(99, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    assert metrics.interval(values, draws=99, seed=seed) == (low, high)


@given(values=scores, seed=st.integers(0, 2**32 - 1))
def test_groups_of_one_image_give_the_interval_over_images_to_the_bit(values, seed):
    names = [f"{(7 * k) % 31}" for k in range(len(values))]  # all different, in no order
    expected = metrics.interval(values, draws=99, seed=seed)
    assert metrics.interval(values, draws=99, seed=seed, groups=names) == expected


@given(values=scores, copies=st.integers(2, 5))
def test_copies_within_a_group_do_not_narrow_the_interval(values, copies):
    names = [str(k) for k in range(len(values))]
    repeated = metrics.interval(
        np.tile(values, copies), draws=99, seed=0, groups=[name for _ in range(copies) for name in names]
    )
    assert repeated == pytest.approx(metrics.interval(values, draws=99, seed=0), abs=1e-12)


def test_taken_for_independent_copies_narrow_the_interval_by_the_root_of_two():
    values = np.random.default_rng(1).uniform(size=60)
    assert width(np.tile(values, 2)) == pytest.approx(width(values) / np.sqrt(2), rel=0.05)


@given(data=st.data(), values=scores)
def test_the_interval_over_groups_is_that_of_means_drawn_one_by_one(data, values):
    names = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(values), max_size=len(values)))
    order = list(dict.fromkeys(names))
    rng, means = np.random.default_rng(5), []
    for drawn in rng.integers(len(order), size=(49, len(order))):
        images = [values[k] for g in drawn for k in range(len(values)) if names[k] == order[g]]
        means.append(np.mean(images))
    expected = tuple(np.percentile(means, [2.5, 97.5]))
    assert metrics.interval(values, draws=49, seed=5, groups=names) == pytest.approx(expected, abs=1e-12)


def test_units_are_groups_where_they_are_known() -> None:
    assert (metrics.units(3, None), metrics.units(3, ["a", "b", "a"])) == (3, 2)


def test_an_image_is_never_asked_for_more_rows_than_a_block():
    image = np.random.default_rng(0).integers(0, 255, (metrics.BLOCK_ROWS * 2 + 3, 5, 3)).astype(np.uint8)
    asked, rows = [], rows_of(image)

    def counted(first: int, stop: int) -> np.ndarray:
        asked.append(stop - first)
        return rows(first, stop)

    found = metrics.otsu_mask(counted, image.shape[:2])
    np.testing.assert_array_equal(found, metrics.otsu_mask(rows, image.shape[:2]))
    assert max(asked) <= metrics.BLOCK_ROWS
    assert sum(asked) % len(image) == 0
