"""Images in other dyes: the published colours, and the laws of recolouring."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color, data
from test_stain import H_DAB, HE, angles, tissue

from ftu.pipeline.sections.preprocessing import Shift
from ftu.preprocessing import stain
from ftu.preprocessing.dyes import DYES, OWN, dye, own_stains, recolour
from ftu.preprocessing.stain import StainError
from ftu.preprocessing.vahadane import CONCENTRATION_PENALTY, angle_between, concentrations, optical_density

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([HE, H_DAB])
names = st.sampled_from([*DYES, OWN])


def fitted(image: np.ndarray) -> stain.StainFit:
    own = own_stains(image, seed=0)
    assert own is not None
    return own


def density(image: np.ndarray) -> np.ndarray:
    return optical_density(image.reshape(-1, 3)).astype(float)


# ------------------------------------------------------------------ the colours


def test_the_dyes_are_those_of_scikit_image():
    assert angles(DYES["pas"], color.rgb_from_hpx[:2]).max() < 1e-5
    assert angles(DYES["he"], color.rgb_from_hed[:2]).max() < 1e-5
    assert angles(DYES["dab"], color.rgb_from_hed[[0, 2]]).max() < 1e-5


@pytest.mark.parametrize("dyes", list(DYES))
def test_dyes_are_unit_rows_with_hematoxylin_first(dyes):
    np.testing.assert_allclose(np.linalg.norm(DYES[dyes], axis=1), 1)
    assert (DYES[dyes] >= 0).all()
    assert angles(DYES[dyes][:1], HE[:1]) < 2
    assert angle_between(DYES[dyes]) > 30


def test_the_parameter_offers_every_dye():
    assert set(get_args(Shift.model_fields["stain"].annotation)) == {"none", *DYES}


@pytest.mark.parametrize(
    ("dyes", "expected"), [("pas", (215, 98, 220)), ("he", (238, 94, 228)), ("dab", (195, 144, 116))]
)
def test_eosin_takes_the_colour_of_the_other_dye(dyes, expected):
    """A pixel whose amount of eosin is 1, in an image of hematoxylin and eosin."""
    image = tissue(HE, seed=2)
    image[0, 0] = np.rint(255 * np.exp(-HE[1] / np.linalg.norm(HE[1])))
    np.testing.assert_allclose(recolour(image, fitted(image), dyes)[0, 0].astype(int), expected, atol=6)


# ------------------------------------------------------------------ laws


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=kinds)
def test_its_own_stains_give_an_image_of_two_stains_back(seed, stains):
    image = tissue(stains, seed=seed)
    made = recolour(image, fitted(image), OWN)
    assert np.abs(made.astype(int) - image).max() <= 5  # the penalty's share, and whole levels


def test_its_own_stains_give_a_real_image_back_but_for_what_two_stains_leave_over():
    image = data.immunohistochemistry()
    own = fitted(image)
    before, after = density(image), density(recolour(image, own, OWN))
    left_over = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert left_over == pytest.approx(own.residual, abs=0.02)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=kinds, dyes=names, strengths=st.tuples(*[st.floats(0.5, 2)] * 2))
def test_a_strength_multiplies_the_amounts_of_its_stain(seed, stains, dyes, strengths):
    image = tissue(stains, seed=seed, side=64, amount=0.5)
    own = fitted(image)
    amounts = concentrations(density(image), own.matrix, CONCENTRATION_PENALTY)
    matrix = own.matrix if dyes == OWN else DYES[dyes]
    made = recolour(image, own, dyes, strengths=strengths)
    levels = 255 * np.exp(-matrix.T @ (amounts * np.array(strengths)[:, None]))
    np.testing.assert_allclose(made.reshape(-1, 3), levels.T, atol=1.01)


def test_more_of_the_second_stain_is_darker_where_it_is_and_nowhere_else():
    image = tissue(H_DAB, seed=0)
    image[0, :2] = np.rint(255 * np.exp(-H_DAB / np.linalg.norm(H_DAB, axis=1, keepdims=True)))
    own = fitted(image)
    once, twice = (recolour(image, own, "he", strengths=(1, k))[0, :2].astype(int) for k in (1, 2))
    assert np.abs(twice[0] - once[0]).max() <= 10  # hematoxylin, which a fit finds within a degree
    np.testing.assert_allclose(once[1], (238, 94, 228), atol=6)
    np.testing.assert_allclose(twice[1], (222, 35, 204), atol=9)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=kinds, dyes=names, white=st.integers(245, 255), strength=st.floats(0.5, 2))
def test_no_dye_changes_white_glass_much(seed, stains, dyes, white, strength):
    image = tissue(stains, seed=seed, side=64)
    image[:16] = white
    made = recolour(image, fitted(image), dyes, strengths=(strength, strength))[:16].astype(int)
    assert (made == made[0, 0]).all()
    assert made.min() >= 255 - 3 * (255 - white) - 1


@settings(deadline=None, max_examples=10)
@given(seed=seeds, dyes=names, most_gain=st.floats(1, 4))
def test_equal_inputs_give_equal_new_pixels_and_stay(seed, dyes, most_gain):
    image = tissue(H_DAB, seed=seed, side=64)
    before = image.copy()
    image.flags.writeable = False
    own = fitted(image)
    first, again = (recolour(image, own, dyes, most_gain=most_gain) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert not np.shares_memory(first, image)
    assert (first.shape, first.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)


@given(corner=st.integers(0, 63), side=st.integers(1, 64), dyes=names)
def test_a_part_of_an_image_is_recoloured_as_it_is_in_the_whole(corner, side, dyes):
    """So a fit of the whole image serves every crop, flip and turn of it."""
    image = tissue(HE, seed=0)
    own, part = fitted(image), np.s_[corner : corner + side, ::-1]
    np.testing.assert_array_equal(recolour(image[part], own, dyes), recolour(image, own, dyes)[part])


@pytest.mark.parametrize("dyes", list(DYES))
def test_dyes_are_damped_where_they_spread_the_stains_too_much(dyes):
    near = np.array([[0.60, 0.62, 0.50], [0.55, 0.62, 0.56]])
    image = tissue(near, seed=0)
    own = fitted(image)
    damped = stain.fit(recolour(image, own, dyes, most_gain=3), seed=0)
    assert stain.gain(own, damped) == pytest.approx(3, rel=0.1)
    free = recolour(image, own, dyes)
    np.testing.assert_array_equal(recolour(image, own, dyes, most_gain=100), free)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("level", [255, 130])
def test_an_image_without_two_stains_stays_as_it_is(level):
    image = np.full((32, 32, 3), level, np.uint8)
    assert own_stains(image, seed=0) is None
    assert recolour(image, None, "pas") is image


@pytest.mark.parametrize("strength", [0.0, -1.0, np.nan])
def test_a_strength_that_is_none_is_refused(strength):
    image = tissue(HE, seed=0, side=64)
    with pytest.raises(StainError):
        recolour(image, fitted(image), "pas", strengths=(1.0, strength))


@pytest.mark.parametrize("dyes", list(DYES))
def test_dye_fits_and_recolours_in_one(dyes):
    image = tissue(H_DAB, seed=0, side=64)
    made, reason = dye(image, dyes, seed=0)
    np.testing.assert_array_equal(made, recolour(image, fitted(image), dyes))
    assert reason == ""
    assert dye(image, "none", seed=0) == (image, "")
