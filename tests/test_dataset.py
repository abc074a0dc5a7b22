"""Laws of the samples: the same for any number of loader workers, new in every epoch; tensors pinned."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu import images
from ftu.augment import strict_augmentation
from ftu.dataset import EpochSampler, Samples, batches
from ftu.errors import InputError
from ftu.standardize import MEAN, STD, image_tensor

SIZE, COUNT = 32, 6
IDS = [f"{number:05}" for number in range(COUNT)]
AUGMENT = {
    "flip": 0.5,
    "crop": 0.5,
    "crop_scale": 0.5,
    "rotate": 0.5,
    "rotate_degrees": 45,
    "rotate_scale": [0.5, 2.0],
    "contrast": 0.5,
    "contrast_limit": 0.4,
    "hue": 0.5,
    "hue_limit": 0.4,
    "noise": 0.5,
    "noise_std": [0.02, 0.1],
    "elastic": 0.5,
    "grid": 0.5,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """COUNT copies of one image and mask, so that samples can differ by augmentation alone."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:20, 8:16] = 1
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in IDS:
        images.write_rgb(folder / "images" / f"{name}.png", image)
        images.write_mask(folder / "masks" / f"{name}.png", mask)
    return folder


def samples(folder, seed=0, augment=True):
    augmentation = strict_augmentation(SIZE, **AUGMENT) if augment else None
    return Samples(IDS, folder / "images", folder / "masks", augmentation, seed)


def passes(folder, *, workers, epochs=2, seed=0):
    """Every batch of every epoch: images and masks of all samples in their order, an array per epoch."""
    loader = batches(samples(folder, seed), batch_size=2, shuffle=True, workers=workers)
    result = []
    for epoch in range(epochs):
        loader.sampler.epoch = epoch  # pyright: ignore[reportAttributeAccessIssue]
        result.append(torch.cat([torch.cat([image, mask], dim=1) for image, mask in loader]).numpy())
    return result


@pytest.fixture(scope="module")
def alone(folder):
    return passes(folder, workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(folder, alone, workers):
    for given_, expected in zip(passes(folder, workers=workers), alone, strict=True):
        np.testing.assert_array_equal(given_, expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pass_leaves_the_random_numbers_of_the_training_alone(folder, workers):
    before = torch.get_rng_state()
    passes(folder, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


def test_all_samples_of_all_epochs_are_distinct(alone):
    drawn = [sample.tobytes() for epoch in alone for sample in epoch]
    assert len(drawn) == 2 * COUNT
    assert len(set(drawn)) == len(drawn)


def test_another_seed_draws_other_samples(folder, alone):
    (other,) = passes(folder, workers=0, epochs=1, seed=1)
    assert not {sample.tobytes() for sample in other} & {sample.tobytes() for sample in alone[0]}


@settings(max_examples=50)
@given(st.integers(0, 50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_the_order_is_a_permutation_that_seed_and_epoch_decide(length, seed, epoch, other):
    def order(epoch, visited=()):
        sampler = EpochSampler(length, seed=seed, shuffle=True)
        for earlier in visited:
            sampler.epoch = earlier
            list(sampler)
        sampler.epoch = epoch
        return list(sampler)

    assert sorted(order(epoch)) == [(epoch, index) for index in range(length)]
    assert order(epoch) == order(epoch, visited=(other, 0))


def test_another_epoch_or_seed_is_another_order():
    orders = set()
    for seed in range(3):
        sampler = EpochSampler(50, seed=seed, shuffle=True)
        for epoch in range(3):
            sampler.epoch = epoch
            orders.add(tuple(index for _, index in sampler))
    assert len(orders) == 9


def test_without_shuffling_the_order_is_that_of_the_ids():
    sampler = EpochSampler(3, seed=0, shuffle=False)
    assert (len(sampler), list(sampler)) == (3, [(0, 0), (0, 1), (0, 2)])


@pytest.mark.parametrize(
    ("batch_size", "shuffle", "sizes"),
    [(4, True, [4]), (4, False, [4, 2]), (3, True, [3, 3]), (9, True, [6]), (9, False, [6])],
)
def test_shuffled_batches_are_full_ones(folder, batch_size, shuffle, sizes):
    loader = batches(samples(folder), batch_size=batch_size, shuffle=shuffle, workers=0)
    assert [len(image) for image, _ in loader] == sizes
    assert len(loader) == len(sizes)


def test_a_sample_without_augmentation_is_what_lies_on_disk(folder):
    image, mask = samples(folder, augment=False)[5, 2]
    on_disk = images.read_rgb(folder / "images" / f"{IDS[2]}.png")
    torch.testing.assert_close(image, image_tensor(on_disk), rtol=0, atol=0)
    assert (image.shape, image.dtype) == ((3, SIZE, SIZE), torch.float32)
    assert (mask.shape, mask.dtype) == ((1, SIZE, SIZE), torch.float32)
    assert mask.sum() == 16 * 8
    assert mask[0, 4:20, 8:16].all()


def test_masks_stay_binary(alone):
    for epoch in alone:
        assert set(np.unique(epoch[:, 3])) == {0, 1}


def test_a_missing_image_is_named(folder):
    with pytest.raises(InputError, match=r"absent\.png"):
        Samples(["absent"], folder / "images", folder / "masks", None, 0)[0, 0]


@given(arrays(np.uint8, (3, 5, 3)))
def test_standardisation_is_undone_by_hand(image):
    tensor = image_tensor(image)
    assert (tensor.shape, tensor.dtype) == ((3, 3, 5), torch.float32)
    back = (tensor.numpy().transpose(1, 2, 0) * STD + MEAN) * 255
    np.testing.assert_array_equal(np.rint(back).astype(np.uint8), image)


def test_standardisation_is_imagenets():
    shades = (np.full((1, 1, 3), value, np.uint8) for value in (0, 255))
    black, white = (image_tensor(shade).flatten().tolist() for shade in shades)
    assert black == pytest.approx([-2.117904, -2.035714, -1.804444], abs=1e-6)
    assert white == pytest.approx([2.248908, 2.428571, 2.640000], abs=1e-6)


def test_other_statistics_may_be_asked_for():
    tensor = image_tensor(np.full((1, 1, 3), 51, np.uint8), (0.0, 0.1, 0.2), (1.0, 0.5, 2.0))
    assert tensor.flatten().tolist() == pytest.approx([0.2, 0.2, 0.0])
