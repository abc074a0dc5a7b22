"""Laws of views: their mean in probability and float32, each turned back, the same alone and together."""

import numpy as np
import pytest
import torch
import ttach
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ftu.errors import InputError
from ftu.networks.common.contract import Encoder, Probabilities
from ftu.networks.common.standardize import MEAN, STD, image_batch, image_tensor
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.prediction import views
from ftu.prediction.predictor import Predictor, resize, scaled_size
from ftu.prediction.views import VIEWS

SCALES = [0.5, 1.0, 1.5]
COUNTS = {"none": 1, "flips": 3, "d4": 8, "flips_scales": 9, "d4_scales": 24}


def drawn(seed, *, count=2, height=32, width=32):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def maps(network, pixels, *names, batch_size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    """(C, N, h, w) of windows (C, h, w, 3)."""
    sets = {name: views.groups(name, SCALES) for name in names}
    how = {"batch_size": batch_size, "mean": mean, "std": std, "device": torch.device("cpu")}
    (result,) = Predictor(network, sets, **how).run([pixels])
    return result


class Types(nn.Module):
    """What a convolution in it computes in; its answer says by how much two pixels differ, in full."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.seen = set()

    def forward(self, images):
        found = self.conv(images)
        self.seen.add(found.dtype)
        return found.float().sigmoid()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_network_computes_in_the_precision_asked_for_and_the_means_in_float32(precision, dtype):
    torch.manual_seed(0)
    network, pixels = Types(), drawn(1)
    how = {"batch_size": 4, "mean": (0.0,) * 3, "std": (1.0,) * 3, "device": torch.device("cpu")}
    sets = {"d4": views.groups("d4", [])}
    (lower,) = Predictor(network, sets, **how, precision=precision).run([pixels])
    assert network.seen == {dtype}
    assert lower.dtype == np.float32
    (full,) = Predictor(network, sets, **how).run([pixels])
    assert np.abs(lower - full).max() <= (2e-3 if precision == "bf16" else 0)
    assert (lower != full).any() == (precision == "bf16")


class Grey(nn.Module):
    """A network of single pixels: it turns and flips with its image."""

    def forward(self, images):
        return images.mean(dim=1, keepdim=True)


class Spy(Grey):
    """Records the images that it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.extend(images)
        return super().forward(images)


class Corner(nn.Module):
    """A network that knows left from right and top from bottom: 1 in the upper left pixel, else 0."""

    def forward(self, images):
        answer = torch.zeros_like(images[:, :1])
        answer[..., 0, 0] = 1
        return answer


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
@given(seed=st.integers(0, 999), height=st.integers(1, 8), width=st.integers(1, 8))
def test_views_of_an_equivariant_network_agree(tta, seed, height, width):
    pixels = drawn(seed, height=height, width=width)
    expected = pixels.mean(axis=3) / 255
    np.testing.assert_allclose(maps(Grey(), pixels, tta)[:, 0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tta", ["flips_scales", "d4_scales"])
def test_scaled_views_of_a_smooth_image_agree(tta):
    ramp = np.tile(np.linspace(20, 230, 64).astype(np.uint8), (64, 1))[None, ..., None].repeat(3, axis=3)
    np.testing.assert_allclose(maps(Grey(), ramp, tta)[:, 0], ramp[..., 0] / 255, rtol=0, atol=0.02)
    flat = np.full((1, 64, 96, 3), 77, np.uint8)
    np.testing.assert_allclose(maps(Grey(), flat, tta), 77 / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("tta", "count"), COUNTS.items())
def test_the_number_of_views(tta, count):
    spy = Spy()
    maps(spy, drawn(0, count=1, height=64, width=64), tta)
    assert len({view.contiguous().numpy().tobytes() for view in spy.seen}) == len(spy.seen) == count
    assert set(VIEWS) == set(COUNTS)


def test_flips_are_the_image_its_left_right_and_its_upside_down():
    spy, pixels = Spy(), drawn(0, count=1)
    maps(spy, pixels, "flips")
    image = image_tensor(pixels[0], (0, 0, 0), (1, 1, 1))
    for view, expected in zip(spy.seen, (image, image.flip(2), image.flip(1)), strict=True):
        assert torch.equal(view, expected)


@pytest.mark.parametrize(
    ("tta", "expected"),
    [
        ("none", [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("flips", [[1 / 3, 0, 1 / 3], [0, 0, 0], [1 / 3, 0, 0]]),
        ("d4", [[1 / 4, 0, 1 / 4], [0, 0, 0], [1 / 4, 0, 1 / 4]]),
    ],
)
def test_a_view_is_turned_back_before_the_mean(tta, expected):
    given_ = maps(Corner(), drawn(0, count=1, height=3, width=3), tta)[0, 0]
    np.testing.assert_allclose(given_, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"), [((128, 96), (96, 64)), ((20, 400), (32, 288)), ((32, 32), (32, 32))]
)
def test_a_scaled_window_is_a_multiple_of_the_stride(size, expected):
    assert scaled_size(size, 0.7) == expected
    assert scaled_size(size, 1.0) == size


def test_shrinking_averages_and_growing_is_bilinear():
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    tent = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8  # half as many pixels, each with a footprint twice as wide
    footprints = nn.functional.conv2d(image[..., 1:, 1:], (tent[:, None] * tent)[None, None], stride=2)
    torch.testing.assert_close(resize(image, (32, 32))[..., 1:31, 1:31], footprints[..., :30, :30])
    grown = nn.functional.interpolate(image, (96, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(image, (96, 96)), grown)
    assert resize(image, (64, 64)) is image


class Alone(nn.Module):
    """An encoder's network whose maps are the images."""

    def forward(self, images):
        return images


class Segments(nn.Module):
    """Stands for a segmenter: its logits, in half precision, are 4 in the left column and -1 elsewhere."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.head = Encoder(Alone(), [3] * 4), nn.Identity(), self.logits

    @staticmethod
    def logits(images):
        answer = torch.full_like(images[:, :1], -1, dtype=torch.float16)
        answer[..., 0] = 4
        return answer


def test_the_mean_is_of_probabilities_in_float32_not_of_logits():
    high, low = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(1))
    expected = [(2 * high + low) / 3, low, (high + 2 * low) / 3]  # the left column, the middle, the right one
    network = Probabilities(Segments())  # pyright: ignore[reportArgumentType]
    given_ = maps(network, drawn(0, count=1, height=3, width=3), "flips")[0, 0]
    assert given_.dtype == np.float32
    np.testing.assert_allclose(given_, [expected] * 3, rtol=1e-6)


@given(seed=st.integers(0, 99), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_batch_is_standardised_as_one_image_is(seed, height, width):
    pixels = drawn(seed, height=height, width=width)
    expected = torch.stack([image_tensor(image, MEAN, STD) for image in pixels])
    assert torch.equal(image_batch(torch.from_numpy(pixels), MEAN, STD), expected)


# ------------------------------------------------------------------ a real network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Probabilities(
        build_segmenter(encoder="resnet18", decoder="unet", width=16, fuse="conv1x1", size=64)
    ).eval()


def test_the_mean_of_d4_is_that_of_ttachs_own_wrapper(network):
    pixels = drawn(1, height=64, width=96)
    peer = ttach.SegmentationTTAWrapper(network, ttach.aliases.d4_transform(), merge_mode="mean")
    with torch.inference_mode():
        expected = peer(image_batch(torch.from_numpy(pixels), MEAN, STD))[:, 0].numpy()
    given_ = maps(network, pixels, "d4", mean=MEAN, std=STD)[:, 0]
    np.testing.assert_allclose(given_, expected, rtol=0, atol=1e-6)
    assert not np.allclose(given_, maps(network, pixels, "none", mean=MEAN, std=STD)[:, 0], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_set_is_the_same_to_the_bit_alone_and_beside_others(network, batch_size):
    pixels = drawn(2, height=64, width=64)
    together = maps(network, pixels, *COUNTS, batch_size=batch_size)
    for number, tta in enumerate(COUNTS):
        alone = maps(network, pixels, tta, batch_size=batch_size)[:, 0]
        np.testing.assert_array_equal(alone, together[:, number])


def test_each_view_is_computed_once_for_all_sets():
    spy = Spy()
    maps(spy, drawn(0, count=1, height=64, width=64), *COUNTS)
    assert len(spy.seen) == COUNTS["d4_scales"]


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([0.8, 0.8], "names a factor twice"),
        ([1.0], "no factor besides 1, so that d4_scales would be d4; add one, or use that"),
    ],
)
def test_odd_scales_are_refused_where_they_are_used(scales, message):
    with pytest.raises(InputError, match=rf"predict\.scales: .*{message}"):
        views.groups("d4_scales", scales)
    assert len(views.groups("d4", scales)) == 4


def test_a_gpu_without_room_names_the_parameters():
    class Full(nn.Module):
        def forward(self, _):
            raise torch.OutOfMemoryError("full")

    with pytest.raises(
        InputError, match=r"predict\.batch_size: .* 2 windows of 32 x 32 px .* use a smaller one"
    ):
        maps(Full(), drawn(0), "none")


@given(order=st.permutations([0.75, 1.5, 1.25, 1.0]))
def test_views_come_in_one_order_whatever_the_order_of_the_scales(order):
    found = [group.scale for group in views.groups("flips_scales", order)]
    assert found == [0.75, 0.75, 1.0, 1.0, 1.25, 1.25, 1.5, 1.5]
