"""Laws of the first weights: a file fits whole or is refused in words; nothing is ever silently random."""

import hashlib
import os
import re
import warnings
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from ftu.errors import InputError
from ftu.networks.common.first_weights import load_encoder_weights, statistics
from ftu.networks.encoder_decoder.encoders import Encoder, build_encoder

NON_COMMERCIAL = "NVIDIA Source Code License, non-commercial"
SMALL = "mobilenet_v2"
CLASSIFIER = {"classifier.1.weight": torch.ones(10, 1280), "classifier.1.bias": torch.ones(10)}
SHOWS_LACK = r"it lacks 1 keys \(features\.0\.0\.weight\)"


def encoder(name=SMALL, seed=0):
    torch.manual_seed(seed)
    return build_encoder(name, 64, 32)


def state(name=SMALL, seed=0):
    return encoder(name, seed).net.state_dict()


@pytest.fixture(scope="module")
def other():
    """The weights of another network of the same architecture."""
    return state(seed=1)


def save(content, path):
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    return path


def refused(path, pattern, name=SMALL):
    """Loading is an InputError that names the file and changes no weight."""
    net = encoder(name)
    before = {key: value.clone() for key, value in net.net.state_dict().items()}
    with pytest.raises(InputError, match=pattern) as caught:
        load_encoder_weights(net, name, str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_equal(net.net.state_dict(), before)


def assert_equal(given, expected):
    assert set(given) == set(expected)
    for key, value in given.items():
        assert torch.equal(value, expected[key]), key


def test_none_leaves_the_network_as_it_was_built():
    net = encoder()
    assert load_encoder_weights(net, SMALL, "none") == {"source": "none", "licence": "none"}
    assert_equal(net.net.state_dict(), state())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("extra", [{}, CLASSIFIER], ids=["encoder", "with_classifier"])
def test_the_right_file_is_loaded_exactly(tmp_path, other, suffix, extra):
    net, path = encoder(), save(other | extra, tmp_path / f"w{suffix}")
    facts = load_encoder_weights(net, SMALL, str(path))
    assert_equal(net.net.state_dict(), other)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts == {"source": f"w{suffix}", "sha256": digest, "licence": "that of the file"}


@pytest.mark.parametrize("wrap", [("state_dict",), ("model",), ("state_dict", "model")], ids=".".join)
def test_a_nested_table_is_found(tmp_path, other, wrap):
    content = other
    for key in reversed(wrap):
        content = {key: content, "epoch": 3}
    net = encoder()
    load_encoder_weights(net, SMALL, str(save(content, tmp_path / "w.pt")))
    assert_equal(net.net.state_dict(), other)


def test_counters_of_batch_norm_may_be_left_out(tmp_path, other):
    content = {key: value for key, value in other.items() if not key.endswith("num_batches_tracked")}
    net = encoder()
    load_encoder_weights(net, SMALL, str(save(content, tmp_path / "w.pt")))
    assert_equal(net.net.state_dict(), other)


# Classifiers of timm: their files have other key names than the network of maps that is built of them.
PEERS = [
    ("coat_lite_tiny", "coat_lite_tiny"),
    ("coat_tiny", "coat_tiny"),
    ("tu-pvt_v2_b0", "pvt_v2_b0"),
    ("tu-efficientnet_b0", "efficientnet_b0"),
    ("resnet18", "resnet18"),
]


def features(peer):
    """The maps of a classifier of timm at strides 4 to 32, through its own interface."""
    if hasattr(peer, "forward_intermediates"):
        return peer.eval().forward_intermediates(images(224), intermediates_only=True)[-4:]
    net = timm.create_model(peer.pretrained_cfg["architecture"], features_only=True)
    net.load_state_dict(peer.state_dict(), strict=False)
    return net.eval()(images(224))[-4:]


def images(size):
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("name", "peer_name"), PEERS, ids=[name for name, _ in PEERS])
def test_a_file_of_timms_classifier_gives_timms_maps(tmp_path, name, peer_name):
    torch.manual_seed(7)
    peer, net = timm.create_model(peer_name), build_encoder(name, 224, 32)
    load_encoder_weights(net, name, str(save(peer.state_dict(), tmp_path / "w.pt")))
    with torch.no_grad():
        for given, expected in zip(net.eval()(images(224)).blocks, features(peer), strict=True):
            torch.testing.assert_close(given, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["coat_lite_tiny", "coat_tiny"])
