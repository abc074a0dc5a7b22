"""Sizes in um: the paper's numbers, what fixed and microns keep, and who is warned."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.files.index import ImageRow
from ftu.prediction import windows
from ftu.preprocessing import resize
from ftu.training import samples

FIXED = {"mode": "fixed", "side": 768, "microns": 1.3}
MICRONS = {"mode": "microns", "side": 768, "microns": 1.3}
SIDES, PIXELS = st.integers(1, 4000), st.floats(0.05, 10)


def row(pixel_size: float, side: int, *, organ="prostate", source="HPA", part="train") -> ImageRow:
    return ImageRow("a", part, organ, source, side, side, pixel_size)


@given(SIDES, SIDES, PIXELS)
def test_fixed_is_the_square_and_microns_keep_the_field_of_view(height, width, pixel_size):
    assert resize.network_shape(height, width, pixel_size, **FIXED) == (768, 768)
    for side, px in zip(
        (height, width), resize.network_shape(height, width, pixel_size, **MICRONS), strict=True
    ):
        assert px >= 1
        assert px == 1 or abs(px * 1.3 - side * pixel_size) <= 1.3 / 2 + 1e-9


@given(SIDES, PIXELS, st.integers(2, 5))
def test_microns_do_not_see_how_finely_an_image_was_sampled(side, pixel_size, times):
    fine = resize.network_shape(side * times, side * times, pixel_size / times, **MICRONS)
    assert fine == pytest.approx(resize.network_shape(side, side, pixel_size, **MICRONS), abs=1)


@pytest.mark.parametrize(
    ("side", "pixel_size", "px"),
    [(3000, 0.4, 923), (160, 6.263, 771), (4500, 0.229, 793), (2023, 0.4945, 770), (2500, 0.4, 769)],
)
def test_the_competitions_fields_of_view_are_nearly_one_size(side, pixel_size, px):
    assert resize.network_shape(side, side, pixel_size, **MICRONS) == (px, px)


@given(st.integers(1, 2000), st.integers(1, 800))
def test_windows_cover_everything_with_as_few_as_can_be(length, window):
    starts = samples.starts(length, window)
    assert len(starts) == max(-(-length // window), 1)
    assert starts[0] == 0
    assert starts[-1] == max(length - window, 0)
    assert all(0 < after - before <= window for before, after in pairwise(starts))
    if length > window:  # to predict, windows stand there when they overlap by nothing
        assert starts == windows.smooth(length, window, 0).starts


def test_the_network_sees_hubmap_and_hpa_at_one_and_a_fifth_times_the_scale():
    rows = [row(0.4, 3000), row(6.263, 160, source="Hubmap", part="test")]
    table = resize.scale_table(rows, **FIXED)
    hpa, hubmap = (table[table["data_source"] == source].iloc[0] for source in ("HPA", "Hubmap"))
    assert hpa["network_um"] == pytest.approx(3000 * 0.4 / 768, abs=1e-4)
    assert hubmap["network_um"] == pytest.approx(160 * 6.263 / 768, abs=1e-4)
    assert hubmap["against_train"] == pytest.approx(0.835, abs=1e-3)
    assert (hpa["detail"], hubmap["detail"]) == pytest.approx((3.9062, 0.2083), abs=1e-4)
    assert (hpa["field_um"], hubmap["field_um"]) == pytest.approx((1200, 1002.08))
    assert resize.scale_warnings(table) == []


@pytest.mark.parametrize(
    ("side", "warned"), [(3000 * 13 // 10, 0), (3100 * 13 // 10, 1), (2000, 1), (2400, 0)]
)
def test_a_scale_that_is_more_than_1_3_times_off_is_said(side, warned):
    table = resize.scale_table([row(0.4, 3000), row(0.4, side, part="test")], **FIXED)
    sentences = resize.scale_warnings(table)
    assert len(sentences) == warned
    assert all(
        "prostate, HPA" in sentence and f"{side / 3000:.2f} times" in sentence for sentence in sentences
    )


def test_single_images_that_are_off_are_said_where_the_median_is_not():
    sides = (3000, 3000, 3000, 900, 3600)
    rows = [row(0.4, 3000), *(row(0.4, side, part="test") for side in sides)]
    (sentence,) = resize.scale_warnings(resize.scale_table(rows, **FIXED))
    assert sentence.startswith("prostate, HPA: the network sees single test images at 0.30 to 1.20 times")
    within = [each for each in rows if each.img_height != 900]
    assert resize.scale_warnings(resize.scale_table(within, **FIXED)) == []


def test_microns_make_every_scale_the_same():
    rows = [row(0.4, 3000), row(0.4, 1000, part="test"), row(6.263, 160, part="test", source="Hubmap")]
    table = resize.scale_table(rows, **MICRONS)
    np.testing.assert_allclose(table["against_train"], 1, atol=2e-3)


def test_an_organ_without_training_images_has_nothing_to_compare_with():
    table = resize.scale_table([row(0.4, 3000), row(0.4, 30, organ="lung", part="test")], **FIXED)
    assert table.loc[table["organ"] == "lung", "against_train"].isna().all()
    assert resize.scale_warnings(table) == []


def test_the_longer_side_of_an_image_that_is_not_square_is_reported():
    tall = ImageRow("a", "train", "lung", "HPA", 100, 300, 0.5)
    for one in (tall, tall._replace(img_height=300, img_width=100)):
        (found,) = resize.scale_table([one], **MICRONS).to_dict("records")
        assert (found["native_px"], found["field_um"]) == (300, 150.0)


def test_a_scale_at_which_an_image_is_too_large_is_refused_by_its_key():
    assert resize.network_shape(1, 1000, 1.0, mode="microns", side=768, microns=1e-3) == (1000, 10**6)
    with pytest.raises(
        InputError, match=r"resize\.microns: 0\.0005 um for an image of 1 x 1000 px of 1 um: "
    ):
        resize.network_shape(1, 1000, 1.0, mode="microns", side=768, microns=5e-4)
