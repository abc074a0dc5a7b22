"""Laws of augmentation: a function of its arguments alone; masks stay binary and move with their image."""

import warnings
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ftu.pipeline.params import load_params
from ftu.pipeline.sections.training import Change
from ftu.preprocessing import histograms
from ftu.preprocessing.dyes import DYES, own_stains, recolour
from ftu.preprocessing.vahadane import unit_rows
from ftu.training.augmentation import compose
from ftu.training.augmentation.compose import (
    ELASTIC_SHIFT,
    ELASTIC_SIGMA,
    MOST_GAIN,
    sample_seed,
    strict_augmentation,
)
from imports import ROOT

SIZE = 64
PARAMS = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
SEEDS = st.integers(0, 2**32 - 1)
OTHERS = ("scale", "low_resolution", "gamma", "blur")
PROBABILITIES = ("flip", "crop", "rotate", "distort", "contrast", "hue", "noise", *OTHERS)
GEOMETRIC = ("flip", "crop", "rotate", "distort", "scale")
SETTINGS = dict.fromkeys(PROBABILITIES, 0.0) | {
    "order": get_args(Change),
    "turns": True,
    "scale_range": [0.6, 0.8],
    "low_resolution_scale": [0.3, 0.5],
    "gamma_range": [0.5, 0.7],
    "blur_sigma": [1.0, 2.0],
    "crop_scale": 0.5,
    "scale_window": [1.0, 1.0],
    "colour": "additive",
    "colour_picks": 0,
    "noise_limit": 0.1,
    "stain": 0.0,
    "match": 0.0,
    "rotate_degrees": 45.0,
    "rotate_scale": [0.5, 2.0],
    "contrast_limit": 0.4,
    "hue_limit": 0.4,
    "noise_std": [0.02, 0.1],
}


def augmentation(**changes):
    return strict_augmentation(SIZE, windows=bool(changes.pop("windows", False)), **SETTINGS | changes)


