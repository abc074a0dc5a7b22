"""Laws of inference: windows and batches change nothing, an image stands alone, bad windows are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import one_image
from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common.contract import Probabilities
from ftu.networks.common.standardize import MEAN, STD, image_tensor
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.prediction import sliding_window, views
from ftu.probabilities import map_file
from maps import read_probability, write_probability

SIZE = 64
CPU = torch.device("cpu")
NONE = {"none": views.groups("none", [])}


class Red(nn.Module):
    """An identity model: the probability is the red channel."""

    def forward(self, images):
        return images[:, :1]


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def predicted(network, image, **changes):
    """The maps (N, H, W) of one image, in windows of 64 px."""
    how = {
        "sets": NONE, "window": SIZE, "overlap": 0.25, "blend": "smooth", "batch_size": 4,
        "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "device": CPU,
    }  # fmt: skip
    read = lambda top, bottom: image[top:bottom]  # noqa: E731
    return np.concatenate(list(one_image.predict(network, read, image.shape[:2], **(how | changes))), axis=1)


# ------------------------------------------------------------------ windows


@settings(max_examples=30)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    blend=st.sampled_from(["smooth", "centre"]),
    tta=st.sampled_from(["none", "flips", "d4"]),
    shrink=st.booleans(),
    batch_size=st.integers(1, 9),
)
def test_an_identity_model_gives_every_image_back(height, width, blend, tta, shrink, batch_size):
    image = pixels(height, width)
    sets = {tta: views.groups(tta, [])}
    (given_,) = predicted(Red(), image, sets=sets, blend=blend, shrink=shrink, batch_size=batch_size)
    assert given_.dtype == np.float32
    np.testing.assert_allclose(given_, image[..., 0] / np.float32(255), rtol=0, atol=1e-5)


@settings(max_examples=25)
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_what_is_stored_is_what_the_whole_image_gives(tmp_path_factory, height, width):
    file, image = tmp_path_factory.mktemp("maps") / "a.tif", pixels(height, width)
    (whole,) = predicted(Red(), image, window=256)
    (by_windows,) = predicted(Red(), image)
    for path, map_ in ((file, by_windows), (file.with_name("b.tif"), whole)):
        write_probability(path, map_)
    stored = [read_probability(file), read_probability(file.with_name("b.tif"))]
    np.testing.assert_allclose(*stored, rtol=0, atol=1.5 / map_file.FULL_SCALE)
    np.testing.assert_allclose(stored[0], image[..., 0] / 255, rtol=0, atol=1.5 / map_file.FULL_SCALE)


class Sizes(Red):
    """Notes the shapes that it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        return super().forward(images)


def test_an_image_of_the_networks_size_is_one_pass_to_the_bit():
    network, image = Sizes(), pixels(SIZE, SIZE)
    (given_,) = predicted(network, image)
    assert network.seen == [(1, 3, SIZE, SIZE)]
    np.testing.assert_array_equal(given_, image_tensor(image, (0, 0, 0), (1, 1, 1))[0].numpy())


@pytest.mark.parametrize(("shrink", "seen"), [(True, (32, 64)), (False, (64, 64))])
def test_a_smaller_image_is_mirrored_to_what_the_network_takes(shrink, seen):
    network = Sizes()
    predicted(network, pixels(20, 50), shrink=shrink)
    assert network.seen == [(1, 3, *seen)]


def test_no_more_than_a_batch_is_shown_at_a_time():
    network = Sizes()
    predicted(network, pixels(200, 300), batch_size=3, sets={"d4": views.groups("d4", [])})
    assert {shape[0] for shape in network.seen} <= {1, 2, 3}
    assert sum(shape[0] for shape in network.seen) % 8 == 0


# ------------------------------------------------------------------ a real network


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return build_segmenter(encoder="resnet18", decoder="unet", width=16, fuse="conv1x1", size=SIZE)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    files = [folder / f"{name}.png" for name in "cabed"]
    for seed, path in enumerate(files):
        png.write_image(path, pixels(SIZE + 30 * (seed % 2), SIZE, seed))
    return files


