"""Laws of training on several classes and on grey: losses, validation, networks, samples."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from augmented import PLAIN
from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common import build, contract, first_weights, standardize
from ftu.networks.common.contract import Probabilities, Segmentation, pad_to_stride
from ftu.networks.encoder_decoder.encoders import build_encoder
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.pipeline.params import load_params
from ftu.training import loop
from ftu.training.augmentation.compose import augmentation
from ftu.training.fold import statistics
from ftu.training.losses.terms import TERMS, aux_target, loss_terms, shares
from ftu.training.samples import Samples, TrainBatches
from imports import ROOT

seeds = st.integers(0, 2**16)
NETWORKS = [("tu-resnet10t", "unet"), ("tu-resnet10t", "deeplabv3plus"), ("coat_lite_tiny", "daformer")]


def drawn(seed, outputs=4, size=6):
    """Logits (2, K, 6, 7), and a mask of which the second image lacks the last class."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, outputs, size, size + 1, generator=generator)
    masks = torch.randint(0, outputs, (2, 1, size, size + 1), generator=generator).float()
    masks[1] = masks[1] % (outputs - 1)
    return logits, masks


@given(seed=seeds)
def test_the_terms_of_several_classes_are_those_of_their_papers(seed):
    logits, masks = drawn(seed)
    target, probability = masks[:, 0].long(), logits.softmax(1)
    own = probability.gather(1, target[:, None])[:, 0]  # of each pixel's class
    dice = []
    for image, truth in zip(probability, target, strict=True):
        for number in (1, 2, 3):
            there = (truth == number).float()
            overlap = 2 * (image[number] * there).sum() / (image[number].sum() + there.sum())
            dice.append((1 - overlap) * bool(there.any()))
    expected = {
        "bce": F.nll_loss(probability.log(), target),
        "focal": (-((1 - own) ** 2) * own.log()).mean(),
        "dice": torch.stack(dice).mean(),
        "lovasz": lovasz_softmax(probability, target),
    }
    terms = loss_terms(Segmentation(logits, [logits] * 4), masks, dict.fromkeys(TERMS, 1.0))
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=1e-5), name


def lovasz_softmax(probability, target):
    """By Algorithm 1 of Berman et al. 2018, image by image, over the classes that are there."""
    found = []
    for image, truth in zip(probability, target, strict=True):
        losses = []
        for number in truth.unique().tolist():
            there = (truth == number).float().ravel()
            errors, order = (there - image[number].ravel()).abs().sort(descending=True)
            there = there[order]
            jaccard = 1 - (there.sum() - there.cumsum(0)) / (there.sum() + (1 - there).cumsum(0))
            gain = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
            losses.append(errors @ gain)
        found.append(torch.stack(losses).mean())
    return torch.stack(found).mean()


def test_worked_values():
    even = torch.zeros(1, 4, 1, 1)
    truth = shares(torch.full((1, 1, 1, 1), 2.0), 4)
    assert TERMS["bce"](even, truth).item() == pytest.approx(1.386294, abs=1e-6)  # ln 4
    assert TERMS["focal"](even, truth).item() == pytest.approx(1.386294 * 0.75**2, abs=1e-6)
    assert truth.flatten().tolist() == [0, 0, 1, 0]


@given(seed=seeds)
def test_a_class_that_nobody_names_changes_no_gradient_of_the_others(seed):
    """Cross-entropy of two outputs is BCE of their difference."""
    logits, masks = drawn(seed, outputs=2)
    one = logits[:, 1:] - logits[:, :1]
    two, binary = TERMS["bce"](logits, shares(masks, 2)), TERMS["bce"](one, masks)
    assert two.item() == pytest.approx(binary.item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["exact", "area", "nearest"])