def drawn(seed=0, size=SIZE):
    """A noisy image of a few discs, and the mask of the discs."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    mask = np.zeros((size, size), np.uint8)
    for row, column, radius in rng.uniform((0, 0, size / 8), (size, size, size / 4), (3, 3)):
        mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 1
    image = rng.integers(60, 200, (size, size, 3)) - 50 * mask[..., None]
    return image.astype(np.uint8), mask


def test_the_settings_here_are_those_that_params_know():
    assert set(SETTINGS) == set(YAML(typ="safe").load((ROOT / "params.yaml").read_text())["augment"])


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_all_probabilities_0_change_nothing(seed):
    image, mask = drawn()
    for given_, expected in zip(augmentation()(image, mask, seed), (image, mask), strict=True):
        np.testing.assert_array_equal(given_, expected)


def test_images_get_the_levels_of_a_histogram_as_often_as_match_says():
    image, mask = drawn()
    wanted = histograms.histogram(np.random.default_rng(9).integers(200, 250, (64, 64, 3), dtype=np.uint8))
    matched = histograms.match(image, wanted)
    made = [augmentation(match=0.5, levels=wanted)(image, mask, seed) for seed in range(60)]
    assert {result.tobytes() for result, _ in made} == {image.tobytes(), matched.tobytes()}
    assert 20 <= sum(np.array_equal(result, matched) for result, _ in made) <= 40
    assert all(np.array_equal(moved, mask) for _, moved in made)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_each_augmentation_alone_changes_the_image(name):
    image, mask = drawn()
    augment = augmentation(**{name: 1.0})
    for seed in range(5):
        changed, moved = augment(image, mask, seed)
        assert not np.array_equal(changed, image)
        assert name in GEOMETRIC or np.array_equal(moved, mask)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_mask_moves_with_its_image(name):
    augment = augmentation(**{name: 1.0})
    for seed in range(10):
        _, mask = drawn(seed, SIZE)
        picture = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
        image, moved = augment(picture, mask, seed)
        assert ((image[..., 0] > 127) == (moved == 1)).mean() > 0.99


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_uint8_comes_out_and_a_mask_stays_binary(seed):
    image, mask = drawn(seed)
    changed, moved = augmentation(**dict.fromkeys(PROBABILITIES, 1.0))(image, mask, seed)
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    assert (moved.shape, moved.dtype) == (mask.shape, np.uint8)
    assert set(np.unique(moved)) <= {0, 1}


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_the_result_depends_on_the_arguments_alone(seed, other):
    image, mask = drawn()
    before = image.copy(), mask.copy()
    augment, fresh = (augmentation(**dict.fromkeys(PROBABILITIES, 0.5)) for _ in range(2))
    first = augment(image, mask, seed)
    augment(*drawn(1), other)
    np.random.seed(0)
    for again in (augment(image, mask, seed), fresh(image, mask, seed)):
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_array_equal(again[1], first[1])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_seeds_differ_in_what_they_draw():
    image, mask = drawn()
    augment = augmentation(**dict.fromkeys(PROBABILITIES, 0.5))
    assert len({augment(image, mask, seed)[0].tobytes() for seed in range(30)}) > 25


def test_a_flip_draws_all_eight_symmetries_evenly():
    image, mask = drawn()
    sides = (image, image.transpose(1, 0, 2))
    symmetries = [np.rot90(side, turns).tobytes() for side in sides for turns in range(4)]
    augment, counts = augmentation(flip=0.5), dict.fromkeys(symmetries, 0)
    for seed in range(400):
        counts[augment(image, mask, seed)[0].tobytes()] += 1
    assert min(counts.values()) > 25  # 50 each are expected


@pytest.mark.parametrize(
    ("moves", "colours"),
    [("crop", "contrast"), ("rotate", "hue"), ("distort", "noise"), ("rotate", "contrast")],
)
def test_two_augmentations_are_drawn_independently(moves, colours):
    grey, (_, mask) = np.full((SIZE, SIZE, 3), 128, np.uint8), drawn()
    augment, counts = augmentation(**{moves: 0.5, colours: 0.5}), dict.fromkeys(range(4), 0)
    for seed in range(120):
        image, moved = augment(grey, mask, seed)
        counts[2 * (moved != mask).any() + (image != grey).any()] += 1
    assert min(counts.values()) > 15  # 30 each are expected


def test_a_flip_without_turns_only_mirrors():
    image, mask = drawn()
    mirrored = {side.tobytes() for side in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])}
    augment = augmentation(flip=0.5, turns=False)
    assert {augment(image, mask, seed)[0].tobytes() for seed in range(40)} == mirrored


@pytest.mark.parametrize("name", OTHERS)
def test_a_change_that_is_off_draws_nothing(monkeypatch, name):
    """So that the draws of those after it are what they were before it was known."""
    plain = augmentation(**dict.fromkeys(set(PROBABILITIES) - {*OTHERS}, 0.5))
    steps = compose.rarer
    monkeypatch.setattr(compose, "rarer", lambda **how: steps(**how) | {name: []})
    without = augmentation(**dict.fromkeys(set(PROBABILITIES) - {*OTHERS}, 0.5))
    image, mask = drawn()
    for seed in range(10):
        np.testing.assert_array_equal(plain(image, mask, seed)[0], without(image, mask, seed)[0])


@pytest.mark.parametrize("channels", [3, 1])
def test_gamma_is_a_power_of_the_share_of_the_full_range(channels):
    image, mask = drawn()
    image = image[..., :channels]
    darker, _ = augmentation(gamma=1.0, gamma_range=[2.0, 2.0], channels=channels)(image, mask, 0)
    assert darker.shape == image.shape
    np.testing.assert_allclose(darker, 255 * (image / 255) ** 2, atol=1)


@pytest.mark.parametrize("channels", [3, 1])
def test_a_loss_of_resolution_keeps_every_second_pixel_and_a_blur_the_mean(channels):
    image, mask = drawn()
    image = image[..., :channels]
    coarse, same = augmentation(low_resolution=1.0, low_resolution_scale=[0.5, 0.5], channels=channels)(
        image, mask, 0
    )
    kept = cv2.resize(image[::2, ::2], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(coarse, kept.reshape(image.shape))
    np.testing.assert_array_equal(same, mask)
    soft, _ = augmentation(blur=1.0, channels=channels)(image, mask, 0)
    assert soft.shape == image.shape
    assert soft.std() < 0.7 * image.std()
    assert soft.mean() == pytest.approx(image.mean(), abs=1.5)


def test_scaling_alone_makes_an_object_as_much_smaller_as_its_factor():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[16:48, 20:44] = 1
    image = np.repeat(mask[..., None], 3, axis=-1) * np.uint8(200)
    _, half = augmentation(scale=1.0, scale_range=[0.5, 0.5])(image, mask, 0)
    middle = half[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]  # around it is its mirror image
    assert middle.sum() == pytest.approx(mask.sum() / 4, rel=0.15)


def test_changes_are_made_in_the_order_that_is_asked_for():
    """A darker image that is then scaled has the darker pixels; noise before a blur is blurred, too."""
    image, mask = np.full((SIZE, SIZE, 3), 128, np.uint8), drawn()[1]
    both = {"noise": 1.0, "noise_std": [0.1, 0.1], "blur": 1.0, "blur_sigma": [2.0, 2.0]}
    others = [name for name in get_args(Change) if name not in both]
    orders = (["noise", "blur", *others], ["blur", "noise", *others])
    sharp = [augmentation(order=order, **both)(image, mask, 0)[0].std() for order in orders]
    assert sharp[0] < 0.5 * sharp[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_std": [0.1, 0.02]},
        {"noise_std": [0.5, 2.0]},
        {"crop_scale": 2.0},
        {"flip": 1.5},
        {"contrast": -1.0},
        {"rotate_scale": [2.0]},
        {"unknown": 1.0},
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises((ValueError, TypeError, LookupError)):
        augmentation(**wrong)


def test_a_warning_of_the_library_is_an_error(monkeypatch):
    """It warns of arguments that it does not know, and then goes without them."""

    def warns(*_: object, **__: object) -> None:
        warnings.warn("Argument(s) 'unknown' are not valid for transform HorizontalFlip", stacklevel=1)

    monkeypatch.setattr(compose.A, "HorizontalFlip", warns)
    with pytest.raises(UserWarning, match="unknown"):
        augmentation()


@pytest.mark.parametrize("path", PARAMS, ids=[path.stem for path in PARAMS])
def test_the_projects_own_settings_are_taken_without_a_warning(path):
    params = load_params(path)
    image, mask = strict_augmentation(SIZE, windows=False, **params.augment.model_dump())(*drawn(), 0)
    assert image.shape == (SIZE, SIZE, 3)
    assert mask.shape == (SIZE, SIZE)


@given(st.tuples(*[st.integers(0, 10**6)] * 3), st.tuples(*[st.integers(0, 10**6)] * 3))
def test_a_sample_has_a_seed_of_its_own(key, other):
    assert 0 <= sample_seed(*key) < 2**32
    assert key == other or sample_seed(*key) != sample_seed(*other)


def test_a_seed_is_the_same_on_every_machine():
    assert [sample_seed(42, 0, 0), sample_seed(42, 0, 1), sample_seed(42, 1, 0)] == [
        4193094723,
        1848476178,
        1748806707,
    ]


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_a_window_of_an_image_of_any_size_shows_its_own_pixels_and_their_mask(height, width, seed):
    """Each pixel of the image names its place; the mask repeats it."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image, mask = np.stack([rows, columns, rows ^ columns], axis=-1), rows ^ columns
    window, cut = augmentation(windows=True, **dict.fromkeys(PROBABILITIES, 0.0))(image, mask, seed)
    assert window.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(window[..., 2], cut)
    for axis, length in enumerate((height, width)):
        places = np.unique(window[..., axis])
        assert len(places) == min(length, SIZE)
        assert places[-1] - places[0] == len(places) - 1


