"""Stain normalisation against spams, scipy and staintools, and the laws it keeps.

All of spams and staintools runs in one spawned process: a process that has called spams must not fork,
and other tests of the session do.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from skimage import data

from ftu.files import png
from ftu.preprocessing import normalization, stain
from ftu.preprocessing.stain import StainError, StainFit
from ftu.preprocessing.vahadane import angle_between, combine, concentrations, first_guess, optical_density

HE = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])  # Ruifrok & Johnston 2001, and so is H-DAB
H_DAB = np.array([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]])
NEAR = np.array([[0.60, 0.62, 0.50], [0.55, 0.62, 0.56]])  # 4.5 degrees apart, as of pale brown and blue
seeds = st.integers(0, 2**32 - 1)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Degrees between rows of equal number."""
    return np.degrees(np.arccos(np.clip((unit(first) * unit(second)).sum(axis=1), -1, 1)))


def tissue(stains: np.ndarray, *, seed: int, side: int = 128, amount: float = 1.0) -> np.ndarray:
    """(side, side, 3) of pixels that hold stain 1, stain 2 or, one in twenty, both."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.2, 1.2, (side * side, 2))
    absent = rng.choice(3, side * side, p=[0.475, 0.475, 0.05])
    amounts[np.arange(side * side)[absent < 2], absent[absent < 2]] = 0
    levels = 255 * np.exp(-amount * amounts @ unit(stains))
    return np.rint(levels).astype(np.uint8).reshape(side, side, 3)


# ------------------------------------------------------------------ in the spawned process


def spams() -> Any:
    return importlib.import_module("spams")


def spams_stains(image: np.ndarray) -> np.ndarray:
    """Converged to 0.02 degrees, over all tissue pixels; staintools stops after a second."""
    from staintools.miscellaneous.optical_density_conversion import convert_RGB_to_OD

    mask = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0] / 255 < 0.8
    density = np.asfortranarray(convert_RGB_to_OD(image.copy())[mask].T)
    stains = spams().trainDL(
        X=density, K=2, lambda1=0.1, mode=2, modeD=0, posAlpha=True, posD=True, verbose=False,
        iter=10_000, batchsize=128, numThreads=1,
    ).T  # fmt: skip
    return unit(stains[np.argsort(-stains[:, 0])])


def spams_amounts(density: np.ndarray, stains: np.ndarray, penalty: float) -> np.ndarray:
    """(2, N), as staintools' get_concentrations calls it."""
    columns = np.asfortranarray(density), np.asfortranarray(stains.T)
    return spams().lasso(*columns, mode=2, lambda1=penalty, pos=True, numThreads=1).toarray()


def spams_normalized(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, ...]:
    """staintools' transform with converged stains: source stains, target stains, image."""
    from staintools.miscellaneous.optical_density_conversion import convert_RGB_to_OD

    stains, amounts = [], []
    for image in source, target:
        stains.append(spams_stains(image))
        density = convert_RGB_to_OD(image.copy()).reshape(-1, 3).T
        amounts.append(spams_amounts(density, stains[-1], 0.01))
    strengths = [np.percentile(each, 99, axis=1) for each in amounts]
    scaled = amounts[0] * (strengths[1] / strengths[0])[:, None]
    levels = 255 * np.exp(-scaled.T @ stains[1])
    return stains[0], stains[1], levels.astype(np.uint8).reshape(source.shape)


def staintools_fit(image: np.ndarray) -> tuple[StainFit, bool]:
    """The fit, and whether the image is still what it was."""
    from ftu.preprocessing import staintools_backend

    before = image.copy()
    return staintools_backend.fit(image, seed=0), np.array_equal(image, before)


def staintools_normalize(image: np.ndarray, source: StainFit, target: StainFit) -> tuple[np.ndarray, float]:
    from ftu.preprocessing import staintools_backend

    return staintools_backend.normalize(image, source, target)


# ------------------------------------------------------------------ parity


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """Source and target: the halves of scikit-image's colon tissue (hematoxylin and DAB), 512 x 256."""
    image = data.immunohistochemistry()
    return image[:, :256], image[:, 256:]


