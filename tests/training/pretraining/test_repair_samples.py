"""Laws of the samples to be repaired: what the target is, what is seeded by what, whose masks count."""

import numpy as np
import pytest
import torch

from augmented import PLAIN
from ftu.files import png
from ftu.networks.common.contract import Segmentation
from ftu.training.augmentation.compose import strict_augmentation
from ftu.training.losses.terms import loss_terms, total_loss
from ftu.training.pretraining import steps
from ftu.training.pretraining.corruptions import CORRUPTIONS
from ftu.training.pretraining.samples import RepairSamples

SIDE = 32
OFF = PLAIN | {
    "crop": 0.0, "crop_scale": 0.5, "scale_window": [1.0, 1.0], "rotate": 0.0, "rotate_degrees": 45,
    "rotate_scale": [0.5, 2.0], "distort": 0.0, "colour": "multiplicative", "colour_picks": 1,
    "contrast": 0.0, "contrast_limit": 0.3, "hue": 0.0, "hue_limit": 0.0, "noise": 0.0, "noise_limit": 0.1,
    "noise_std": [0.02, 0.1], "stain": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part in ("train", "test", "masks"):
        (folder / part).mkdir()
    for name in ("a", "b"):
        for part in ("train", "test"):
            image = rng.integers(1, 255, (SIDE, SIDE, 3), dtype=np.uint8)
            png.write_image(folder / part / f"{name}.png", image)
        png.write_mask(folder / "masks" / f"{name}.png", np.eye(SIDE, dtype=np.uint8))
    return folder


def samples(folder, corrupt="cutout", seed=0, ids=("train/a", "train/b", "test/a")):
    augment = strict_augmentation(SIDE, windows=False, channels=3, **OFF | {"flip": 0.5})
    how: dict = {"cache": False, "mean": [0.0] * 3, "std": [1.0] * 3}
    how |= {"as_is": augment, "corrupt": corrupt}
    return RepairSamples(folder, folder / "masks", ids, SIDE, augment, seed, **how)


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_the_target_is_the_image_after_augmentation_and_before_corruption(folder, corrupt):
    made, plain = samples(folder, corrupt), samples(folder, "none")
    for key in ((0, 0), (0, 2), (5, 1)):
        shown, mask, index, clean = made[key]
        untouched, same_mask, same_index, target = plain[key]
        assert torch.equal(clean, target)
        assert torch.equal(untouched, target)
        assert not torch.equal(shown, target)
        assert (clean.dtype, clean.shape, float(clean.max()) <= 1) == (torch.float32, (3, SIDE, SIDE), True)
        assert torch.equal(mask, same_mask)
        assert index == same_index


def test_augmentation_moves_the_target(folder):
    plain = samples(folder, "none")
    targets = {plain[epoch, 0][3].numpy().tobytes() for epoch in range(12)}
    assert len(targets) > 4


def test_another_seed_epoch_or_image_is_another_corruption(folder):
    def boxes(made, key):
        shown, _, _, clean = made[key]
        return (shown != clean).numpy().tobytes()

    found = [boxes(samples(folder, seed=seed), key) for seed in (0, 1) for key in ((0, 0), (1, 0), (0, 1))]
    assert len(set(found)) == len(found)
    assert found[0] == boxes(samples(folder), (0, 0))


def test_of_test_images_no_mask_is_read_and_none_counts(folder):
    made = samples(folder)
    assert made.importance is not None
    assert made.importance.tolist() == [1, 1, 0]
    assert made[0, 2][1].sum() == 0
    assert made[0, 0][1].sum() == SIDE
    assert {path.parent.name for path in made.files()} == {"train", "test", "masks"}
    assert folder / "masks" / "a.png" in made.files()
    assert len(made.files()) == 5
    assert samples(folder, ids=("train/a",)).importance is None


def test_test_images_are_augmented_as_they_are(folder):
    """Their grey levels are the target's already."""
    bright = np.zeros((3, 256))
    bright[:, 250:] = 1 / 6
    how = {"side": SIDE, "mode": "fixed", "channels": 3, "mean": [0.0] * 3, "std": [1.0] * 3, "cache": False}
    augment = {**OFF, "flip": 0.5, "colour_picks": 0, "levels": bright}
    made = steps.samples(
        folder, folder / "masks", ["train/a", "test/a"], augment=augment,
        seed=0, crops=1, corrupt="none", match=1.0, **how,
    )  # fmt: skip
    assert made[0, 0][3].min() >= 250 / 255
    assert made[0, 1][3].min() < 0.5


def test_a_fold_shows_what_use_names():
    assert steps.shown(["train"], ["a"], ["b"]) == ["train/a"]
    assert steps.shown(["test", "train"], ["a"], ["b"]) == ["train/a", "test/b"]


# ------------------------------------------------------------------ the loss


def drawn(logits, reconstruction=None):
    return Segmentation(logits, [logits] * 4, reconstruction)


def test_unlabelled_images_count_nothing_and_the_batch_is_divided_by_all():
    logits, masks = torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1), torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)
    both = loss_terms(drawn(logits), masks, {"bce": 1.0})
    one = loss_terms(drawn(logits), masks, {"bce": 1.0}, importance=torch.tensor([1.0, 0.0]))
    assert both["bce"].item() == pytest.approx(1.410038, abs=1e-6)
    assert one["bce"].item() == pytest.approx(0.346574, abs=1e-6)


def test_the_y_nets_loss_is_weighed_as_in_the_paper():
    terms = {"reconstruct": torch.tensor(0.04), "bce": torch.tensor(0.70)}
    weights = steps.weights(
        {"reconstruct": 0.98, "main": 0.02}, {"bce": 1.0, "dice": 0.0, "focal": 0.0, "lovasz": 0.0}
    )
    assert total_loss(terms, weights).item() == pytest.approx(0.0532, abs=1e-7)


def test_main_is_the_loss_of_training_times_its_weight():
    loss = {"bce": 1.0, "dice": 0.5, "focal": 0.0, "lovasz": 0.0}
    assert steps.weights({"main": 2.0, "aux_2": 0.2}, loss) == {"bce": 2.0, "dice": 1.0, "aux_2": 0.2}
    assert steps.weights({"reconstruct": 1.0, "main": 0.0}, loss) == {"reconstruct": 1.0}


def test_an_image_comes_from_the_decoder_for_images_or_else_from_the_logits():
    logits, clean = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    masks = torch.zeros(1, 1, 2, 2)
    head = loss_terms(drawn(logits), masks, {"reconstruct": 1.0}, clean=clean)
    own = loss_terms(
        drawn(logits, reconstruction=torch.full((1, 3, 2, 2), 3.0)), masks, {"reconstruct": 1.0}, clean=clean
    )
    assert list(head) == list(own) == ["reconstruct"]
    assert head["reconstruct"].item() == 0.25  # the sigmoid of 0 is a half
    assert own["reconstruct"].item() == 4.0  # and this decoder has no bounds