def test_windows_are_drawn_evenly_over_the_image():
    image = np.zeros((SIZE, 2 * SIZE, 3), np.uint8)
    image[..., 0] = np.arange(2 * SIZE)
    augment = augmentation(windows=True, **dict.fromkeys(PROBABILITIES, 0.0))
    starts = [int(augment(image, image[..., 0], seed)[1][0, 0]) for seed in range(600)]
    assert (min(starts), max(starts)) == (0, SIZE)
    assert abs(np.mean(starts) - SIZE / 2) < 4 * SIZE / np.sqrt(12 * 600)


def test_an_image_is_scaled_alike_in_all_directions_and_by_a_half_as_often_as_by_two():
    """Of a disc rotation shows nothing, so its widths along the axes tell the factor; the middle half of the
    image holds it and none of what is mirrored at the borders."""
    side = 128
    rows, columns = np.mgrid[:side, :side] + 0.5 - side / 2
    mask = (np.hypot(rows, columns) < 14).astype(np.uint8)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
    augment = strict_augmentation(side, windows=False, **SETTINGS | {"rotate": 1.0})
    factors = []
    for seed in range(300):
        moved = augment(image, mask, seed)[1][side // 4 : -side // 4, side // 4 : -side // 4]
        high, wide = moved.any(axis=1).sum(), moved.any(axis=0).sum()
        assert abs(int(high) - int(wide)) <= 2
        factors.append(np.sqrt(moved.sum() / mask.sum()))
    assert 0.48 < min(factors) < 0.55
    assert 1.8 < max(factors) < 2.05
    assert abs(np.mean(np.log2(factors))) < 3 * 2 / np.sqrt(12 * 300)


@pytest.mark.parametrize("side", [96, 192])
def test_a_distortion_moves_pixels_by_a_share_of_the_side(side):
    """Each pixel's colour is its place; the middle half is looked at, far from what is mirrored."""
    places = np.linspace(0, 255, side)
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0], image[..., 1] = places, places[:, None]
    mask, middle = image[..., 0] // 128, slice(side // 4, -side // 4)
    augment = strict_augmentation(side, windows=False, **SETTINGS | {"distort": 1.0})
    moved = [augment(image, mask, seed)[0][middle, middle, :2].astype(float) for seed in range(80)]
    shifts = np.array([(one - image[middle, middle, :2]) / 255 for one in moved])
    grid = (np.ptp(shifts[..., 0], axis=1) == 0).all(axis=1)  # it moves whole columns
    assert 20 < grid.sum() < 60
    assert shifts[~grid].std() == pytest.approx(ELASTIC_SHIFT, rel=0.12)
    assert 0.004 < shifts[grid].std() < 0.015
    assert np.abs(shifts).max() < 0.06