def test_a_real_image_agrees_with_converged_spams(process, halves):
    source, target = (stain.fit(image, seed=0) for image in halves)
    expected_source, expected_target, expected = process.submit(spams_normalized, *halves).result()
    assert angles(source.matrix, expected_source).max() < 1
    assert angles(target.matrix, expected_target).max() < 1
    normalized, _ = stain.normalize(halves[0], source, target)
    difference = np.abs(normalized.astype(int) - expected)
    assert difference.max() <= 3
    assert difference.mean() < 0.5


def test_concentrations_are_those_of_spams(process):
    density = np.random.default_rng(0).uniform(0, 3, (3, 10_000))
    expected = process.submit(spams_amounts, density, unit(H_DAB), 0.01).result()
    np.testing.assert_allclose(concentrations(density, unit(H_DAB), 0.01), expected, rtol=0, atol=1e-6)


@given(seed=seeds, penalty=st.floats(0.001, 0.5))
def test_concentrations_solve_the_lasso(seed, penalty):
    """As non-negative least squares: the penalty moves the density by `stains⁺ @ penalty`."""
    rng = np.random.default_rng(seed)
    stains, density = unit(rng.uniform(0, 1, (2, 3))), rng.uniform(0, 3, (3, 20))
    moved = density.T - penalty * np.linalg.pinv(stains).sum(axis=1)
    expected = np.stack([nnls(stains.T, pixel)[0] for pixel in moved], axis=1)
    np.testing.assert_allclose(concentrations(density, stains, penalty), expected, rtol=0, atol=1e-6)


def test_staintools_backend_normalizes_alike(process, halves):
    source, target = (stain.fit(image, seed=0) for image in halves)
    ours, our_share = stain.normalize(halves[0], source, target)
    theirs, their_share = process.submit(staintools_normalize, halves[0], source, target).result()
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert our_share == pytest.approx(their_share, abs=1e-3)


def test_staintools_backend_fits(process, halves):
    fitted, untouched = process.submit(staintools_fit, halves[0]).result()
    assert untouched
    assert fitted.matrix[0, 0] >= fitted.matrix[1, 0]
    np.testing.assert_allclose(np.linalg.norm(fitted.matrix, axis=1), 1)
    assert fitted.residual < 0.1


@pytest.mark.parametrize(("level", "reason"), [(255, "artefacts"), (0, "artefacts"), (244, "no tissue")])
def test_staintools_backend_says_what_staintools_does_not(process, level, reason):
    with pytest.raises(StainError, match=reason):
        process.submit(staintools_fit, np.full((32, 32, 3), level, np.uint8)).result()


# ------------------------------------------------------------------ laws


def test_density_of_black_and_white_is_finite_and_positive():
    black, white = optical_density(np.array([[0, 0, 0], [255, 255, 255]], np.uint8)).T
    np.testing.assert_allclose(black, np.log(255), rtol=1e-6)
    np.testing.assert_allclose(white, 1e-6)


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=st.sampled_from([HE, H_DAB]), amount=st.sampled_from([1.0, 2.0]))
def test_known_stains_are_found_at_any_amount(seed, stains, amount):
    fitted = stain.fit(tissue(stains, seed=seed, amount=amount), seed=0)
    assert angles(fitted.matrix, stains).max() < 1
    np.testing.assert_allclose(fitted.max_concentration, 1.17 * amount, rtol=0.05)
    assert fitted.residual < 0.03


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=st.sampled_from([HE, H_DAB]))
def test_doubling_the_stain_keeps_its_vectors(seed, stains):
    once, twice = (stain.fit(tissue(stains, seed=seed, amount=k), seed=0) for k in (1, 2))
    assert angles(once.matrix, twice.matrix).max() < 1


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=st.sampled_from([HE, H_DAB]))
def test_normalizing_to_its_own_fit_changes_almost_nothing(seed, stains):
    image = tissue(stains, seed=seed)
    fitted = stain.fit(image, seed=0)
    normalized, clipped = stain.normalize(image, fitted, fitted)
    assert np.abs(normalized.astype(int) - image).max() <= 5
    assert clipped == 0


