"""Laws of the synthetic volumes: slices continue each other, classes are whole, and grey solves nothing."""

import cv2
import numpy as np
import pytest

from ftu.datasets.synthetic.cells import MEMBRANE, MITOCHONDRION, PERIOD, VESICLE, draw

CLASSES = MEMBRANE, MITOCHONDRION, VESICLE


def drawn(slices: int = PERIOD + 1, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return draw(slices, height=96, width=128, rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def volume() -> tuple[np.ndarray, np.ndarray]:
    return drawn()


def iou(guess: np.ndarray, mask: np.ndarray) -> float:
    return (guess & mask).sum() / (guess | mask).sum()


def overlap(masks: np.ndarray, label: int, apart: int) -> float:
    """The mean IoU of a class in slices so far from each other."""
    each = masks == label
    return float(np.mean([iou(one, other) for one, other in zip(each[:-apart], each[apart:], strict=True)]))


def test_slices_and_masks_of_the_size_asked_for(volume):
    for array in volume:
        assert (array.shape, array.dtype) == ((PERIOD + 1, 96, 128), np.uint8)
    assert set(np.unique(volume[1])) == {0, *CLASSES}


def test_the_seed_fixes_every_byte():
    first, again, other = (drawn(2, seed=seed) for seed in (3, 3, 4))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.tobytes() == same.tobytes()
        assert one.tobytes() != different.tobytes()


@pytest.mark.parametrize("label", [MEMBRANE, MITOCHONDRION])
def test_a_slice_continues_the_one_before(volume, label):
    assert overlap(volume[1], label, 1) > 0.4
    assert overlap(volume[1], label, 1) > 2 * overlap(volume[1], label, PERIOD - 1)


def test_a_slice_between_two_layers_of_boutons_has_no_vesicle(volume):
    there = (volume[1] == VESICLE).any(axis=(1, 2))
    assert not there[0]
    assert not there[PERIOD]
    assert there[PERIOD // 2]


def test_one_slice_is_a_volume_too():
    image, mask = drawn(1)
    assert image.shape == mask.shape == (1, 96, 128)
    assert set(np.unique(mask)) == {0, MEMBRANE, MITOCHONDRION}


def test_every_class_is_a_minor_share(volume):
    shares = [(volume[1] == label).mean() for label in CLASSES]
    assert min(shares) > 0.01
    assert max(shares) < 0.35


def test_a_threshold_on_grey_scores_low(volume):
    for label in CLASSES:
        dark = [cv2.threshold(image, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1] for image in volume[0]]
        assert iou(np.array(dark) > 0, volume[1] == label) < 0.45


def test_the_nearest_mean_grey_of_a_class_scores_low(volume):
    images, masks = volume
    means = [images[masks == label].mean() for label in (0, *CLASSES)]
    guess = np.abs(images[..., None] - means).argmin(axis=-1)
    assert np.mean([iou(guess == label, masks == label) for label in CLASSES]) < 0.35
