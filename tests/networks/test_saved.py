"""Laws of a trained model on disk: it comes back exactly, says what it is, and must be whole."""

import copy
import hashlib
import json

import pytest
import torch

from ftu.errors import InputError
from ftu.networks.common import saved as on_disk
from ftu.networks.common.contract import Probabilities
from ftu.networks.encoder_decoder.segmenter import build_segmenter

SIZE = 64
ARCHITECTURES = [
    {"encoder": "resnet18", "decoder": "unet", "width": 16, "fuse": "conv1x1", "size": SIZE},
    {"encoder": "coat_lite_tiny", "decoder": "daformer", "width": 16, "fuse": "conv1x1", "size": SIZE},
]
FACTS = {"fold": 3, "encoder_weights": {"source": "imagenet", "licence": "Apache-2.0"}, "checkpoint": "best"}


def built(architecture, seed=0):
    torch.manual_seed(seed)
    return build_segmenter(**architecture)


def save(folder, architecture=ARCHITECTURES[0], seed=0):
    folder.mkdir(exist_ok=True)
    model = built(architecture, seed)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    on_disk.save(folder, model, state, architecture, FACTS)
    return model


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda architecture: architecture["encoder"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return request.param, save(folder, request.param), folder


def test_a_model_comes_back_exactly(saved):
    _, model, folder = saved
    loaded, _ = on_disk.load(folder)
    assert list(loaded.state_dict()) == list(model.state_dict())
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_and_so_do_its_probabilities(saved):
    _, model, folder = saved
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given, expected = (Probabilities(net).eval()(images) for net in (on_disk.load(folder)[0], model))
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


def test_equal_weights_give_equal_bytes(saved, tmp_path):
    architecture, _, folder = saved
    save(tmp_path, architecture)
    for name in (on_disk.WEIGHTS, on_disk.FACTS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    save(tmp_path, architecture, seed=1)
    assert (tmp_path / on_disk.WEIGHTS).read_bytes() != (folder / on_disk.WEIGHTS).read_bytes()


def test_the_layout_in_memory_leaves_no_trace(saved, tmp_path):
    architecture, model, folder = saved
    turned = copy.deepcopy(model).to(memory_format=torch.channels_last)
    on_disk.save(tmp_path, turned, turned.state_dict(), architecture, FACTS)
    assert (tmp_path / on_disk.WEIGHTS).read_bytes() == (folder / on_disk.WEIGHTS).read_bytes()


def test_the_state_that_is_given_is_saved_not_the_last_one(tmp_path):
    best, last = built(ARCHITECTURES[0], seed=1), built(ARCHITECTURES[0], seed=2)
    on_disk.save(tmp_path, last, best.state_dict(), ARCHITECTURES[0], FACTS)
    for key, value in on_disk.load(tmp_path)[0].state_dict().items():
        assert torch.equal(value, best.state_dict()[key]), key


def test_model_json_says_what_the_model_is(saved):
    architecture, model, folder = saved
    content = json.loads((folder / on_disk.FACTS).read_text())
    assert content == on_disk.load(folder)[1]
    assert content == FACTS | {
        "architecture": architecture,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": hashlib.sha256((folder / on_disk.WEIGHTS).read_bytes()).hexdigest(),
    }


def test_a_model_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(InputError, match=r"model\.json: is missing; the fold was not trained"):
        on_disk.load(tmp_path)


def test_missing_weights_are_named(tmp_path):
    save(tmp_path)
    (tmp_path / on_disk.WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors: cannot be loaded .*dvc repro"):
        on_disk.load(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 1000, -100])
def test_damaged_weights_are_named(tmp_path, kept):
    save(tmp_path)
    path = tmp_path / on_disk.WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"weights\.safetensors: cannot be loaded"):
        on_disk.load(tmp_path)


@pytest.mark.parametrize(
    "other", [ARCHITECTURES[0] | {"encoder": "resnet34"}, ARCHITECTURES[0] | {"width": 32}], ids=str
)
def test_weights_of_another_architecture_are_refused(tmp_path, other):
    save(tmp_path)
    path = tmp_path / on_disk.FACTS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architecture": other}))
    with pytest.raises(InputError, match=r"another network .* tensors differ, .*dvc repro") as error:
        on_disk.load(tmp_path)
    assert str(other) in str(error.value)
