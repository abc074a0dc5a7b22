"""Laws of the windows that are drawn: their own pixels, their scale, and where they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.training.augmentation.window import random_window

SIDE = 32


def window(image, mask, seed, *, scales=(1.0, 1.0), foreground=False):
    return random_window(image, mask, SIDE, np.random.default_rng(seed), scales=scales, foreground=foreground)


def speck(height=400, width=300):
    """An image that is dark but for one small bright object, and its mask."""
    mask = np.zeros((height, width), np.uint8)
    mask[37:40, 201:206] = 1
    return np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1), mask


@given(st.integers(0, 999), st.floats(0.5, 2))
def test_a_window_of_another_scale_shows_as_many_pixels_more(seed, scale):
    rows, columns = np.mgrid[:128, :128].astype(np.uint8)
    image = np.stack([rows, columns, 0 * rows], axis=-1)
    shown, cut = window(image, rows, seed, scales=(scale, scale))
    assert shown.shape == (SIDE, SIDE, 3)
    assert cut.shape == (SIDE, SIDE)
    for axis in (0, 1):
        first, last = (shown[..., axis].astype(int).min(), shown[..., axis].astype(int).max())
        assert last - first == pytest.approx(scale * (SIDE - 1), abs=2)
    assert np.abs(shown[..., 0].astype(int) - cut).max() <= 2  # the mask lies where its image does


def test_scales_are_drawn_log_uniformly():
    image, mask = (
        np.zeros((256, 256, 3), np.uint8),
        np.arange(256, dtype=np.uint8) * np.ones((256, 1), np.uint8),
    )
    cuts = [window(image, mask, seed, scales=(0.5, 2.0))[1].astype(int) for seed in range(400)]
    factors = np.array([(cut.max() - cut.min()) / (SIDE - 1) for cut in cuts])
    assert abs(np.mean(np.log2(factors))) < 0.12
    assert 0.45 < factors.min() < 0.6
    assert 1.8 < factors.max() < 2.1


def test_half_of_the_windows_are_laid_over_foreground_where_that_is_asked_for():
    image, mask = speck()
    by_chance, asked = (
        np.mean([window(image, mask, seed, foreground=on)[1].any() for seed in range(300)])
        for on in (False, True)
    )
    assert by_chance < 0.05
    assert 0.4 < asked < 0.62


def test_where_the_foreground_lies_in_such_a_window_is_drawn_evenly():
    image, mask = speck()
    cuts = [window(image, mask, seed, foreground=True)[1] for seed in range(800)]
    rows = np.array([np.flatnonzero(cut.any(axis=1)).mean() for cut in cuts if cut.any()])
    assert abs(rows.mean() - (SIDE - 1) / 2) < 2
    assert rows.min() < 4
    assert rows.max() > SIDE - 5


@given(st.integers(0, 999))
def test_without_foreground_it_changes_nothing_but_the_draws(seed):
    image, mask = speck()
    shown, cut = window(image, 0 * mask, seed, foreground=True)
    assert not cut.any()
    assert shown.shape == (SIDE, SIDE, 3)


def corners(places, *, height, width, foreground):
    """Where windows of 4 px lie in an image whose pixels are numbered, of so many seeds."""
    image = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    mask = np.isin(image, places).astype(np.uint8)
    found = []
    for seed in range(300):
        rng, pixels = np.random.default_rng(seed), image[..., None]
        cut, shown = random_window(pixels, mask, 4, rng, scales=(1, 1), foreground=foreground)
        assert cut.shape[:2] == shown.shape == (4, 4)
        if shown.any() or not foreground:
            found.append(divmod(int(cut[0, 0, 0]), width))
    return set(found)


def test_a_window_lies_at_every_place_of_an_image_that_holds_it():
    drawn = corners([], height=6, width=7, foreground=False)
    assert drawn == {(top, left) for top in range(3) for left in range(4)}


@pytest.mark.parametrize(
    ("row", "column", "tops", "lefts"),
    [(8, 9, range(5, 9), range(6, 10)), (1, 19, range(2), [16]), (19, 0, [16], [0])],
)
def test_a_window_over_a_pixel_lies_at_every_place_that_shows_it(row, column, tops, lefts):
    drawn = corners([row * 20 + column], height=20, width=20, foreground=True)
    assert drawn == {(top, left) for top in tops for left in lefts}


@pytest.mark.parametrize(("height", "width"), [(SIDE - 1, SIDE), (SIDE, SIDE - 5), (7, 3), (1, SIDE)])
def test_an_image_smaller_than_the_window_lies_in_its_middle_and_is_mirrored(height, width):
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    around = [((SIDE - side) // 2, -((side - SIDE) // 2)) for side in (height, width)]
    shown, cut = window(image, image[..., 0], 0)
    np.testing.assert_array_equal(shown, np.pad(image, [*around, (0, 0)], "reflect"))
    np.testing.assert_array_equal(cut, shown[..., 0])
