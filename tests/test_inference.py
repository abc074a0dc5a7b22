"""Laws of inference: views and their mean, in probability and float32; batches change nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ftu import images
from ftu.inference import VIEWS, predict, with_tta
from ftu.segmenter import Probabilities, build_segmenter
from ftu.standardize import MEAN, STD, image_tensor

SIZE = 64
COUNTS = {"none": 1, "flips": 3, "d4": 8}
FLIPS = (
    (slice(None), slice(None)),
    (slice(None), slice(None, None, -1)),
    (slice(None, None, -1), slice(None)),
)


def drawn(seed, *, count=2, size=6):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


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
        self.seen.append(images)
        return super().forward(images)


class Corner(nn.Module):
    """A network that knows left from right and top from bottom: 1 in the upper left pixel, else 0."""

    def forward(self, images):
        answer = torch.zeros_like(images[:, :1])
        answer[..., 0, 0] = 1
        return answer


@pytest.mark.parametrize("tta", VIEWS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), size=st.integers(1, 8))
def test_views_of_an_equivariant_network_agree(tta, seed, size):
    batch = drawn(seed, size=size)
    torch.testing.assert_close(with_tta(Grey(), tta)(batch), Grey()(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("tta", "count"), COUNTS.items())
def test_the_number_of_views(tta, count):
    spy = Spy()
    with_tta(spy, tta)(drawn(0))
    assert len({view.contiguous().numpy().tobytes() for view in spy.seen}) == len(spy.seen) == count


def test_flips_are_the_image_its_left_right_and_its_upside_down():
    spy, batch = Spy(), drawn(0)
    with_tta(spy, "flips")(batch)
    for view, expected in zip(spy.seen, (batch, batch.flip(3), batch.flip(2)), strict=True):
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
    given_ = with_tta(Corner(), tta)(drawn(0, count=1, size=3))[0, 0]
    np.testing.assert_allclose(given_.numpy(), expected, rtol=1e-6)


class Segments(nn.Module):
    """Stands for a segmenter: its logits, in half precision, are 4 in the left column and -1 elsewhere."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.head = nn.Identity(), nn.Identity(), self.logits

    @staticmethod
    def logits(images):
        answer = torch.full_like(images[:, :1], -1, dtype=torch.float16)
        answer[..., 0] = 4
        return answer


def test_the_mean_is_of_probabilities_in_float32_not_of_logits():
    model = with_tta(Probabilities(Segments()), "flips")  # pyright: ignore[reportArgumentType]
    high, low = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(1))
    expected = [(2 * high + low) / 3, low, (high + 2 * low) / 3]  # the left column, the middle, the right one
    given_ = model(drawn(0, count=1, size=3))
    assert given_.dtype == torch.float32
    np.testing.assert_allclose(given_[0, 0].numpy(), [expected] * 3, rtol=1e-6)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return build_segmenter(encoder="resnet18", decoder="unet", width=16, fuse="conv1x1", size=SIZE)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    files = [folder / f"{name}.png" for name in "cabed"]
    for path in files:
        images.write_rgb(path, rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    return files


def predicted(segmenter, paths, *, tta="none", batch_size=2, mean=MEAN, std=STD):
    how = {"tta": tta, "batch_size": batch_size, "mean": mean, "std": std, "device": torch.device("cpu")}
    return list(predict(segmenter, paths, **how))


@pytest.fixture(scope="module")
def one_by_one(segmenter, paths):
    return predicted(segmenter, paths, batch_size=1)


def test_each_path_comes_with_its_own_probabilities_in_order(segmenter, paths, one_by_one):
    assert [path for path, _ in one_by_one] == paths
    segmenter.eval()
    for path, probability in one_by_one:
        assert (probability.shape, probability.dtype) == ((SIZE, SIZE), np.float32)
        with torch.no_grad():
            logits = segmenter(image_tensor(images.read_rgb(path))[None]).logits
        np.testing.assert_allclose(probability, logits[0, 0].sigmoid().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [2, 5, 8])
def test_the_size_of_a_batch_changes_nothing(segmenter, paths, one_by_one, batch_size):
    for (path, given_), (expected_path, expected) in zip(
        predicted(segmenter, paths, batch_size=batch_size), one_by_one, strict=True
    ):
        assert path == expected_path
        np.testing.assert_allclose(given_, expected, rtol=0, atol=1e-6)


def test_a_network_in_training_mode_predicts_as_in_evaluation(segmenter, paths, one_by_one):
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    segmenter.train()
    for (_, given_), (_, expected) in zip(predicted(segmenter, paths, batch_size=1), one_by_one, strict=True):
        np.testing.assert_array_equal(given_, expected)
    assert all(torch.equal(value, before[key]) for key, value in segmenter.state_dict().items())


def test_other_statistics_of_the_image_are_used(segmenter, paths, one_by_one):
    ((_, given_), *_) = predicted(segmenter, paths[:1], mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert not np.allclose(given_, one_by_one[0][1])


def test_views_of_a_real_network_are_averaged(segmenter, paths, one_by_one):
    pixels = [images.read_rgb(paths[0])[rows, columns] for rows, columns in FLIPS]
    segmenter.eval()
    with torch.no_grad():
        maps = segmenter(torch.stack([image_tensor(view) for view in pixels])).logits.sigmoid()[:, 0].numpy()
    turned_back = [view[rows, columns] for view, (rows, columns) in zip(maps, FLIPS, strict=True)]
    ((_, given_),) = predicted(segmenter, paths[:1], tta="flips")
    np.testing.assert_allclose(given_, np.mean(turned_back, axis=0), rtol=0, atol=1e-6)
    assert not np.allclose(given_, one_by_one[0][1], atol=1e-6)


def test_no_images_give_nothing(segmenter):
    assert predicted(segmenter, []) == []