@pytest.mark.parametrize("moves", ["rotate", "distort"])
def test_beyond_the_image_lies_its_mirror_image_and_nothing_dark(moves):
    image, mask = np.full((SIZE, SIZE, 3), 200, np.uint8), np.ones((SIZE, SIZE), np.uint8)
    augment = augmentation(**{moves: 1.0})
    for seed in range(20):
        for moved, expected in zip(augment(image, mask, seed), (image, mask), strict=True):
            np.testing.assert_array_equal(moved, expected)


def test_noise_has_a_deviation_between_both_of_its_settings():
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    augment = augmentation(noise=1.0, noise_std=[0.02, 0.1])
    found = np.array([augment(grey, grey[..., 0], seed)[0].std() / 255 for seed in range(60)])
    assert 0.019 < found.min() < 0.03
    assert 0.09 < found.max() < 0.102


def test_an_elastic_transform_moves_as_far_as_the_authors_does_at_their_size():
    """Uniform noise in +-1 blurred by sigma, times alpha, of which the module's constant is the standard
    deviation."""
    rng, side = np.random.default_rng(0), 768
    field = cv2.GaussianBlur(rng.uniform(-1, 1, (side, side)).astype(np.float32), (0, 0), 0.07 * side)
    assert 3 * side * field.std() / side == pytest.approx(ELASTIC_SHIFT, rel=0.25)
    assert 3 / np.sqrt(3) / (2 * np.sqrt(np.pi) * ELASTIC_SIGMA) / side == pytest.approx(
        ELASTIC_SHIFT, rel=0.01
    )


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_a_kind_of_colour_reads_its_own_settings_alone(kind):
    image, mask = drawn()
    others = {
        "additive": {"colour_picks": 9, "noise_limit": 0.5},
        "multiplicative": {"contrast": 0.9, "hue": 0.9, "noise": 0.9, "noise_std": [0.3, 0.4]},
    }
    own = {"colour": kind, "contrast": 0.5} if kind == "additive" else {"colour": kind, "colour_picks": 2}
    for seed in range(10):
        plain, changed = (augmentation(**own | more)(image, mask, seed)[0] for more in ({}, others[kind]))
        np.testing.assert_array_equal(plain, changed)


