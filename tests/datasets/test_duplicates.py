"""One picture under two names: what is found and what is not, on drawn textures and on real images."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from ftu.datasets import duplicates, image_files

BITS = 256
SHAPE = (240, 330)


def texture(seed: int) -> np.ndarray:
    """A (240, 330, 3) uint8 image of blobs, 10 px and coarser, as tissue has them."""
    rng = np.random.default_rng(seed)
    parts = [
        cv2.GaussianBlur(rng.standard_normal((*SHAPE, 3)), (0, 0), sigma) * sigma for sigma in (5, 12, 30)
    ]
    image = np.sum(parts, axis=0)
    return np.clip(128 + 40 * image / image.std(), 0, 255).astype(np.uint8)


def hashed(image: np.ndarray) -> str:
    return duplicates.picture_hash(np.moveaxis(image, -1, 0))


def same(*images: np.ndarray) -> bool:
    """Whether each two of the images are found to be one picture."""
    return len(duplicates.pairs(list(map(hashed, images)))) == len(images) * (len(images) - 1) // 2


def compressed(image: np.ndarray) -> np.ndarray:
    file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))


def halved(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def cropped(image: np.ndarray) -> np.ndarray:
    """Without 1 % of the height and of the width, half of it at each border."""
    height, width = image.shape[:2]
    top, left = max(1, round(height * 0.005)), max(1, round(width * 0.005))
    return image[top : height - top, left : width - left]


def brighter(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 1.05, 0, 255).astype(np.uint8)


CHANGES = {
    "JPEG at quality 75": compressed,
    "half the size": halved,
    "three times the size": lambda image: cv2.resize(image, None, fx=3.1, fy=3.1),  # is halved first
    "5 % brighter": brighter,
    "5 % darker": lambda image: (image * 0.95).astype(np.uint8),
    "a crop of 1 %": cropped,
    "all of these": lambda image: compressed(halved(brighter(cropped(image)))),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned": lambda image: np.rot90(image),
    "turned back": lambda image: np.rot90(image, 3),
    "turned twice": lambda image: np.rot90(image, 2),
    "transposed": lambda image: image.transpose(1, 0, 2),
    "transposed and turned twice": lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@every_change
@pytest.mark.parametrize("seed", range(5))
def test_a_changed_copy_is_the_same_picture(change, seed):
    assert same(texture(seed), np.ascontiguousarray(change(texture(seed))))


def test_other_pictures_are_not() -> None:
    assert duplicates.pairs([hashed(texture(seed)) for seed in range(100)]) == []


@given(level=st.integers(0, 255), seed=st.integers(0, 99))
def test_flat_images_are_like_no_other_not_even_themselves(level, seed):
    noise = np.random.default_rng(seed).normal(level, 12, (*SHAPE, 3))
    blank = np.clip(noise, 0, 255).astype(np.uint8)
    assert hashed(blank) == ""
    assert duplicates.pairs(["", "", hashed(texture(0))]) == []


@given(row=st.integers(0, 15), column=st.integers(0, 15), sign=st.sampled_from([1, -1]))
def test_a_bit_is_the_sign_of_its_frequency(row, column, sign):
    if row == column == 0:
        return
    y, x = (np.arange(32) * 2 + 1)[:, None], np.arange(32) * 2 + 1
    wave = np.cos(np.pi * row * y / 64) * np.cos(np.pi * column * x / 64)
    image = np.repeat((128 + sign * 100 * wave)[..., None], 3, axis=2).astype(np.uint8)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(hashed(image)), np.uint8))
    assert bits[16 * row + column] == (sign > 0)


@pytest.mark.parametrize(("deviation", "known"), [(3, False), (4, True)])
def test_an_image_is_flat_below_four_grey_levels(deviation, known):
    image = np.full((32, 32, 3), 128 - deviation, np.uint8)
    image[:16] += np.uint8(2 * deviation)
    assert bool(hashed(image)) == known


@pytest.mark.parametrize("seed", range(5))
def test_a_negative_differs_in_all_frequencies_but_the_mean(seed):
    """However weak they are: in an image of little contrast, too."""
    grey = np.random.default_rng(seed).normal(128, 6, (32, 32, 1)).round().repeat(3, axis=2)
    images = (each.astype(np.uint8) for each in (grey, 256 - grey))
    one, other = (np.frombuffer(bytes.fromhex(hashed(each)), np.uint8) for each in images)
    assert np.unpackbits(one ^ other).tolist() == [0] + [1] * (BITS - 1)


def test_a_long_thin_image_is_known() -> None:
    thin = texture(0)[:3].repeat(5, axis=1)
    assert same(thin, thin)


def poses(bits: np.ndarray) -> list[np.ndarray]:
    """The bits in eight poses, by what the cosine transform does: a mirror changes the sign of odd waves."""
    odd = np.arange(16) % 2
    return [
        turned ^ (rows * odd[:, None]) ^ (columns * odd)
        for turned in (bits, bits.T)
        for rows in (0, 1)
        for columns in (0, 1)
    ]


@given(
    first=arrays(np.uint8, (16, 16), elements=st.integers(0, 1)),
    flipped=st.sets(st.integers(0, 255), min_size=30, max_size=50),
    pose=st.integers(0, 7),
)
def test_pairs_are_those_of_the_definition(first, flipped, pose):
    second = poses(first)[pose].ravel().astype(np.uint8)
    second[list(flipped)] ^= 1
    apart = min(int((first != posed).sum()) for posed in poses(second.reshape(16, 16)))
    hashes = [np.packbits(bits).tobytes().hex() for bits in (first, second)]
    assert duplicates.pairs([hashes[0], "", hashes[1]]) == ([(0, 2)] if apart <= 40 else [])


def test_pairs_come_sorted_across_blocks(monkeypatch) -> None:
    hashes = [hashed(texture(seed)) for seed in (0, 1, 0, 1, 0)]
    expected = [(0, 2), (0, 4), (1, 3), (2, 4)]
    assert duplicates.pairs(hashes) == expected
    monkeypatch.setattr(duplicates, "BLOCK", 2)
    assert duplicates.pairs(hashes) == expected


def test_the_check_of_an_image_gives_its_hash(tmp_path: Path) -> None:
    image_files.write_tiff(tmp_path / "a.tiff", texture(3))
    assert image_files.check_image(tmp_path / "a.tiff", SHAPE) == {"hash": hashed(texture(3)), "printed": 0}


# ------------------------------------------------------------------ grey images, and slices of volumes


def check(path: Path, channels: int) -> dict:
    return image_files.check_image(path, SHAPE, channels=channels)


@given(seed=st.integers(0, 2**32 - 1))
def test_a_grey_image_has_the_hash_of_three_equal_bands(seed):
    grey = np.random.default_rng(seed).integers(0, 256, (33, 70, 1), np.uint8)
    assert hashed(grey) == hashed(grey.repeat(3, axis=2))


def test_a_grey_png_and_its_jpeg_are_one_picture(tmp_path: Path) -> None:
    for name, options in (("a.png", []), ("a.jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])):
        cv2.imwrite(str(tmp_path / name), texture(3)[..., 0], options)
    hashes = [check(tmp_path / name, channels=1)["hash"] for name in ("a.png", "a.jpg")]
    assert duplicates.pairs(hashes) == [(0, 1)]


def test_two_flat_grey_images_are_no_evidence(tmp_path: Path) -> None:
    for level in (255, 90):
        cv2.imwrite(str(tmp_path / f"{level}.png"), np.full(SHAPE, level, np.uint8))
    assert [check(tmp_path / f"{level}.png", channels=1)["hash"] for level in (255, 90)] == ["", ""]


def volume(seed: int) -> np.ndarray:
    """(12, 96, 132) uint8: blobs that reach through many slices."""
    blobs = gaussian_filter(np.random.default_rng(seed).standard_normal((12, 96, 132)), (6, 4, 4))
    return np.clip(128 + 40 * blobs / blobs.std(), 0, 255).astype(np.uint8)


def test_slices_that_are_alike_are_of_one_volume() -> None:
    """Neighbours may be one picture; slices of two volumes are not, however many neighbours lead on."""
    slices = [hashed(each[..., None]) for seed in range(20) for each in volume(seed)]
    found = duplicates.pairs(slices)
    assert {(one // 12, one % 12) for one, _ in found} >= {(seed, 0) for seed in range(20)}
    assert [pair for pair in found if pair[0] // 12 != pair[1] // 12] == []


VOLUMES = {  # what the names of slices of one patient or one volume share
    "acdc_cardiac": r"patient\d+",
    "axon_myelin_sem": r"sub-rat\d+",
    "lucchi_pp": r"lucchi_[a-z]+",
    "vnc_stack1": r"vnc_[a-z]+",
}


@pytest.mark.parametrize(("name", "pattern"), VOLUMES.items())
def test_real_slices_that_are_alike_are_of_one_patient_or_volume(name, pattern):
    paths = real_files(f"{name}/*/images/*.png")
    hashes = [hashed(image_files.read_image(path)) for path in paths]
    assert all(hashes)
    of = [re.match(pattern, path.name)[0] for path in paths]  # pyright: ignore[reportOptionalSubscript]
    assert {(of[one], of[other]) for one, other in duplicates.pairs(hashes) if of[one] != of[other]} == set()


# ------------------------------------------------------------------ real images


def real_files(pattern: str) -> list[Path]:
    if "FTU_DATA" not in os.environ:
        pytest.skip("FTU_DATA does not name the folder of real images")
    return sorted(Path(os.environ["FTU_DATA"]).glob(pattern))


@pytest.fixture(scope="module")
def real() -> list[Path]:
    return real_files("ftu-real/*_images/*.tiff")


def test_no_two_real_images_are_one_picture(real):
    assert duplicates.pairs([hashed(image_files.read_image(path)) for path in real]) == []


@every_change
def test_changed_copies_of_real_images_are_found(real, change):
    images = [image_files.read_image(path) for path in real[::20]]
    assert all(same(image, np.ascontiguousarray(change(image))) for image in images)