def test_a_coat_file_is_loaded_exactly_norms_of_the_classifier_tolerated(tmp_path, name):
    peer = timm.create_model(name).state_dict()
    unused = {f"norm{block}.{part}": torch.ones(3) for block in (1, 2, 3, 4) for part in ("weight", "bias")}
    net = encoder(name)
    load_encoder_weights(net, name, str(save({"model": unused | peer}, tmp_path / "w.pth")))
    for key, value in net.net.state_dict().items():
        assert torch.equal(value, peer[key.removeprefix("model.")]), key


def test_a_coat_file_of_safetensors_that_names_a_shared_layer_once_is_loaded_exactly(tmp_path):
    torch.manual_seed(1)
    peer = timm.create_model("coat_lite_tiny")
    safetensors.torch.save_model(peer, str(tmp_path / "w.safetensors"))
    kept = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert len(kept) < len(peer.state_dict())
    net = encoder("coat_lite_tiny")
    load_encoder_weights(net, "coat_lite_tiny", str(tmp_path / "w.safetensors"))
    for key, value in net.net.state_dict().items():
        assert torch.equal(value, peer.state_dict()[key.removeprefix("model.")]), key


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "w.pt", "does not exist; give none, imagenet or the path of a file")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "cannot be read .Is a directory.; give none, imagenet")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, I am text\n", b"\x80\x02}q\x00.", bytes(100)])
def test_a_damaged_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    refused(path, "cannot be read as weights|holds no table|lacks")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@given(st.binary(max_size=80), st.sampled_from([".pt", ".safetensors"]))
def test_no_bytes_lead_to_another_error(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"w\.(pt|safetensors).*(cannot be read as weights|holds no table|lacks)"
    ):
        load_encoder_weights(Encoder(nn.Conv2d(1, 1, 1), [1]), SMALL, str(path))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_ends_early_is_refused(tmp_path, other, suffix):
    path = save(other, tmp_path / f"w{suffix}")
    path.write_bytes(path.read_bytes()[:-1000])
    refused(path, "cannot be read as weights")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.ones(3), {0: torch.ones(3)}])
def test_a_file_without_a_table_of_tensors_is_refused(tmp_path, content):
    refused(save(content, tmp_path / "w.pt"), "holds no table of named tensors")


class Code:
    """What a hostile file holds: its loading would run a function."""

    def __reduce__(self):
        return open, ("ran", "w")


def test_a_file_never_runs_code(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    refused(save(other | {"code": Code()}, tmp_path / "w.pt"), "cannot be read as weights")
    assert not (tmp_path / "ran").exists()


def test_a_file_of_another_encoder_is_refused_and_keys_at_odds_are_listed(tmp_path):
    path = save(state("tu-test_resnet"), tmp_path / "w.pt")
    refused(
        path, r"it lacks \d+ keys \(features\.0\.0\.weight, .* and \d+ more\); give the file of this very"
    )


@pytest.mark.parametrize("prefix", ["backbone.", "student.encoder."])
def test_what_all_names_begin_with_is_named(tmp_path, other, prefix):
    path = save({prefix + key: value for key, value in other.items()}, tmp_path / "w.pt")
    refused(path, rf"all its names begin with '{re.escape(prefix)}', .*it lacks \d+ keys")


def test_a_missing_key_is_refused(tmp_path, other):
    content = {key: value for key, value in other.items() if key != "features.0.0.weight"}
    refused(save(content, tmp_path / "w.pt"), SHOWS_LACK)


def test_an_unknown_key_is_refused(tmp_path, other):
    content = other | {"decoder.weight": torch.ones(1)}
    refused(save(content, tmp_path / "w.pt"), r"it has unknown 1 keys \(decoder\.weight\)")


def test_a_wrong_shape_is_refused(tmp_path, other):
    content = other | {"features.0.0.weight": torch.ones(32, 3, 5, 5)}
    refused(save(content, tmp_path / "w.pt"), r"has of another shape 1 keys \(features\.0\.0\.weight\)")


@pytest.mark.parametrize("name", [SMALL, "coat_lite_tiny", "tu-pvt_v2_b0"])
def test_imagenet_without_the_hub_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    net = encoder(name)
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(InputError, match=rf"ImageNet weights of {name} could not be fetched.*local file"),
    ):
        load_encoder_weights(net, name, "imagenet")
    assert_equal(net.net.state_dict(), state(name))