def stained(seed=0):
    """Tissue of two stains with its mask, and its stains."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.3, (SIZE * SIZE, 2))
    density = amounts @ unit_rows(np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]))
    image = np.rint(255 * np.exp(-density)).astype(np.uint8).reshape(SIZE, SIZE, 3)
    return image, drawn(seed)[1], own_stains(image, seed=0)


def test_a_swap_of_stains_draws_each_pair_of_dyes_as_often_and_moves_no_mask():
    image, mask, own = stained()
    assert own
    augment = augmentation(stain=1.0, colour="multiplicative")
    expected = {recolour(image, own, name, most_gain=MOST_GAIN).tobytes(): 0 for name in DYES}
    for seed in range(90):
        changed, moved = augment(image, mask, seed, own)
        expected[changed.tobytes()] += 1
        np.testing.assert_array_equal(moved, mask)
    assert min(expected.values()) > 15  # 30 each are expected


def test_stains_are_swapped_as_often_as_the_probability_says_and_never_without_two():
    image, mask, own = stained()
    augment = augmentation(stain=0.25)
    swapped = sum(not np.array_equal(augment(image, mask, seed, own)[0], image) for seed in range(400))
    assert 70 < swapped < 130
    for seed in range(20):
        np.testing.assert_array_equal(augment(image, mask, seed, None)[0], image)


def test_an_image_is_turned_both_ways_as_far_as_the_degrees_say():
    """A dark half plane through the middle: the direction of its edge tells the angle."""
    side = 128
    mask = np.zeros((side, side), np.uint8)
    mask[side // 2 :] = 1
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)
    settings = SETTINGS | {"rotate": 1.0, "rotate_degrees": 30.0, "rotate_scale": [1.0, 1.0]}
    augment = strict_augmentation(side, windows=False, **settings)
    turned, middle = [], slice(side // 4, -side // 4)
    for seed in range(200):
        low = augment(image, mask, seed)[1][middle, middle].sum(axis=0).astype(float)
        turned.append(np.degrees(np.arctan(np.polyfit(np.arange(len(low)), low, 1)[0])))
    assert -31 < min(turned) < -25
    assert 25 < max(turned) < 31


def test_a_crop_keeps_the_proportions_within_a_tenth():
    side = 128
    places = np.zeros((side, side, 3), np.uint8)
    places[..., 0], places[..., 1] = np.arange(side), np.arange(side)[:, None]
    augment = strict_augmentation(side, windows=False, **SETTINGS | {"crop": 1.0, "crop_scale": 0.5})
    ratios, areas = [], []
    for seed in range(200):
        made = augment(places, places[..., 0] // 64, seed)[0].astype(float)
        wide, high = np.ptp(made[..., 0]) + 1, np.ptp(made[..., 1]) + 1
        ratios.append(wide / high)
        areas.append(wide * high / side**2)
    assert 0.87 < min(ratios) < 0.95
    assert 1.05 < max(ratios) < 1.13
    assert 0.48 < min(areas) < 0.6
    assert max(areas) > 0.9


def test_a_hue_moves_by_its_share_of_the_circle_at_most():
    """OpenCV's circle has 180 steps; saturation and value move by shares of 255."""
    image = np.full((SIZE, SIZE, 3), (170, 100, 100), np.uint8)
    before = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[0, 0].astype(int)
    augment = augmentation(hue=1.0, hue_limit=0.1)
    made = [augment(image, image[..., 0] // 255, seed)[0] for seed in range(200)]
    moved = np.array([cv2.cvtColor(one, cv2.COLOR_RGB2HSV)[0, 0].astype(int) - before for one in made])
    hue = (moved[:, 0] + 90) % 180 - 90
    assert 14 <= hue.max() <= 19
    assert -19 <= hue.min() <= -14
    for other in moved[:, 1:].T:
        assert 20 <= other.max() <= 28
        assert -28 <= other.min() <= -20
