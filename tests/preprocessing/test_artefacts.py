"""What no stain has coloured is found, is left out of the fit, and tissue is not taken for it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from ftu.datasets import image_files
from ftu.files import png
from ftu.preprocessing import normalization, stain
from ftu.preprocessing.artefacts import artefacts
from ftu.preprocessing.dyes import DYES
from ftu.preprocessing.stain import StainError

INKS = {
    "blue": (30, 60, 180), "pale blue": (60, 110, 200), "royal blue": (40, 50, 150), "navy": (20, 20, 100),
    "green": (20, 120, 60), "black": (25, 25, 30), "grey": (62, 58, 60), "red": (210, 30, 40),
    "orange": (240, 140, 30), "yellow": (240, 220, 40),
}  # fmt: skip
FILLS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "tissue": (180, 90, 160),
    "blue": (0, 0, 255),
}  # fmt: skip


def even(colour: tuple[int, int, int], side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


def noisy(colour: tuple[int, int, int], deviation: float = 3) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, (64, 64, 3))
    return np.rint((even(colour) + noise).clip(0, 255)).astype(np.uint8)


def stroke(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A soft line of noisy ink over the image, and where it is."""
    drawn = cv2.line(np.zeros(image.shape[:2], np.uint8), (20, 40), (480, 400), 255, 14, cv2.LINE_AA)
    ink = np.array(colour) + np.random.default_rng(1).normal(0, 3, image.shape)
    share = drawn[..., None] / 255
    return np.rint((image * (1 - share) + ink * share).clip(0, 255)).astype(np.uint8), drawn > 0