def cached(monkeypatch, tmp_path, name, content):
    """Lay a file where the hub keeps the weights of an encoder; the file itself, which has another name."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    facts: Any
    facts, revision = timm.get_pretrained_cfg(name.removeprefix("tu-")), "0" * 40
    folder = tmp_path / f"models--{facts.hf_hub_id.replace('/', '--')}"
    for part in ("refs", "blobs", f"snapshots/{revision}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs/main").write_text(revision)
    (folder / "blobs/b").write_bytes(content)
    (folder / "snapshots" / revision / "model.safetensors").symlink_to(folder / "blobs/b")
    return folder / "blobs/b"


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"<html>proxy</html>"])
def test_a_damaged_file_of_the_hub_is_named_and_what_to_remove(monkeypatch, tmp_path, damage):
    name = "tu-resnet10t"
    content = damage(safetensors.torch.save(timm.create_model("resnet10t").state_dict()))
    blob = cached(monkeypatch, tmp_path, name, content)
    net = encoder(name)
    with pytest.raises(
        InputError, match=rf"model.safetensors cannot be read as weights \(\w+\); .*: rm {blob}"
    ):
        load_encoder_weights(net, name, "imagenet")
    assert_equal(net.net.state_dict(), state(name))


def test_a_pipe_of_the_hub_is_named_and_not_waited_for(monkeypatch, tmp_path):
    blob = cached(monkeypatch, tmp_path, "tu-resnet10t", b"")
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(InputError, match=r"snapshots/0+/model.safetensors .* is no regular file.*; rm it"):
        load_encoder_weights(encoder("tu-resnet10t"), "tu-resnet10t", "imagenet")


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"], ids=["direct", "proxy"])
def test_without_a_network_the_hub_is_asked_once(monkeypatch, tmp_path, capfd, proxy):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    if proxy:
        monkeypatch.setenv("https_proxy", proxy)
    else:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://127.0.0.1:9")  # nobody listens
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"could not be fetched .*; go online, or give the path"):
        load_encoder_weights(encoder("tu-resnet10t"), "tu-resnet10t", "imagenet")
    assert "Retry" not in "".join(capfd.readouterr())


def test_imagenet_where_the_hub_has_none_is_refused():
    name = "tu-mobilenetv2_035"
    with pytest.raises(InputError, match="No pretrained weights exist"):
        load_encoder_weights(encoder(name), name, "imagenet")


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        (SMALL, "unknown"),
        ("resnet18", "apache-2.0"),
        ("mit_b0", NON_COMMERCIAL),
        ("tu-pvt_v2_b0", "apache-2.0"),
    ],
)
def test_what_the_hub_gives_is_loaded_exactly_with_its_licence(monkeypatch, name, licence):
    net, fetched = encoder(name), encoder(name, seed=1)
    monkeypatch.setattr(smp.encoders, "get_encoder", lambda *_, **__: fetched.net)
    assert load_encoder_weights(net, name, "imagenet") == {"source": "imagenet", "licence": licence}
    assert_equal(net.net.state_dict(), fetched.net.state_dict())


def test_coats_weights_come_from_timms_hub(monkeypatch):
    net, fetched = encoder("coat_lite_tiny"), encoder("coat_lite_tiny", seed=1)
    asked = {}
    monkeypatch.setattr(timm, "create_model", lambda name, **how: asked.update(how, name=name) or fetched.net)
    load_encoder_weights(net, "coat_lite_tiny", "imagenet")
    assert asked == {"name": "coat_lite_tiny", "pretrained": True, "features_only": True}
    assert_equal(net.net.state_dict(), fetched.net.state_dict())


def test_no_warning_is_raised_on_the_way(tmp_path, other):
    path = save(other, tmp_path / "w.pt")
    with warnings.catch_warnings(action="error"):
        load_encoder_weights(encoder(), SMALL, str(path))


# ------------------------------------------------------------------ a network that extends another


@pytest.fixture(scope="module")
def coat_small():
    torch.manual_seed(5)
    return timm.create_model("coat_small").state_dict()


def test_a_file_of_coat_small_fills_four_scales_and_the_fifth_is_said_to_be_random(tmp_path, coat_small):
    net, before = encoder("coat_small_plus1"), state("coat_small_plus1")
    facts = load_encoder_weights(net, "coat_small_plus1", str(save(coat_small, tmp_path / "w.pth")))
    assert facts["at_random"] == "cls_token5, cpe5, crpe5, patch_embed5, serial_blocks5"
    for key, value in net.net.state_dict().items():
        expected = before[key] if "5" in key.split(".")[1] else coat_small[key.removeprefix("model.")]
        assert torch.equal(value, expected), key


def test_a_file_of_all_five_scales_is_loaded_whole_and_nothing_is_said(tmp_path):
    net, theirs = encoder("coat_small_plus1"), state("coat_small_plus1", seed=3)
    facts = load_encoder_weights(net, "coat_small_plus1", str(save(theirs, tmp_path / "w.pth")))
    assert_equal(net.net.state_dict(), theirs)
    assert "at_random" not in facts


def test_a_file_of_a_part_of_the_fifth_scale_is_refused(tmp_path):
    content = state("coat_small_plus1")
    del content["model.patch_embed5.proj.weight"]
    path = save(content, tmp_path / "w.pth")
    refused(path, r"lacks 1 keys \(model\.patch_embed5\.proj\.weight\)", "coat_small_plus1")


def test_a_file_that_lacks_a_part_of_the_four_is_refused(tmp_path, coat_small):
    content = {key: value for key, value in coat_small.items() if key != "cls_token4"}
    refused(save(content, tmp_path / "w.pth"), r"lacks 1 keys \(model\.cls_token4\)", "coat_small_plus1")


def test_only_an_encoder_that_extends_another_may_lack_a_scale(tmp_path):
    content = {key: value for key, value in state("coat_tiny").items() if "4" not in key.split(".")[1]}
    refused(save(content, tmp_path / "w.pth"), "it lacks", "coat_tiny")


def test_imagenet_of_the_extended_encoder_is_that_of_the_one_it_extends(monkeypatch, coat_small):
    create = timm.create_model
    asked = []

    def fetched(name, **options):
        asked.append((name, options.pop("pretrained")))
        net = create(name, **options)
        net.load_state_dict({key: coat_small[key.removeprefix("model.")] for key in net.state_dict()})
        return net

    net = encoder("coat_small_plus1")
    monkeypatch.setattr(timm, "create_model", fetched)
    facts = load_encoder_weights(net, "coat_small_plus1", "imagenet")
    assert asked == [("coat_small", True)]
    assert facts == {
        "source": "imagenet",
        "licence": "apache-2.0",
        "at_random": "cls_token5, cpe5, crpe5, patch_embed5, serial_blocks5",
    }
    assert torch.equal(net.net.state_dict()["model.cls_token4"], coat_small["cls_token4"])


# ------------------------------------------------------------------ mean and standard deviation

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALVES = ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coat_small", IMAGENET),
        ("coat_small_plus1", IMAGENET),
        ("resnet101", IMAGENET),
        ("efficientnet-b5", IMAGENET),
        ("tu-pvt_v2_b3", IMAGENET),
        ("tu-tf_efficientnetv2_b0", IMAGENET),
        ("tu-tf_efficientnet_lite0", HALVES),
        ("timm-tf_efficientnet_lite0", HALVES),
        ("xception", HALVES),
        ("inceptionv4", HALVES),
        ("tu-mobilenetv3_small_050", IMAGENET),
    ],
)
def test_images_are_standardised_as_the_weights_were_trained(name, expected):
    assert statistics(name, "imagenet") == statistics(name, "a/file.pth") == expected
    assert statistics(name, "none") == IMAGENET


def test_timms_own_statement_decides_for_timms_encoders():
    names = [
        name for name in timm.list_models(pretrained=True) if name.startswith(("tf_eff", "vgg", "resnetv2"))
    ]
    stated = {name: timm.get_pretrained_cfg(name) for name in names}
    assert len({facts.mean for facts in stated.values() if facts}) > 1
    for name, facts in stated.items():
        assert facts
        assert statistics(f"tu-{name}", "imagenet") == (list(facts.mean), list(facts.std))


def test_smps_names_of_timms_networks_have_what_timm_states():
    for number in range(5):
        name = f"tf_efficientnet_lite{number}"
        facts = timm.get_pretrained_cfg(name)
        assert facts
        assert statistics(f"timm-{name}", "imagenet") == (list(facts.mean), list(facts.std))
