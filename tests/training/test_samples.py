"""Laws of the samples: the same for any number of loader workers and processes, new in every epoch; tensors
pinned."""

from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import toy
from augmented import PLAIN
from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common.standardize import MEAN, STD, image_tensor
from ftu.preprocessing import stain
from ftu.training.augmentation.compose import strict_augmentation
from ftu.training.fold import even_shares
from ftu.training.samples import Samples, TrainBatches, ValidBatches, batches, loader

SIZE, COUNT = 32, 6
IDS = [f"{number:05}" for number in range(COUNT)]
AUGMENT = PLAIN | {
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
    "distort": 0.5,
    "scale_window": [1.0, 1.0],
    "colour": "multiplicative",
    "colour_picks": 2,
    "noise_limit": 0.1,
    "stain": 0.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """COUNT copies of one image and mask, so that samples can differ by augmentation alone."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    dyes = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    density = rng.gamma(2.0, 0.3, (SIZE, SIZE, 2)) @ dyes
    image = np.rint(255 * np.exp(-density)).astype(np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:20, 8:16] = 1
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in IDS:
        png.write_image(folder / "images" / f"{name}.png", image)
        png.write_mask(folder / "masks" / f"{name}.png", mask)
    return folder


def samples(folder, seed=0, *, augment=True, cache=False):
    augmentation = strict_augmentation(SIZE, windows=False, **AUGMENT) if augment else None
    return Samples(folder / "images", folder / "masks", IDS, SIZE, augmentation, seed, cache=cache)


def train_batches(length, *, batch_size, accumulate=1, seed=0, rank=0, processes=1, epoch=0):
    made = TrainBatches(
        length, batch_size=batch_size, accumulate=accumulate, seed=seed, rank=rank, processes=processes
    )
    made.epoch = epoch
    return made


def passes(folder, *, workers, epochs=2, seed=0, cache=False):
    """Every batch of every epoch: images and masks of all samples in their order, an array per epoch."""
    steps = train_batches(COUNT, batch_size=2, seed=seed)
    made = loader(samples(folder, seed, cache=cache), steps, workers, pin=False)
    result = []
    for epoch in range(epochs):
        steps.epoch = epoch
        result.append(torch.cat([torch.cat([image, mask], dim=1) for image, mask, _ in made]).numpy())
    return result


@pytest.fixture(scope="module")
def alone(folder):
    return passes(folder, workers=0)


# ------------------------------------------------------------------ what decides a sample


@pytest.mark.parametrize(("workers", "cache"), [(0, True), (1, False), (1, True), (2, False), (2, True)])
def test_the_number_of_workers_and_the_cache_change_nothing(folder, alone, workers, cache):
    for given_, expected in zip(passes(folder, workers=workers, cache=cache), alone, strict=True):
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


# ------------------------------------------------------------------ order


@settings(max_examples=50)
@given(st.integers(0, 50), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_the_order_is_a_permutation_that_seed_and_epoch_decide(length, seed, epoch, other):
    def order(epoch, visited=()):
        made = train_batches(length, batch_size=1, seed=seed)
        for earlier in visited:
            made.epoch = earlier
            list(made)
        made.epoch = epoch
        return list(chain(*made))

    assert sorted(order(epoch)) == [(epoch, index, 0) for index in range(length)]
    assert order(epoch) == order(epoch, visited=(other, 0))


def test_another_epoch_or_seed_is_another_order():
    orders = {
        tuple(index for _, index, _ in chain(*train_batches(50, batch_size=5, seed=seed, epoch=epoch)))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


@settings(max_examples=200)
@given(
    length=st.integers(0, 60),
    share=st.integers(1, 3),
    accumulate=st.integers(1, 4),
    processes=st.integers(1, 4),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
def test_a_step_is_made_of_the_same_images_for_any_number_of_rounds_and_processes(
    length, share, accumulate, processes, seed, epoch
):
    how = {"batch_size": share * accumulate * processes, "seed": seed, "epoch": epoch}
    alone = [set(batch) for batch in train_batches(length, **how)]
    ranks = [
        train_batches(length, **how, accumulate=accumulate, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    rounds = [list(rank) for rank in ranks]
    assert {len(rank) for rank in ranks} == {len(given_) for given_ in rounds} == {len(alone) * accumulate}
    assert all(len(batch) == share for given_ in rounds for batch in given_)
    dealt = [
        set(chain(*(batch for given_ in rounds for batch in given_[start : start + accumulate])))
        for start in range(0, len(alone) * accumulate, accumulate)
    ]
    assert dealt == alone


@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 9))
def test_every_epoch_takes_as_many_whole_steps_of_distinct_images_as_there_are(length, batch_size, epoch):
    drawn = list(chain(*train_batches(length, batch_size=batch_size, epoch=epoch)))
    assert len(drawn) == len(set(drawn)) == length - length % batch_size
    assert set(drawn) <= {(epoch, index, 0) for index in range(length)}


def test_the_images_that_one_epoch_leaves_out_are_in_another():
    drawn = [
        {index for _, index, _ in chain(*train_batches(5, batch_size=4, epoch=epoch))} for epoch in range(50)
    ]
    assert [len(each) for each in drawn] == [4] * 50
    assert set.intersection(*drawn) == set()


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 5))
def test_validation_sees_every_image_once_over_all_processes(length, batch_size, processes):
    seen = []
    for rank in range(processes):
        made = ValidBatches(length, batch_size=batch_size, rank=rank, processes=processes)
        parts = list(made)
        assert len(made) == len(parts)
        assert all(len(part) == batch_size for part in parts[:-1])
        assert all(1 <= len(part) <= batch_size for part in parts[-1:])
        seen += chain(*parts)
    assert sorted(seen) == [(0, index) for index in range(length)]


def test_validation_is_in_the_order_of_the_ids():
    alone, second = (
        list(ValidBatches(5, batch_size=2, rank=rank, processes=processes))
        for rank, processes in ((0, 1), (1, 2))
    )
    assert alone == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]]
    assert second == [[(0, 1), (0, 3)]]


# ------------------------------------------------------------------ loaders


def loaders(folder, **sizes):
    how = {"accumulate": 1, "valid_batch_size": 4, "workers": 0} | sizes
    return batches(samples(folder), samples(folder, augment=False), toy.cpu(), **how)


@pytest.mark.parametrize(
    ("sizes", "train", "valid"),
    [
        ({"batch_size": 4}, [4], [4, 2]),
        ({"batch_size": 3, "valid_batch_size": 9}, [3, 3], [6]),
        ({"batch_size": 4, "accumulate": 2, "valid_batch_size": 1}, [2, 2], [1] * 6),
        ({"batch_size": 6, "accumulate": 6, "valid_batch_size": 3}, [1] * 6, [3, 3]),
    ],
)
def test_batches_to_train_with_are_full_ones(folder, sizes, train, valid):
    for made, expected in zip(loaders(folder, **sizes), (train, valid), strict=True):
        assert [len(image) for image, _, _ in made] == expected
        assert len(made) == len(expected)


def test_a_batch_says_which_images_it_holds(folder):
    for made in loaders(folder, batch_size=2):
        numbers = torch.cat([indices for _, _, indices in made]).tolist()
        assert sorted(numbers) == list(range(COUNT))


@pytest.mark.parametrize("batch_size", [COUNT + 1, 100])
def test_a_step_of_more_images_than_there_are_is_refused_with_both_numbers(folder, batch_size):
    message = rf"train\.batch_size: a step of {batch_size} images .* the {COUNT} training images"
    with pytest.raises(InputError, match=message):
        loaders(folder, batch_size=batch_size)


def test_a_step_may_take_every_image(folder):
    assert len(loaders(folder, batch_size=COUNT)[0]) == 1


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_memory_is_pinned_for_a_gpu_alone(folder, device, pinned):
    there: Any = SimpleNamespace(device=torch.device(device), process_index=0, num_processes=1)
    how = {"batch_size": 2, "accumulate": 1, "valid_batch_size": 4, "workers": 0}
    for made in batches(samples(folder), samples(folder, augment=False), there, **how):
        assert made.pin_memory is pinned


# ------------------------------------------------------------------ files and tensors


@pytest.mark.parametrize("cache", [True, False])
def test_the_files_of_the_samples_are_the_images_and_masks_of_its_ids(folder, cache):
    files = samples(folder, cache=cache).files()
    assert all(path.is_file() for path in files)
    assert sorted(files) == sorted(
        folder / part / f"{name}.png" for name in IDS for part in ("images", "masks")
    )


def test_a_cache_reads_every_file_once_and_before_the_first_sample(folder, monkeypatch):
    read, original = [], png.read_image
    monkeypatch.setattr(png, "read_image", lambda path: read.append(path.stem) or original(path))
    made = samples(folder, cache=True)
    assert read == IDS
    for epoch in range(2):
        made[epoch, 0]
    assert read == IDS


def test_a_sample_without_augmentation_is_what_lies_on_disk(folder):
    image, mask, index = samples(folder, augment=False)[5, 2]
    assert index == 2
    on_disk = png.read_image(folder / "images" / f"{IDS[2]}.png")
    torch.testing.assert_close(image, image_tensor(on_disk), rtol=0, atol=0)
    assert (image.shape, image.dtype) == ((3, SIZE, SIZE), torch.float32)
    assert (mask.shape, mask.dtype) == ((1, SIZE, SIZE), torch.float32)
    assert mask.sum() == 16 * 8
    assert mask[0, 4:20, 8:16].all()


def test_a_sample_is_standardised_as_asked(folder):
    mean, std = (0.0, 0.1, 0.2), (1.0, 0.5, 2.0)
    made = Samples(folder / "images", folder / "masks", IDS, SIZE, None, 0, cache=False, mean=mean, std=std)
    on_disk = png.read_image(folder / "images" / f"{IDS[2]}.png")
    torch.testing.assert_close(made[0, 2][0], image_tensor(on_disk, mean, std), rtol=0, atol=0)


def test_masks_stay_binary(alone):
    for epoch in alone:
        assert set(np.unique(epoch[:, 3])) == {0, 1}


@pytest.mark.parametrize("cache", [True, False])
def test_a_missing_image_is_named(folder, cache):
    with pytest.raises(InputError, match=r"absent\.png"):
        Samples(folder / "images", folder / "masks", ["absent"], SIZE, None, 0, cache=cache)[0, 0]


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


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(
    ("height", "width", "count"),
    [(SIZE, SIZE, 1), (SIZE - 5, 3, 1), (SIZE - 5, SIZE, 1), (SIZE, 3, 1), (SIZE + 1, 3 * SIZE, 6)],
)
def test_validation_sees_all_of_an_image_of_any_size(tmp_path, height, width, count, cache):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    mask = np.random.default_rng(0).integers(0, 2, (height, width), np.uint8)
    png.write_image(tmp_path / "images/a.png", np.repeat(mask[..., None] * 255, 3, axis=-1))
    png.write_mask(tmp_path / "masks/a.png", mask)
    whole = Samples(tmp_path / "images", tmp_path / "masks", ["a"], SIZE, None, 0, cache=cache)
    assert len(whole) == count
    seen = np.full((height, width), -1)
    for number, (_, top, left) in enumerate(whole.windows):
        image, window, index = whole[0, number]
        assert (index, image.shape[1:], window.shape[1:]) == (0, (SIZE, SIZE), (SIZE, SIZE))
        cut = mask[top : top + SIZE, left : left + SIZE]
        beyond = [(0, SIZE - length) for length in cut.shape]
        np.testing.assert_array_equal(window[0], np.pad(cut, beyond, mode="reflect"))
        assert ((image[0] > 0) == window[0]).all()
        part = seen[top : top + SIZE, left : left + SIZE]
        part[:] = window[0, : part.shape[0], : part.shape[1]].numpy()
    np.testing.assert_array_equal(seen, mask)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_even_shares_give_each_organ_as_much(organs):
    shares = even_shares({str(number): organ for number, organ in enumerate(organs)})
    sums = {
        organ: sum(shares[str(k)] for k, one in enumerate(organs) if one == organ) for organ in set(organs)
    }
    assert all(total == pytest.approx(1) for total in sums.values())


def test_images_are_drawn_as_often_as_their_shares_say():
    made = TrainBatches(
        4, batch_size=4, accumulate=1, seed=0, rank=0, processes=1, shares=np.array([1.0, 1.0, 2.0, 4.0])
    )
    drawn = []
    for epoch in range(500):
        made.epoch = epoch
        drawn += [index for batch in made for _, index, _ in batch]
    counts = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(counts, np.array([1, 1, 2, 4]) / 8, atol=0.035)


def test_each_draw_of_an_image_is_another_sample_of_it(folder):
    images, masks = folder / "images", folder / "masks"
    augment = strict_augmentation(SIZE, windows=False, **AUGMENT)
    shares = {name: 100.0 if name == IDS[0] else 1.0 for name in IDS}
    made = Samples(images, masks, IDS, SIZE, augment, 0, cache=True, shares=shares)
    settings = {"batch_size": COUNT, "accumulate": 1, "seed": 0, "rank": 0, "processes": 1}
    (keys,) = TrainBatches(COUNT, shares=made.shares, **settings)
    assert len(keys) == len(set(keys)) == COUNT
    assert len({key[1] for key in keys}) < COUNT
    assert len({made[key][0].numpy().tobytes() for key in keys}) == COUNT
    assert torch.equal(made[0, 0][0], made[0, 0, 0][0])  # the first draw is that of an order without shares


def test_draws_by_share_are_dealt_alike_to_any_number_of_processes():
    shares = np.array([1.0, 3.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0])
    settings = {"batch_size": 4, "seed": 5, "shares": shares}
    one = [sorted(batch) for batch in TrainBatches(8, accumulate=1, rank=0, processes=1, **settings)]
    two = [TrainBatches(8, accumulate=1, rank=rank, processes=2, **settings) for rank in (0, 1)]
    assert [sorted(first + second) for first, second in zip(*two, strict=True)] == one


@pytest.mark.parametrize("cache", [True, False])
def test_an_images_own_stains_are_learnt_once_and_given_to_its_augmentation(folder, cache):
    asked = []

    def augment(image, mask, seed, own=None):  # noqa: ARG001
        asked.append(own)
        return image, mask

    made = Samples(folder / "images", folder / "masks", IDS[:2], SIZE, augment, 0, cache=cache, stains=True)
    fits = [made.stains[0], made.stains[1]]
    for epoch in range(2):
        for index in range(2):
            made[epoch, index]
    assert [id(own) for own in asked] == [id(fit) for fit in fits * 2]
    image = png.read_image(folder / "images" / f"{IDS[0]}.png")
    assert fits[0] is not None
    np.testing.assert_array_equal(fits[0].matrix, stain.fit(image, seed=0).matrix)


@pytest.mark.parametrize("cache", [True, False])
def test_each_sample_is_of_its_own_file(tmp_path, cache):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number, name in enumerate(IDS):
        png.write_image(tmp_path / "images" / f"{name}.png", np.full((SIZE, SIZE, 3), 40 * number, np.uint8))
        png.write_mask(tmp_path / "masks" / f"{name}.png", np.full((SIZE, SIZE), number % 2, np.uint8))
    made = Samples(
        tmp_path / "images", tmp_path / "masks", IDS, SIZE, None, 0, cache=cache, mean=[0] * 3, std=[1] * 3
    )
    for number in range(COUNT):
        image, mask, index = made[0, number]
        assert (index, round(255 * float(image.mean())), float(mask.mean())) == (
            number,
            40 * number,
            number % 2,
        )
