"""Laws of windows: every pixel comes back once, nothing mirrored is kept, only rows in work are in memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.prediction import windows

LAYOUTS = (
    (64, 0.0, "smooth"), (64, 0.25, "smooth"), (256, 0.5, "smooth"), (96, 0.9, "smooth"),
    (700, 0.25, "smooth"), (32, 0.25, "centre"), (64, 0.0, "centre"), (256, 0.5, "centre"),
)  # fmt: skip
LONGEST = 700
lengths = st.integers(1, LONGEST)


def image(height, width):
    return np.random.default_rng(height * 1000 + width).random((height, width), np.float32)


def reader(pixels, asked=None):
    """Reads rows of an array; notes which were asked for."""

    def read(top, bottom):
        assert 0 <= top < bottom <= len(pixels)
        if asked is not None:
            asked.append((top, bottom))
        return pixels[top:bottom]

    return read


def through(pixels, rows, columns):
    """What an identity model makes of the image, band by band."""
    maps = (window[None] for window in windows.cut(rows, columns, reader(pixels)))
    return list(windows.stitch(rows, columns, maps))


def cover(shape, window, overlap, blend, *, fit):
    return windows.cover(shape, window=window, overlap=overlap, blend=blend, shrink=fit)


@settings(max_examples=50)  # of images of up to half a million pixels
@given(height=lengths, width=lengths, how=st.sampled_from(LAYOUTS), fit=st.booleans())
def test_an_identity_model_gives_the_image_back(height, width, how, fit):
    pixels = image(height, width)
    bands = through(pixels, *cover((height, width), *how, fit=fit))
    assert all(band.dtype == np.float32 for band in bands)
    np.testing.assert_allclose(np.concatenate(bands, axis=1)[0], pixels, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fit", [True, False], ids=["fitted", "one size"])
@pytest.mark.parametrize(("window", "overlap", "blend"), LAYOUTS)
def test_an_identity_model_gives_every_length_back(window, overlap, blend, fit):
    column = windows.layout(1, 4, 0.0, "smooth")
    for length in [*range(1, 150), *range(150, LONGEST + 1, 7)]:
        pixels = image(length, 1)
        rows, _ = cover((length, 1), window, overlap, blend, fit=fit)
        given_ = np.concatenate(through(pixels, rows, column), axis=1)[0]
        np.testing.assert_allclose(given_, pixels, rtol=0, atol=1e-5, err_msg=str(length))


@pytest.mark.parametrize(("window", "overlap", "blend"), LAYOUTS)
def test_shares_sum_to_one_and_none_lies_outside(window, overlap, blend):
    for length in range(1, LONGEST + 1):
        axis = windows.layout(length, window, overlap, blend)
        places = np.array(axis.starts)[:, None] + np.arange(window)
        inside = (places >= 0) & (places < length)
        assert not axis.weights[~inside].any()
        total = np.bincount(places[inside], axis.weights[inside], minlength=length)
        np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)
        assert (axis.weights[inside] > 0).all() or blend == "centre"
        assert axis.starts == sorted(set(axis.starts))


# ------------------------------------------------------------------ smooth blending


@given(length=lengths, window=st.integers(32, 400), overlap=st.floats(0, 0.9))
def test_neighbours_overlap_by_what_was_asked(length, window, overlap):
    starts = windows.smooth(length, window, overlap).starts
    assert np.diff(starts).max(initial=0) <= np.ceil(window * (1 - overlap))
    if len(starts) > 1:  # the border is half an overlap, on both sides
        assert -starts[0] == starts[-1] + window - length == (window - int(window * (1 - overlap))) // 2


def test_a_window_counts_most_in_its_middle_and_little_at_its_rim():
    inner = windows.smooth(1000, 100, 0.5).weights[5]
    assert inner[:5].max() < 0.05
    assert inner[-5:].max() < 0.05
    assert inner[48:52].min() > 0.95
    assert np.abs(np.diff(inner)).max() < 0.04  # no seam


@given(length=st.integers(1, 300), window=st.integers(1, 300))
def test_an_image_that_fits_is_one_window_with_the_share_one(length, window):
    axis = windows.smooth(length, max(length, window), 0.25)
    before = -axis.starts[0]
    assert axis.weights[0, before : before + length].tolist() == [1.0] * length
    after = axis.window - length - before
    assert 0 <= before - after <= 1  # the odd pixel in front


def test_an_overlap_without_a_step_is_refused():
    with pytest.raises(InputError, match=r"predict\.window\.overlap: 1\.0 leaves no step .* use less"):
        windows.smooth(100, 50, 1.0)


# ------------------------------------------------------------------ the relevant-patch rule


def kept(axis):
    return [int(weights.sum()) for weights in axis.weights]


def test_the_rule_on_a_size_that_the_step_divides():
    rows, columns = windows.centre(768, 256), windows.centre(1024, 256)
    assert (rows.starts, kept(rows)) == ([-64, 64, 192, 320, 448, 576], [128] * 6)
    assert (columns.starts[0], kept(columns)) == (-64, [128] * 8)


def test_the_rule_on_a_size_that_the_step_does_not_divide():
    rows, columns = windows.centre(1334, 256), windows.centre(1553, 256)
    assert rows.starts == [128 * number - 37 for number in range(10)]  # 74 px of border
    assert columns.starts == [128 * number - 56 for number in range(12)]  # 111 px: 56 before, 55 after
    assert kept(rows) == [155, *[128] * 8, 155]
    assert kept(columns) == [136, *[128] * 10, 137]


@given(length=lengths, window=st.integers(1, 80).map(lambda quarter: 4 * quarter))
def test_the_rule_keeps_each_pixel_of_one_window(length, window):
    weights = windows.centre(length, window).weights
    assert set(np.unique(weights)) <= {0, 1}
    assert sum(kept(windows.centre(length, window))) == length


def test_a_window_that_cannot_be_quartered_is_refused():
    with pytest.raises(InputError, match=r"250 px have none; use 248 px, or blend smooth"):
        windows.centre(1000, 250)


# ------------------------------------------------------------------ borders, order and memory


@given(length=st.integers(1, 9), before=st.integers(0, 30), after=st.integers(0, 30))
def test_the_border_is_numpys_reflection(length, before, after):
    expected = np.pad(np.arange(length), (before, after), mode="reflect")
    np.testing.assert_array_equal(windows.mirrored(np.arange(-before, length + after), length), expected)


@given(height=st.integers(1, 40), width=st.integers(1, 40), window=st.sampled_from([4, 8, 32, 64]))
def test_a_window_is_what_the_mirrored_image_shows_there(height, width, window):
    pixels = image(height, width)
    rows, columns = windows.centre(height, window), windows.smooth(width, window, 0.5)
    padded = np.pad(pixels, window, mode="reflect")
    shown = windows.cut(rows, columns, reader(pixels))
    for top in rows.starts:
        for left in columns.starts:
            expected = padded[top + window : top + 2 * window, left + window : left + 2 * window]
            np.testing.assert_array_equal(next(shown), expected)
    assert next(shown, None) is None


@given(length=lengths, how=st.sampled_from(LAYOUTS))
def test_every_row_is_read_once_and_in_order(length, how):
    rows, asked = windows.layout(length, *how), []
    column = windows.layout(1, 4, 0.0, "smooth")
    for _ in windows.cut(rows, column, reader(image(length, 1), asked)):
        pass
    assert [row for top, bottom in asked for row in range(top, bottom)] == list(range(length))


def test_bands_come_as_soon_as_they_are_whole():
    rows, columns = windows.smooth(1000, 100, 0.5), windows.smooth(150, 100, 0.5)
    taken = []

    def maps():
        for window in windows.cut(rows, columns, reader(image(1000, 150))):
            taken.append(window)
            yield np.stack([window, 1 - window])

    given_ = 0
    for number, band in enumerate(windows.stitch(rows, columns, maps())):
        assert len(taken) <= (number + 2) * len(columns.starts)
        assert (band.shape[0], band.shape[2]) == (2, 150)
        given_ += band.shape[1]
    assert given_ == 1000


@pytest.mark.parametrize(
    ("window", "length", "side"),
    [(128, 128, 128), (100, 100, 100), (512, 100, 128), (512, 700, 512), (512, 1, 32)],
)
def test_a_window_is_no_larger_than_the_image_needs(window, length, side):
    assert windows.fitted(window, length) == side
    for shape in ((length, 999), (999, length)):
        rows, columns = cover(shape, window, 0.0, "smooth", fit=True)
        assert (rows.length, columns.length) == shape
        assert (rows.window, columns.window) == tuple(side if one == length else window for one in shape)
        assert [axis.window for axis in cover(shape, window, 0.0, "smooth", fit=False)] == [window] * 2


def test_a_step_of_one_pixel_is_taken_and_of_none_is_refused():
    axis = windows.smooth(9, 4, 0.75)
    assert np.diff(axis.starts).tolist() == [1] * (len(axis.starts) - 1)
    with pytest.raises(InputError, match=r"overlap: 0\.76 leaves no step between windows of 4 px"):
        windows.smooth(9, 4, 0.76)