def stored(segmenter, sources, folder, *, tta="none", encoder="resnet18", facts=None, **changes):
    """The maps of the files, as their bytes and as arrays."""
    how = {"side": 0, "overlap": 0.25, "blend": "smooth", "batch_size": 2, "device": CPU}
    known = {"architecture": {"encoder": encoder, "size": SIZE}, "mean": MEAN, "std": STD} | (facts or {})
    targets = [[folder / f"{path.stem}.tif"] for path in sources]
    sets = {tta: views.groups(tta, [0.8, 1.25])}
    sliding_window.predict_files(segmenter, known, sources, targets, sets=sets, **(how | changes))
    return [target.read_bytes() for (target,) in targets], [read_probability(target) for (target,) in targets]


@pytest.fixture(scope="module")
def as_they_stand(segmenter, sources, tmp_path_factory):
    return stored(segmenter, sources, tmp_path_factory.mktemp("maps"))


def test_each_file_has_its_own_probabilities(segmenter, sources, as_they_stand):
    network = Probabilities(segmenter).eval()
    for path, map_ in list(zip(sources, as_they_stand[1], strict=True))[::2]:  # those of one window
        with torch.no_grad():
            expected = network(image_tensor(png.read_image(path))[None])[0, 0].numpy()
        np.testing.assert_allclose(map_, expected, rtol=0, atol=1 / map_file.FULL_SCALE)


def test_the_bytes_of_an_image_do_not_depend_on_the_others(segmenter, sources, as_they_stand, tmp_path):
    assert stored(segmenter, sources[::-1], tmp_path)[0] == as_they_stand[0][::-1]
    assert stored(segmenter, sources[3:4], tmp_path)[0] == as_they_stand[0][3:4]


@pytest.mark.parametrize("batch_size", [1, 5, 8])
def test_another_batch_size_changes_the_last_bits_at_most(
    segmenter, sources, as_they_stand, tmp_path, batch_size
):
    _, maps = stored(segmenter, sources, tmp_path, batch_size=batch_size)
    for given_, expected in zip(maps, as_they_stand[1], strict=True):
        np.testing.assert_allclose(given_, expected, rtol=0, atol=1.5 / map_file.FULL_SCALE)


def test_a_network_in_training_mode_predicts_as_in_evaluation(segmenter, sources, as_they_stand, tmp_path):
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    segmenter.train()
    assert stored(segmenter, sources, tmp_path)[0] == as_they_stand[0]
    assert all(torch.equal(value, before[key]) for key, value in segmenter.state_dict().items())


def test_other_statistics_of_the_image_are_used(segmenter, sources, as_they_stand, tmp_path):
    facts = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    _, (map_,) = stored(segmenter, sources[:1], tmp_path, facts=facts)
    assert not np.allclose(map_, as_they_stand[1][0])


def test_no_images_give_nothing(segmenter, tmp_path):
    assert stored(segmenter, [], tmp_path) == ([], [])


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder": "tu-swin_tiny_patch4_window7_224", "side": 128},
            r"tu-swin_tiny_patch4_window7_224 was built for 64 px .* 128 px; use 0",
        ),
        (
            {"encoder": "tu-swin_tiny_patch4_window7_224", "tta": "flips_scales"},
            r"flips_scales resizes .* only; use flips,",
        ),
        ({"side": 50, "blend": "centre"}, r"blend centre .* 50 px have none; use 48 px"),
    ],
)
def test_windows_that_do_not_fit_are_refused_before_work(segmenter, sources, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        stored(segmenter, sources, tmp_path, **changes)
    assert not any(tmp_path.iterdir())


def test_a_window_larger_than_every_image_is_refused(sources):
    sliding_window.check_oversize(sources, 94)
    sliding_window.check_oversize(sources, 0)
    with pytest.raises(InputError, match=r"predict\.window\.side: 95 px .* longest side is 94 px"):
        sliding_window.check_oversize(sources, 95)


def test_a_damaged_image_is_refused_before_work(segmenter, sources, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        stored(segmenter, [*sources, tmp_path / "bad.png"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


def test_what_is_made_ahead_comes_in_order_and_brings_its_errors():
    assert list(sliding_window.ahead(range(5))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise InputError("bad")

    items = sliding_window.ahead(broken())
    assert next(items) == 1
    with pytest.raises(InputError, match="bad"):
        next(items)
