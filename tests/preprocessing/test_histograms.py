"""Laws of histogram matching and CLAHE, and the worked vectors of the paper's rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.preprocessing.histograms import clahe, histogram, match, mean_histogram

images = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3])))


def grey(*values):
    return np.array(values, np.uint8).reshape(1, -1, 1)


def target(*counts):
    return np.pad(np.array(counts, float), (0, 256 - len(counts)))[None] / sum(counts)


def test_a_row_for_each_channel_of_all_256_levels():
    image = np.stack([grey(0, 255)[..., 0], grey(254, 255)[..., 0], grey(7, 7)[..., 0]], axis=-1)
    found = histogram(image)
    assert found.shape == (3, 256)
    assert [np.flatnonzero(row).tolist() for row in found] == [[0, 255], [254, 255], [7]]
    assert found.sum(axis=1).tolist() == [1, 1, 1]


def test_the_mean_counts_each_image_the_same():
    small, large = grey(0, 10), grey(*[20] * 100)
    found = mean_histogram([small, large])[0]
    assert (found[0], found[10], found[20]) == (0.25, 0.25, 0.5)


def test_levels_take_those_of_the_target_in_their_order():
    source = grey(10, 10, 20, 20, 30, 30, 40, 40)
    wanted = histogram(grey(100, 100, 150, 150, 200, 200, 250, 250))
    assert match(source, wanted).ravel().tolist() == [100, 100, 150, 150, 200, 200, 250, 250]


def test_the_share_of_black_is_read_off_its_neighbours_and_black_stays():
    assert match(grey(0, 0, 0, 0, 1, 1, 2, 5), target(9, 4, 2, 2)).ravel().tolist() == [
        0,
        0,
        0,
        0,
        1,
        1,
        2,
        3,
    ]


@given(images)
def test_matched_to_itself_an_image_is_itself(image):
    """Black, whose share is estimated, too."""
    np.testing.assert_array_equal(match(image, histogram(image)), image)


@given(images, images.filter(lambda image: image.shape[-1] == 1))
def test_black_stays_black_order_is_kept_and_so_is_the_input(image, other):
    before, wanted = image.copy(), histogram(np.maximum(other, 1)).repeat(image.shape[-1], axis=0)
    result = match(image, wanted)
    assert (result.dtype, result.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(image, before)
    assert not result[image == 0].any()
    for place in range(image.shape[-1]):
        order = np.argsort(image[..., place], axis=None, kind="stable")
        assert (np.diff(result[..., place].ravel()[order].astype(int)) >= 0).all()


@given(st.integers(0, 255), st.sampled_from([1, 3]))
def test_an_image_of_one_level_stays(value, channels):
    flat = np.full((4, 5, channels), value, np.uint8)
    wanted = histogram(np.arange(64, dtype=np.uint8).reshape(8, 8, 1)).repeat(channels, axis=0)
    np.testing.assert_array_equal(match(flat, wanted), flat)


def test_each_channel_is_matched_by_itself():
    """scikit-image's issue 6196: without a channel axis the means were 124, 126, 125."""
    rng = np.random.default_rng(0)
    source = rng.integers(0, 100, (64, 64, 3), dtype=np.uint8)
    wanted = np.stack([rng.integers(low, low + 50, (64, 64)) for low in (0, 100, 200)], axis=-1)
    means = match(source, histogram(wanted.astype(np.uint8))).mean(axis=(0, 1))
    np.testing.assert_allclose(means, [24, 124, 224], atol=3)  # a pixel of a hundred is black, and stays


def test_matching_is_scikit_images_where_nothing_is_black():
    exposure = pytest.importorskip("skimage.exposure")
    rng = np.random.default_rng(1)
    source = rng.integers(20, 120, (40, 40), dtype=np.uint8)
    other = rng.integers(90, 250, (50, 30), dtype=np.uint8)
    expected = exposure.match_histograms(source, other)
    assert (
        np.abs(match(source[..., None], histogram(other[..., None]))[..., 0] - expected.astype(float)).max()
        <= 1
    )


def test_clahe_evens_the_contrast_out_and_keeps_colours():
    steep = np.random.default_rng(2).integers(90, 110, (64, 64, 1), dtype=np.uint8)
    assert clahe(steep).std() > 1.5 * steep.std()
    coloured = np.concatenate([steep, steep // 2, steep // 4], axis=-1)
    changed = clahe(coloured)
    assert (changed[..., 0] >= changed[..., 1]).all()
    assert (changed[..., 1] >= changed[..., 2]).all()
    assert (changed != coloured).any()