def corners(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The corners that a turn by 15 degrees leaves empty, in a colour, and where they are."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1)
    inside = cv2.warpAffine(np.full((height, width), 255, np.uint8), turn, (width, height))
    share = inside[..., None] / 255
    return np.rint(image * share + np.array(colour) * (1 - share)).astype(np.uint8), inside < 255


def rows(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    spoilt, where = image.copy(), np.zeros(image.shape[:2], bool)
    spoilt[:count], where[:count] = 0, True
    return spoilt, where


SPOILT = {
    **{f"{count} black rows": (rows, count) for count in (1, 4, 16)},
    **{f"{name} corners": (corners, colour) for name, colour in FILLS.items()},
    **{f"{name} ink": (stroke, colour) for name, colour in INKS.items()},
}


@pytest.mark.parametrize("what", SPOILT)
def test_an_artefact_is_found_whole_and_hardly_changes_the_rest(what):
    clean = data.immunohistochemistry()
    spoil, how = SPOILT[what]
    image, where = spoil(clean, how)
    found = artefacts(image)
    assert found[where].mean() > 0.99
    assert not found[cv2.dilate(where.view(np.uint8), np.ones((41, 41))) == 0].any()
    target = stain.StainFit(DYES["pas"], np.array([1.5, 1.0]), residual=0.0)
    made, expected = (stain.normalize(each, stain.fit(each, seed=0), target)[0] for each in (image, clean))
    assert np.abs(made.astype(int) - expected)[~where].mean() < 1


def test_real_tissue_is_no_artefact(small_sample):
    assert not artefacts(data.immunohistochemistry()).any()
    for path in (small_sample / "train_images").iterdir():
        image = cv2.resize(image_files.read_image(path), (256, 256), interpolation=cv2.INTER_AREA)
        assert artefacts(image).mean() < 0.005


@given(
    dyes=st.sampled_from(sorted(DYES)),
    amounts=st.tuples(st.floats(0, 1.5), st.floats(0, 1.5)).filter(lambda both: sum(both) <= 2),
)
def test_no_mixture_of_dyes_is_an_artefact(dyes, amounts):
    colour = 255 * np.exp(-np.array(amounts) @ DYES[dyes])
    assert not artefacts(noisy(tuple(colour), 2)).any()


@pytest.mark.parametrize("ink", INKS)
def test_ink_need_not_be_even(ink):
    assert artefacts(noisy(INKS[ink])).all()


@given(colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_fill_of_any_colour_is_found_but_pale_ones(colour):
    if sum(colour) / 3 < 203.5 or colour == (255, 255, 255):
        assert artefacts(even(colour)).all()


@pytest.mark.parametrize("level", [204, 230, 244, 254])
def test_even_background_is_none(level):
    assert not artefacts(even((level, level, level))).any()


def test_even_background_beside_tissue_is_none():
    image = noisy((180, 120, 160))
    image[:32] = 230
    assert not artefacts(image).any()


@pytest.mark.parametrize("channels", [[0], [1], [2], [0, 1], [0, 2], [1, 2]])
def test_fill_is_even_in_all_channels(channels):
    image = noisy((180, 120, 160))
    image[..., channels] = 130
    assert not artefacts(image).any()


@pytest.mark.parametrize(("length", "found"), [(12, False), (13, True)])
@pytest.mark.parametrize("swap", [False, True])
def test_fill_is_a_run_of_13_px(length, found, swap):
    image = noisy((180, 120, 160))
    image[30, 20 : 20 + length] = 128
    image = np.ascontiguousarray(image.swapaxes(0, 1)) if swap else image
    mask = artefacts(image)
    assert mask.any() == found
    if found:
        across, along = np.flatnonzero(mask.any(axis=int(not swap))), np.flatnonzero(mask.any(axis=int(swap)))
        assert (across.min(), across.max()) == (30 - 12, 30 + 12)
        assert (along.min(), along.max()) == (20 - 12, 32 + 12)


@pytest.mark.parametrize(
    ("colour", "found"),
    [
        ((40, 40, 40), True),
        ((40, 20, 40), True),
        ((41, 20, 41), False),
        ((80, 65, 80), True),
        ((81, 66, 81), False),
        ((80, 64, 80), False),
        ((100, 116, 130), True),
        ((100, 115, 130), False),
        ((42, 50, 100), False),
        ((50, 59, 120), True),
        ((50, 58, 120), False),
        ((40, 40, 101), True),
        ((40, 40, 100), False),
        ((41, 41, 102), False),
        ((220, 120, 79), True),
        ((220, 120, 80), False),
    ],
)
def test_limits_of_dark_and_ink(colour, found):
    """In stripes of two px, which are no run; each stripe is wider than a single pixel of noise."""
    image = even((180, 120, 160))
    image[30:34, 30:34] = colour
    image += (np.indices((64, 64)).sum(axis=0) % 2).astype(np.uint8)[..., None] * (
        (image == 180).any(axis=2, keepdims=True) & (image == 160).any(axis=2, keepdims=True)
    )
    mask = artefacts(image)
    assert mask.any() == found
    if found:
        assert mask[28:36, 29:35].all()
        assert mask.sum() <= 8 * 8


def test_single_pixels_are_noise():
    image = noisy((180, 120, 160))
    image[10, 10] = image[30, 40] = 0
    assert not artefacts(image).any()


def test_the_share_left_out_is_told(tmp_path):
    image = data.immunohistochemistry()
    target = stain.fit(image, seed=0)
    image[:8] = 0
    png.write_image(tmp_path / "a.png", image)
    how = {"backend": "exact", "fit": target, "seed": 0, "most_gain": 3}
    row = normalization.normalize_file(tmp_path / "a.png", tmp_path / "b.png", **how)
    assert row["artefacts"] == round((8 + 12) / 512, 6)
    assert row["reason"] == ""
    png.write_image(tmp_path / "a.png", even((0, 0, 0)))
    row = normalization.normalize_file(tmp_path / "a.png", tmp_path / "b.png", **how)
    assert row["artefacts"] == 1
    assert row["reason"].startswith("uniform")
    assert np.isnan(normalization.copy_unchanged(tmp_path / "a.png", tmp_path / "b.png")["artefacts"])


def test_an_image_of_artefacts_alone_is_blank_and_counts_them():
    image = noisy(INKS["blue"])
    with pytest.raises(StainError, match="blank: 0 tissue pixels of 0 that are no artefacts, 4096 in all"):
        stain.fit(image, seed=0)


@pytest.mark.parametrize(
    ("stains", "reason"),
    [
        ([(0.58, 0.58, 0.57), (0.07, 0.99, 0.11)], "stain 1 is grey"),
        ([(0.65, 0.70, 0.29), (0.58, 0.58, 0.57)], "stain 2 is grey"),
        ([(0.53, 0.61, 0.60), (0.37, 0.56, 0.74)], ""),
        ([(0.65, 0.62, 0.43), (0.59, 0.61, 0.52)], ""),
        ([(0.82, 0.55, 0.13), (0.07, 0.99, 0.11)], r"stain 1 is no dye: \(0.82, 0.55, 0.13\)"),
        ([(0.72, 0.62, 0.30), (0.07, 0.99, 0.11)], "stain 1 is no dye"),
        ([(0.65, 0.70, 0.29), (0.05, 0.40, 0.92)], "stain 2 is no dye"),
    ],
)
def test_stains_of_no_dye_are_a_reason(stains, reason):
    """The two that pass are the palest of real images."""
    rows = np.array(stains) / np.linalg.norm(stains, axis=1, keepdims=True)
    if not reason:
        stain.refuse_other_colours(rows)
        return
    with pytest.raises(StainError, match=reason):
        stain.refuse_other_colours(rows)


def test_uneven_grey_that_becomes_a_stain_is_the_reason():
    image = data.immunohistochemistry()
    image[:80] = noisy((128, 128, 128), 6).repeat(8, axis=1)[:1].repeat(80, axis=0)
    image[:80] += np.random.default_rng(0).integers(0, 9, (80, 512, 1), np.uint8)
    with pytest.raises(StainError, match="is grey"):
        stain.fit(image, seed=0)
