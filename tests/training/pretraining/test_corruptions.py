"""Laws of the corruptions: seeded, in range, never written into their input; each as the paper says."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from ftu.training.pretraining.corruptions import CORRUPTIONS, DROPPED, MOTION, NOISE

DRAWN = [name for name in CORRUPTIONS if name not in ("blur", "defocus")]
FILTERS = ["blur", "defocus", "motion_blur"]
SIDE = 256


def rng(seed=0):
    return np.random.default_rng(seed)


def textured(channels=1, side=SIDE):
    return rng(1).integers(1, 255, (side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=20)
@given(
    image=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))),
    seed=st.integers(0, 99),
)
def test_an_image_stays_an_image_and_the_input_as_it_was(name, image, seed):
    before = image.copy()
    result = CORRUPTIONS[name](image, rng(seed))
    assert (result.shape, result.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result, CORRUPTIONS[name](image, rng(seed)))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_task_changes_an_image_and_another_seed_changes_it_otherwise(name):
    one, other = (CORRUPTIONS[name](textured(), rng(seed)) for seed in (0, 1))
    assert (one != textured()).any()
    assert (one != other).any() == (name in DRAWN)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "low_resolution"])
def test_all_channels_of_a_pixel_get_the_same(name):
    grey = np.repeat(textured(), 3, axis=2)
    result = CORRUPTIONS[name](grey, rng())
    assert (result == result[..., :1]).all()


def parts(shown):
    """Height and width of each connected part of a mask."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(shown.astype(np.uint8))
    return [(stats[part, cv2.CC_STAT_HEIGHT], stats[part, cv2.CC_STAT_WIDTH]) for part in range(1, count)]


@pytest.mark.parametrize(("height", "width", "box"), [(256, 256, (51, 51)), (128, 200, (26, 40))])
def test_cutout_is_one_to_five_black_boxes_of_a_fifth_of_each_side(height, width, box):
    white, counts = np.full((height, width, 1), 255, np.uint8), set()
    area = box[0] * box[1]
    for seed in range(60):
        black = CORRUPTIONS["cutout"](white, rng(seed))[..., 0] == 0
        found = parts(black)
        assert area <= black.sum() <= 5 * area
        assert all(high >= box[0] and wide >= box[1] for high, wide in found)
        if black.sum() == len(found) * area:  # none overlaps another
            counts.add(len(found))
    assert {1, 2, 3} <= counts <= {1, 2, 3, 4, 5}


def test_noise_has_the_papers_deviation():
    grey = np.full((SIDE, SIDE, 1), 128, np.uint8)
    added = CORRUPTIONS["noise"](grey, rng()).astype(float) - 128
    assert added.std() == pytest.approx(NOISE * 255, rel=0.02)
    assert added.mean() == pytest.approx(0, abs=0.5)
    assert NOISE == 0.15


def test_salt_and_pepper_fill_a_fifth_in_coarse_grains():
    grey = np.full((SIDE, SIDE, 1), 128, np.uint8)
    drawn = [CORRUPTIONS["salt_pepper"](grey, rng(seed))[..., 0] for seed in range(200)]
    assert np.mean([(image != 128).mean() for image in drawn]) == pytest.approx(0.2, abs=0.01)
    values = drawn[0][drawn[0] != 128] / 255  # of Beta(1/2, 1/2), a third lies beyond 0.067 of either end
    assert (np.minimum(values, 1 - values) < 0.067).mean() == pytest.approx(1 / 3, abs=0.02)
    filled = cv2.morphologyEx((drawn[0] != 128).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    assert min(min(sides) for sides in parts(filled)) >= SIDE // 16


def test_low_resolution_leaves_nothing_finer_than_four_pixels_and_no_noise_of_a_constant_brightness():
    stripes = np.tile(np.array([0, 255], np.uint8), SIDE // 2)[None, :, None].repeat(SIDE, axis=0)
    result = CORRUPTIONS["low_resolution"](stripes, rng()).astype(float)
    assert np.abs(np.diff(result[..., 0], axis=1)).mean() < 20  # of 255
    grey = CORRUPTIONS["low_resolution"](np.full((SIDE, SIDE, 1), 128, np.uint8), rng()).astype(float)
    assert grey.mean() == pytest.approx(128, abs=1)


@pytest.mark.parametrize("name", FILTERS)
@given(value=st.integers(0, 255), seed=st.integers(0, 50))
def test_a_filter_leaves_a_constant_image(name, value, seed):
    flat = np.full((40, 30, 3), value, np.uint8)
    np.testing.assert_array_equal(CORRUPTIONS[name](flat, rng(seed)), flat)


def test_blur_is_scipys_gaussian_filter_of_three_pixels():
    image = textured(side=64)
    expected = ndimage.gaussian_filter(image[..., 0].astype(float), 3, mode="mirror")
    assert np.abs(CORRUPTIONS["blur"](image, rng())[..., 0] - expected).max() <= 1.5


def spread(name, seed=0, side=41):
    """What a filter makes of a bright block of 3 x 3 px."""
    image = np.zeros((side, side, 1), np.uint8)
    middle = slice(side // 2 - 1, side // 2 + 2)
    image[middle, middle] = 255
    return CORRUPTIONS[name](image, rng(seed))[..., 0]


def test_defocus_is_a_disk_of_radius_four():
    seen = spread("defocus")
    rows, columns = np.nonzero(seen)
    assert int(seen.sum()) == pytest.approx(9 * 255, rel=0.05)
    assert 4 <= np.abs(rows - 20).max() <= 7
    np.testing.assert_array_equal(seen, seen.T)
    np.testing.assert_array_equal(seen, seen[::-1])
    assert rows.size == columns.size > 40


def test_motion_blur_is_a_line_of_fifteen_pixels_at_any_angle():
    angles = []
    for seed in range(40):
        seen = spread("motion_blur", seed).astype(float)
        rows, columns = np.nonzero(seen > 2)
        assert seen.sum() == pytest.approx(9 * 255, rel=0.15)
        assert max(np.ptp(rows), np.ptp(columns)) <= MOTION + 3
        covariance = np.cov(rows, columns, aweights=seen[rows, columns])
        values, vectors = np.linalg.eigh(covariance)
        assert values[1] > 3 * values[0]
        angles.append(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180)
    assert np.histogram(angles, bins=4, range=(0, 180))[0].min() >= 4
    assert MOTION == 15


def test_dropped_pixels_are_black_up_to_a_fifth_and_others_untouched():
    image, shares = textured(3), []
    for seed in range(50):
        result = CORRUPTIONS["pixel_dropout"](image, rng(seed))
        dropped = (result == 0).all(axis=2)
        np.testing.assert_array_equal(result[~dropped], image[~dropped])
        shares.append(dropped.mean())
    assert max(shares) <= DROPPED + 0.01
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)
    assert DROPPED == 0.2
