"""Laws of the changes of colour that multiply: what each leaves alone, and what the picks draw."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augmented import PLAIN
from ftu.training.augmentation.colour import gain, hue_saturation, noise, picks
from ftu.training.augmentation.compose import strict_augmentation

FACTORS = st.floats(0.6, 1.4)
SEEDS = st.integers(0, 2**32 - 1)
LIMITS: dict[str, Any] = {"gain_limit": 0.4, "hue_limit": 0.4, "noise_limit": 0.1}


def drawn(seed=0, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (16, 16, 3)).astype(np.uint8)


def pale():
    """Thin tissue on glass: pink and bright."""
    rng = np.random.default_rng(0)
    return np.clip(rng.normal((215, 170, 195), 8, (64, 64, 3)), 0, 255).astype(np.uint8)


@given(SEEDS, FACTORS)
def test_a_gain_is_the_product_at_most_255(seed, factor):
    image = drawn(seed)
    np.testing.assert_allclose(gain(image, factor), np.minimum(image * factor, 255), atol=0.51)


@given(SEEDS, FACTORS, FACTORS)
def test_hue_and_saturation_leave_each_pixels_value(seed, hue, saturation):
    image = drawn(seed)
    np.testing.assert_array_equal(hue_saturation(image, hue, saturation).max(axis=-1), image.max(axis=-1))


@given(st.integers(0, 255), FACTORS, FACTORS)
def test_hue_and_saturation_leave_grey(level, hue, saturation):
    grey = np.full((4, 4, 3), level, np.uint8)
    np.testing.assert_array_equal(hue_saturation(grey, hue, saturation), grey)


@given(SEEDS)
def test_factors_of_1_change_nothing(seed):
    image = drawn(seed)
    np.testing.assert_array_equal(gain(image, 1.0), image)
    np.testing.assert_allclose(hue_saturation(image, 1.0, 1.0), image, atol=1)


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_factors_are_those_of_the_hue_and_of_the_saturation(factor):
    purple = np.full((1, 1, 3), (150, 60, 150), np.uint8)  # hue 300 degrees, saturation 0.6
    changed = hue_saturation(purple, factor, factor).astype(np.float32) / 255
    hue, saturation, _ = cv2.cvtColor(changed, cv2.COLOR_RGB2HSV)[0, 0]
    assert hue == pytest.approx(300 * factor % 360, abs=1.5)
    assert saturation == pytest.approx(0.6 * factor, abs=0.01)


def test_a_hue_behind_the_end_of_the_circle_goes_on_at_its_beginning():
    magenta, yellow = (np.full((1, 1, 3), colour, np.uint8) for colour in ((255, 0, 255), (255, 255, 0)))
    np.testing.assert_array_equal(hue_saturation(magenta, 1.4, 1.0), yellow)  # 300 x 1.4 = 360 + 60 degrees


@pytest.mark.parametrize("level", [0, 128, 255])
def test_noise_reaches_its_limit_and_goes_beyond_no_end_of_the_range(level):
    image = np.full((100, 100, 3), level, np.uint8)
    made = noise(image, 0.1, np.random.default_rng(0))  # 25.5 levels
    assert (made.min(), made.max()) == (max(level - 25, 0), min(level + 25, 255))


@given(SEEDS)
def test_noise_is_that_of_the_pixel_in_every_channel_and_within_its_limit(seed):
    image = drawn(seed, 40, 216)  # so that nothing is clipped
    added = noise(image, 0.1, np.random.default_rng(seed)).astype(int) - image
    assert (added.max(axis=-1) - added.min(axis=-1)).max() <= 1
    assert np.abs(added).max() <= 26
    assert len(np.unique(added)) > 20


def test_two_picks_are_nothing_for_one_image_in_sixteen_and_each_change_is_drawn():
    image, change = drawn(0, 60, 160), picks(2, **LIMITS)
    results = [change(image, np.random.default_rng(seed)) for seed in range(800)]
    same = sum(np.array_equal(result, image) for result in results)
    assert 25 < same < 80  # 50 are expected
    assert len({result.tobytes() for result in results}) > 700


@given(SEEDS)
def test_no_pick_and_no_limit_change_nothing_and_the_input_is_not_written_to(seed):
    image = drawn(seed)
    before = image.copy()
    for change in (picks(0, **LIMITS), picks(3, gain_limit=0.0, hue_limit=0.0, noise_limit=0.0)):
        np.testing.assert_allclose(change(image, np.random.default_rng(seed)), image, atol=1)
    picks(3, **LIMITS)(image, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before)


def test_less_pale_tissue_is_clipped_than_where_amounts_are_added():
    image = pale()
    mask = np.zeros(image.shape[:2], np.uint8)
    off = dict.fromkeys(("flip", "crop", "rotate", "distort", "noise", "noise_limit", "stain"), 0.0)
    settings = PLAIN | off | {
        "crop_scale": 0.5, "scale_window": [1.0, 1.0], "rotate_degrees": 45.0, "rotate_scale": [0.5, 2.0],
        "colour_picks": 2, "contrast": 0.5, "contrast_limit": 0.4, "hue": 0.5, "hue_limit": 0.4,
        "noise_std": [0.02, 0.1],
    }  # fmt: skip

    def lost(kind: str) -> float:
        """The share of images with over a quarter of their pixels at the end of the range in all channels."""
        augment = strict_augmentation(64, windows=False, **settings | {"colour": kind})
        images = [augment(image, mask, seed)[0] for seed in range(200)]
        return float(np.mean([((one == 255).all(-1) | (one == 0).all(-1)).mean() > 0.25 for one in images]))

    assert lost("multiplicative") < lost("additive") / 2