def test_an_auxiliary_target_of_classes_is_shares_that_sum_to_one(kind):
    _, masks = drawn(0, size=32)
    coarse = aux_target(shares(masks, 4), torch.Size([2, 4, 8, 8]), kind)
    assert coarse.shape == (2, 4, 8, 8)
    np.testing.assert_allclose(coarse.sum(1), 1.0, atol=1e-6)
    if kind != "area":
        assert set(coarse.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (1, 3), (3, 3)])
def test_every_network_takes_grey_and_gives_classes(encoder, decoder, channels, classes):
    torch.manual_seed(0)
    outputs = contract.outputs_of(classes)
    how = {"encoder": encoder, "decoder": decoder, "width": 8, "fuse": "conv1x1", "size": 64}
    network = build_segmenter(**how, channels=channels, outputs=outputs).eval()
    images = torch.randn(2, channels, 64, 64)
    logits, aux, *_ = network(images)
    assert logits.shape == (2, outputs, 64, 64)
    assert [each.shape[1] for each in aux] == [outputs] * 4
    found = Probabilities(network)(images)
    assert found.shape == (2, classes, 64, 64)
    if classes > 1:
        np.testing.assert_allclose(found.sum(1).detach(), 1 - logits.softmax(1)[:, 0].detach(), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "tu-resnet10t", "coat_lite_tiny", "tu-tf_efficientnet_lite0"])
def test_weights_of_colours_see_in_grey_what_they_saw_in_three_equal_channels(name, tmp_path):
    torch.manual_seed(0)
    colours, grey = build_encoder(name, 64, 32).eval(), build_encoder(name, 64, 32, inputs=1).eval()
    path = tmp_path / "weights.pth"
    torch.save(colours.net.state_dict(), path)
    first_weights.load_encoder_weights(grey, name, str(path))
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        pairs = zip(colours(image.expand(-1, 3, -1, -1)).maps[1:], grey(image).maps[1:], strict=True)
        for theirs, ours in pairs:
            np.testing.assert_allclose(ours, theirs, atol=2e-4 * max(1, float(theirs.abs().max())))


def test_grey_is_standardised_by_the_mean_of_the_three():
    three, one = (first_weights.statistics("resnet18", "imagenet", channels) for channels in (3, 1))
    for colours, grey in zip(three, one, strict=True):
        assert grey == [pytest.approx(np.mean(colours))]


class Given(torch.nn.Module):
    """A network whose logits are the images."""

    outputs = 4
    encoder = SimpleNamespace(pad=pad_to_stride)

    def forward(self, images):
        return Segmentation(images, [images] * 4)


def test_validation_is_the_mean_over_classes_of_dice_by_image():
    logits, masks = drawn(3)
    batches: Any = [(logits, masks, torch.tensor([0, 1]))]
    dealt: Any = type("Dealt", (list,), {"dataset": SimpleNamespace(ids=["a", "b"])})(batches)
    row = loop.validate(Given(), dealt, Accelerator(cpu=True), {"bce": 1.0})  # pyright: ignore[reportArgumentType]
    each = []
    for image, truth in zip(logits.argmax(1).numpy(), masks[:, 0].numpy(), strict=True):
        for number in (1, 2, 3):
            both = (image == number).sum() + (truth == number).sum()
            each.append(2 * ((image == number) & (truth == number)).sum() / both if both else 1.0)
    assert row["valid_dice"] == pytest.approx(np.mean(each))
    assert row["valid_main"] == pytest.approx(F.cross_entropy(logits, masks[:, 0].long()).item(), abs=1e-6)


AUGMENT: dict[str, Any] = PLAIN | {
    "flip": 0.5, "crop": 1.0, "crop_scale": 0.5, "scale_window": [0.8, 1.25], "rotate": 1.0,
    "rotate_degrees": 45, "rotate_scale": [0.7, 1.4], "distort": 1.0, "colour_picks": 3, "contrast": 1.0,
    "contrast_limit": 0.2, "hue": 0.0, "hue_limit": 0.1, "noise": 1.0, "noise_limit": 0.05,
    "noise_std": [0.02, 0.1],
}  # fmt: skip