@settings(deadline=None, max_examples=10)
@given(seed=seeds, strength=st.floats(0.5, 20))
def test_clipped_share_is_the_share_of_black(seed, strength):
    image = tissue(HE, seed=seed, side=64)
    source = stain.fit(image, seed=0)
    target = StainFit(source.matrix, source.max_concentration * strength, source.residual)
    normalized, clipped = stain.normalize(image, source, target)
    density = combine(
        target.matrix.T, strength * concentrations(optical_density(image.reshape(-1, 3)), source.matrix, 0.01)
    )
    assert 0 <= clipped <= 1
    assert clipped == pytest.approx(np.mean(density > np.log(255)), abs=1e-4)
    assert clipped == np.mean(normalized == 0)


def test_normalized_image_has_the_stains_of_the_target():
    source, target = stain.fit(tissue(HE, seed=0), seed=0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    normalized, _ = stain.normalize(tissue(HE, seed=0), source, target)
    assert angles(stain.fit(normalized, seed=0).matrix, target.matrix).max() < 1


def large_image() -> np.ndarray:
    """More pixels than are drawn, of an odd shape."""
    return cv2.resize(data.immunohistochemistry(), (701, 613), interpolation=cv2.INTER_NEAREST)


def test_equal_seeds_give_equal_bytes_and_inputs_stay():
    image = large_image()
    image.flags.writeable = False
    first, again = stain.fit(image, seed=3), stain.fit(image, seed=3)
    assert first.matrix.tobytes() == again.matrix.tobytes()
    assert first.max_concentration.tobytes() == again.max_concentration.tobytes()
    assert first.residual == again.residual
    results = [stain.normalize(image, first, again)[0] for _ in range(2)]
    assert results[0].tobytes() == results[1].tobytes()
    assert results[0].shape == image.shape
    assert results[0].dtype == np.uint8


DIGEST = """
import hashlib
import cv2
from skimage import data
from ftu.preprocessing import stain
image = cv2.resize(data.immunohistochemistry(), (701, 613), interpolation=cv2.INTER_NEAREST)
fitted = stain.fit(image, seed=0)
repainted = stain.normalize(image, fitted, fitted)[0]
values = fitted.matrix.tobytes() + fitted.max_concentration.tobytes() + repainted.tobytes()
print(hashlib.sha256(values).hexdigest(), fitted.residual.hex())
"""


def test_threads_of_blas_change_nothing():
    digests = set()
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", DIGEST]
        digests.add(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert len(digests) == 1


def test_threads_of_opencv_change_nothing():
    image, threads = large_image(), cv2.getNumThreads()
    fitted = stain.fit(image, seed=0)
    try:
        cv2.setNumThreads(1 if threads > 1 else 4)
        other = stain.fit(image, seed=0)
        assert other.matrix.tobytes() == fitted.matrix.tobytes()
        np.testing.assert_array_equal(
            stain.normalize(image, other, other)[0], stain.normalize(image, fitted, fitted)[0]
        )
    finally:
        cv2.setNumThreads(threads)


def test_the_seed_hardly_matters():
    first, second = (stain.fit(large_image(), seed=seed).matrix for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert angles(first, second).max() < 0.5


def test_pixels_are_drawn_evenly_over_the_image():
    rows = np.repeat(np.arange(1000) // 4, 300).reshape(1000, 300, 1)
    drawn = stain.draw_pixels(np.repeat(rows, 3, axis=2).astype(np.uint8), seed=0)
    assert drawn.shape == (100_000, 3)
    np.testing.assert_allclose(np.bincount(drawn[:, 0]), 400, atol=1)


def test_a_strided_view_is_an_image_like_any_other():
    image = data.immunohistochemistry()[::2, ::-2]
    fitted, copied = stain.fit(image, seed=0), stain.fit(image.copy(), seed=0)
    assert fitted.matrix.tobytes() == copied.matrix.tobytes()
    np.testing.assert_array_equal(
        stain.normalize(image, fitted, fitted)[0], stain.normalize(image.copy(), fitted, fitted)[0]
    )


# ------------------------------------------------------------------ refusals


def speck() -> np.ndarray:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[:3, :4] = 120, 40, 90
    return image


def one_stain() -> np.ndarray:
    amounts = np.random.default_rng(0).uniform(0.2, 2, (64, 64, 1))
    return np.rint(255 * np.exp(-amounts * HE[0])).astype(np.uint8)


def noisy_grey() -> np.ndarray:
    return np.random.default_rng(0).integers(126, 131, (64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.full((64, 64, 3), 255, np.uint8), "blank: 0 tissue pixels of 4096"),
        (speck(), "blank: 12 tissue pixels of 4096"),
        (np.zeros((64, 64, 3), np.uint8), r"uniform: all tissue pixels are \(0, 0, 0\)"),
        (np.full((64, 64, 3), (180, 90, 160), np.uint8), r"uniform: all tissue pixels are \(180, 90, 160\)"),
        (np.repeat(noisy_grey()[..., :1], 3, axis=2), "stains 0.0 degrees apart"),
        (noisy_grey(), r"stains \d\.\d degrees apart"),
        (one_stain(), r"stains \d\.\d degrees apart"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_image_without_two_stains_is_refused_with_the_reason(image, reason):
    with pytest.raises(StainError, match=reason):
        stain.fit(image, seed=0)


def test_a_file_of_one_stain_passes_through_unchanged_with_its_reason(tmp_path):
    source, target = tmp_path / "resized.png", tmp_path / "normalized.png"
    png.write_image(source, one_stain())
    fitted = stain.fit(tissue(HE, seed=0), seed=0)
    how = {"backend": "exact", "fit": fitted, "seed": 0, "most_gain": 3}
    row = normalization.normalize_file(source, target, **how)
    np.testing.assert_array_equal(png.read_image(target), one_stain())
    with pytest.raises(StainError, match="degrees apart") as refusal:
        stain.fit(one_stain(), seed=0)
    assert row["reason"] == str(refusal.value)
    assert np.isnan([row["residual"], row["gain"]]).all()


@pytest.mark.parametrize(
    ("matrix", "strength", "reason"),
    [
        (unit(HE), [1.0, 0.0], "stain 2 is absent"),
        (unit(HE), [1.0, np.nan], "not finite"),
        (-unit(HE), [1.0, 1.0], "negative density"),
        (unit(HE[[0, 0]]), [1.0, 1.0], "stains 0.0 degrees apart"),
    ],
)
def test_an_unusable_fit_cannot_be_made(matrix, strength, reason):
    with pytest.raises(StainError, match=reason):
        StainFit(matrix, np.array(strength), residual=0.0)


# ------------------------------------------------------------------ gain


def faint(seed: int, *, noise: float = 0) -> np.ndarray:
    """Tissue whose two stains are 4.5 degrees apart, with noise of that many grey levels."""
    image = tissue(NEAR, seed=seed) + np.random.default_rng(seed).normal(0, noise, (128, 128, 3))
    return np.rint(image.clip(1, 255)).astype(np.uint8)


def normalized_file(folder: Path, image: np.ndarray, target: StainFit, most_gain: float):
    """The normalised image and its row, by the function that the stage maps over files."""
    before, after = folder / "before.png", folder / "after.png"
    png.write_image(before, image)
    row = normalization.normalize_file(
        before, after, backend="exact", fit=target, seed=0, most_gain=most_gain
    )
    return png.read_image(after), row


two_stains = st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=2, max_size=2)


def fits_of(*matrices: list[list[float]]) -> list[StainFit]:
    """Fits of these stains; examples whose stains are too near each other to be a fit are left out."""
    rows = [unit(np.array(matrix)) for matrix in matrices]
    assume(all(angle_between(row) > 3.1 for row in rows))
    return [StainFit(row, np.array([1.0, 2.0]), residual=0.0) for row in rows]


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=st.sampled_from([HE, H_DAB]))
def test_an_image_that_is_its_own_target_has_gain_1_and_is_not_damped(seed, stains):
    own = stain.fit(tissue(stains, seed=seed, side=64), seed=0)
    assert stain.gain(own, own) == 1
    assert stain.damp(own, own, 1.0) is own


def test_a_gain_is_the_targets_angle_over_the_images():
    def at(degrees: float) -> StainFit:
        second = [np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0]
        return StainFit(np.array([[1.0, 0, 0], second]), np.ones(2), residual=0.0)

    assert stain.gain(at(5), at(30)) == pytest.approx(6)
    assert stain.gain(at(30), at(5)) == pytest.approx(1 / 6)


@given(source=two_stains, target=two_stains, most_gain=st.floats(1, 10))
def test_a_damped_target_has_the_wanted_gain_and_the_hue_in_the_middle(source, target, most_gain):
    own, aim = fits_of(source, target)
    damped = stain.damp(aim, own, most_gain)
    assert stain.gain(own, damped) == pytest.approx(min(most_gain, stain.gain(own, aim)), rel=1e-6)
    np.testing.assert_allclose(np.linalg.norm(damped.matrix, axis=1), 1)
    np.testing.assert_allclose(unit(damped.matrix.sum(0)[None]), unit(aim.matrix.sum(0)[None]))
    assert (damped.matrix >= 0).all()
    assert damped.max_concentration is aim.max_concentration
    if stain.gain(own, aim) <= most_gain:
        assert damped is aim


def test_a_damped_target_keeps_the_order_of_its_stains():
    own, aim = stain.fit(faint(0), seed=0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    before, after = angles(stain.damp(aim, own, 3).matrix, aim.matrix), angles(aim.matrix[::-1], aim.matrix)
    assert (before < after / 2).all()


def test_up_to_the_limit_bytes_are_those_of_no_limit(tmp_path):
    image, target = faint(0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    own = stain.fit(image, seed=0)
    free, _ = stain.normalize(image, own, target)
    wanted = stain.gain(own, target)
    assert wanted == pytest.approx(36.9 / 4.5, rel=0.1)
    made, row = normalized_file(tmp_path, image, target, most_gain=wanted)
    np.testing.assert_array_equal(made, free)
    assert row["gain"] == round(wanted, 6)
    assert not list(normalization.warnings([{"id": "a"} | row], most_gain=wanted))


def test_above_the_limit_an_image_is_damped_and_named_with_its_gain(tmp_path):
    image, target = faint(0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    made, row = normalized_file(tmp_path, image, target, most_gain=3)
    own, again = stain.fit(image, seed=0), stain.fit(made, seed=0)
    assert row["reason"] == ""
    assert row["gain"] == round(stain.gain(own, target), 6)
    assert angle_between(again.matrix) == pytest.approx(3 * angle_between(own.matrix), rel=0.1)
    rows = [{"id": "a"} | row, {"id": "b"} | row | {"gain": 2.9}]
    (said,) = normalization.warnings(rows, most_gain=3)
    assert said == (
        "1 of 2 images got the target's stains damped to a gain of 3 (stain.most_gain): "
        f"a ({row['gain']:.1f})"
    )


def test_only_what_is_unchanged_unasked_is_told(tmp_path):
    """Where no stain was to be normalised, all images are as they were, and nobody need hear it."""
    png.write_image(tmp_path / "a.png", faint(0))
    asked = {"id": "a"} | normalization.copy_unchanged(tmp_path / "a.png", tmp_path / "b.png")
    assert asked["reason"] == "stain.backend: none"
    (said,) = normalization.warnings([asked, asked | {"id": "b", "reason": "too dark"}], most_gain=3)
    assert said == "1 of 2 images unchanged: b (too dark)"


def test_noise_of_colour_grows_with_the_gain():
    """Noise around one colour, by which the image's own two stains differ least, under three targets."""
    clean, noisy = faint(0), faint(0, noise=2)
    own, target = stain.fit(clean, seed=0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    grown = []
    for most_gain in (1, 2, 4):
        aim = StainFit(stain.damp(target, own, most_gain).matrix, own.max_concentration, residual=0.0)
        made = [stain.normalize(image, own, aim)[0].astype(float) for image in (clean, noisy)]
        hue = [image[..., 0] - image[..., 2] for image in made]
        grown.append(np.std(hue[1] - hue[0]))
    assert grown[1] > 1.5 * grown[0]
    assert grown[2] > 1.5 * grown[1]


def test_staintools_is_damped_alike(process, tmp_path):
    image, target = faint(0), stain.fit(tissue(H_DAB, seed=1), seed=0)
    before, after = tmp_path / "before.png", tmp_path / "after.png"
    png.write_image(before, image)
    how = {"backend": "staintools", "fit": target, "seed": 0, "most_gain": 3}
    row = process.submit(normalization.normalize_file, before, after, **how).result()
    own = np.array([row[f"stain{number}_{channel}"] for number in (1, 2) for channel in "rgb"]).reshape(2, 3)
    assert row["gain"] == pytest.approx(angle_between(target.matrix) / angle_between(own), rel=1e-3)
    again = stain.fit(png.read_image(after), seed=0)
    assert angle_between(again.matrix) == pytest.approx(3 * angle_between(own), rel=0.1)


# ------------------------------------------------------------------ mosaic


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=7),
    seed=seeds,
)
def test_a_mosaic_is_made_of_pixels_of_all_its_images(shapes, seed):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    made = stain.mosaic(images)
    np.testing.assert_array_equal(made, stain.mosaic(images))
    side = min(min(shape) for shape in shapes)
    assert made.shape[0] % side == made.shape[1] % side == 0
    assert 0 <= made.shape[1] - made.shape[0] <= side
    pixels = [{tuple(pixel) for pixel in image.reshape(-1, 3).tolist()} for image in images]
    assert {tuple(pixel) for pixel in made.reshape(-1, 3).tolist()} <= set().union(*pixels)
    tiles = made.reshape(len(made) // side, side, -1, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    for number, tile in enumerate(tiles):
        assert {tuple(pixel) for pixel in tile.reshape(-1, 3).tolist()} <= pixels[number % len(images)]


def test_a_mosaic_goes_row_by_row_and_starts_again_for_places_left_over():
    made = stain.mosaic([np.full((2, 3, 3), level, np.uint8) for level in (10, 20, 30)])
    np.testing.assert_array_equal(made[::2, ::2, 0], [[10, 20], [30, 10]])


def test_a_mosaic_stays_small_and_covers_its_images():
    image = np.broadcast_to(np.arange(3000)[:, None, None] % 256, (3000, 2500, 3)).astype(np.uint8)
    made = stain.mosaic([image] * 3)
    assert made.shape == (2048, 2048, 3)
    np.testing.assert_array_equal(made[:1024, 0, 0], image[np.arange(1024) * 3000 // 1024, 0, 0])


def test_a_mosaic_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        stain.mosaic([])


# ------------------------------------------------------------------ where it starts, what is tissue


@settings(deadline=None, max_examples=10)
@given(seed=seeds, stains=st.sampled_from([HE, H_DAB]))
def test_the_first_guess_is_near_the_stains(seed, stains):
    """Each half of the pixels is mostly of one stain, with what holds both."""
    guess = first_guess(optical_density(tissue(stains, seed=seed).reshape(-1, 3)).astype(np.float64))
    guess = guess[np.argsort(-guess[:, 0])]
    assert angles(guess, stains).max() < 4


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6])
def test_two_even_colours_have_finite_stains(share):
    """The median lies on one of the two: each half has to hold some pixels."""
    pixels, count = np.empty((10_000, 3), np.uint8), round(share * 10_000)
    pixels[:count], pixels[count:] = (120, 60, 140), (210, 120, 190)
    guess = first_guess(optical_density(pixels).astype(np.float64))
    assert np.isfinite(guess).all()
    assert angle_between(guess) > 1


@pytest.mark.parametrize(("level", "expected"), [(203, True), (204, False)])
def test_tissue_is_darker_than_eight_tenths_of_white(level, expected):
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    luminosity = cv2.cvtColor(greys[:, None], cv2.COLOR_RGB2LAB)[:, 0, 0]
    (place,) = np.flatnonzero(luminosity == level)[:1]
    assert stain.is_tissue(greys[place : place + 1])[0] == expected


@pytest.mark.parametrize(("count", "blank"), [(999, True), (1000, False)])
def test_an_image_of_less_than_a_hundredth_of_tissue_is_blank(count, blank):
    image = np.random.default_rng(0).integers(235, 246, (250, 400, 3), np.uint8)
    flat = image.reshape(-1, 3)
    flat[:count] = tissue(HE, seed=0).reshape(-1, 3)[stain.is_tissue(tissue(HE, seed=0).reshape(-1, 3))][
        :count
    ]
    if blank:
        with pytest.raises(StainError, match="blank: 999 tissue pixels of 100000"):
            stain.fit(image, seed=0)
    else:
        stain.fit(image, seed=0)


@pytest.mark.parametrize(("degrees", "fits"), [(2.9, False), (3.1, True)])
def test_two_stains_are_at_least_three_degrees_apart(degrees, fits):
    near = np.array([[1.0, 0, 0], [np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0]])
    if fits:
        stain.refuse_one_stain(near)
        return
    with pytest.raises(StainError, match=r"stains 2\.9 degrees apart"):
        stain.refuse_one_stain(near)