@settings(max_examples=20)
@given(seed=seeds, colour=st.sampled_from(["additive", "multiplicative"]))
def test_augmented_grey_stays_grey_and_labels_stay_labels(seed, colour):
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 3, 6], np.uint8), (40, 52))
    image = rng.integers(0, 256, (40, 52, 1), np.uint8)
    augment = augmentation(32, windows=True, channels=1, **AUGMENT | {"colour": colour})
    shown, labels = augment(image, mask, seed)
    assert (shown.shape, shown.dtype, labels.shape) == ((32, 32, 1), np.uint8, (32, 32))
    assert set(np.unique(labels)) <= {0, 1, 3, 6}


@given(length=st.integers(1, 9), crops=st.integers(1, 5), epoch=st.integers(0, 3))
def test_an_epoch_shows_each_image_as_often_as_there_are_crops_each_time_another(length, crops, epoch):
    made = TrainBatches(length, batch_size=1, accumulate=1, seed=7, rank=0, processes=1, crops=crops)
    made.epoch = epoch
    keys = [tuple(key) for batch in made for key in batch]
    assert sorted(keys) == [(epoch, index, again) for index in range(length) for again in range(crops)]


def test_crops_of_one_image_are_other_windows_of_it(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    image = np.arange(64 * 48, dtype=np.uint32).reshape(64, 48, 1) % 251
    png.write_image(tmp_path / "images/a.png", image.astype(np.uint8))
    png.write_mask(tmp_path / "masks/a.png", (image[..., 0] % 4).astype(np.uint8), 3)
    never = dict.fromkeys(("flip", "crop", "rotate", "distort", "contrast", "noise", "colour_picks"), 0)
    alone: dict[str, Any] = AUGMENT | never | {"scale_window": [1, 1], "colour": "additive"}
    augment = augmentation(32, windows=True, channels=1, **alone)
    samples = Samples(tmp_path / "images", tmp_path / "masks", ["a"], 32, augment, 0, cache=True, crops=8,
                      mean=[0.0], std=[1.0])  # fmt: skip
    assert samples.drawn == 8
    shown = [samples[0, 0, again] for again in range(8)]
    assert len({each[0].numpy().tobytes() for each in shown}) == 8
    assert {each[0].shape for each in shown} == {(1, 32, 32)}
    for seen, mask, _ in shown:
        np.testing.assert_array_equal((seen[0] * 255).round() % 4 % 251, mask[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_statistics_of_a_data_set_are_those_of_all_its_pixels(tmp_path, channels):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 200 + number, (5 + number, 7, channels), np.uint8) for number in range(3)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        png.write_image(path, image)
    pixels = np.concatenate([image.reshape(-1, channels) for image in images]) / 255
    how = {"encoder": "resnet18", "weights": "none", "channels": channels, "images": paths}
    mean, std = statistics("dataset", **how)
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    np.testing.assert_allclose(std, pixels.std(axis=0))
    assert statistics("unit", **how) == ([0.0] * channels, [1.0] * channels)


def test_images_that_are_all_alike_have_no_statistics(tmp_path):
    png.write_image(tmp_path / "a.png", np.full((3, 4, 1), 7, np.uint8))
    with pytest.raises(InputError, match=r"all pixels of 1 images are alike \(.*a\.png"):
        standardize.of_files([tmp_path / "a.png"])


def test_what_the_competition_has_is_described_as_before_and_gives_the_bytes_it_gave():
    """Of RGB and one class model.json says nothing new, which the later stages read."""
    model = load_params(ROOT / "params.yaml").train.model.model_dump()
    assert build.described(model, size=256, channels=3, classes=1) == model | {"size": 256}
    for channels, classes, outputs in ((1, 1, 1), (3, 2, 3), (1, 3, 4)):
        described = build.described(model, size=256, channels=channels, classes=classes)
        assert described == model | {"size": 256, "channels": channels, "outputs": outputs}
