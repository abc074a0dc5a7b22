"""The networks of the other papers are to training, and on disk, what the first paper's are."""

import copy
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import toy
from ftu.errors import InputError
from ftu.networks.common import build, saved
from ftu.networks.common.contract import BLOCKS, Segmenter
from ftu.prediction.sliding_window import window_side
from ftu.prediction.views import groups
from ftu.training import fold
from ftu.training.gradient_norms import block_parameters
from ftu.training.recompute import forget_between
from ftu.training.rounds import Rounds
from narrow_twins import narrow

SIZE = toy.SIZE
ROW = {"width": 2, "norm": "batch", "activation": "elu", "dropout": "plain", "init": "he", "size": SIZE}
GATED = {"family": "unet", "encoder": "plain", "decoder": "attunet", "fuse": "skip"}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet2d": {**ROW, **GATED, "decoder": "unet2d"},
    "attunet": {**ROW, **GATED},
    "unetr": {**ROW, "family": "unetr", "encoder": "vit-mini", "decoder": "unetr"},
    "ynetr": {**ROW, "family": "unetr", "encoder": "yvit-mini", "decoder": "ynetr"},
    "mstwins": {
        "family": "ms_twins", "encoder": "tu-twins_svt_small", "decoder": "mstwins", "fuse": "ms_fif",
        "cascade": "residual", "drop_path": 0.0, "size": SIZE,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _torch_as_before():
    with toy.torch_as_before():
        yield


@pytest.fixture(params=NETWORKS)
def architecture(request, monkeypatch) -> dict[str, Any]:
    narrow(monkeypatch)
    return NETWORKS[request.param]


def built(architecture: dict[str, Any]) -> Segmenter:
    torch.manual_seed(0)
    return build.build(architecture)


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def test_a_step_of_one_image_or_of_several_can_be_taken(architecture):
    for images in (1, 3):
        rounds = Rounds(architecture, batch_size=images, accumulate=1, processes=1)
        rounds.check()
        rounds.try_step()


def test_an_encoder_of_other_strides_than_it_states_is_refused(architecture, monkeypatch):
    def odd(parts: dict[str, Any]) -> Segmenter:
        network = truly(parts)
        network.encoder.strides = (3, 6, 12, 24)
        return network

    truly = build.build
    monkeypatch.setattr(build, "build", odd)
    with pytest.raises(InputError, match="its blocks have strides"):
        Rounds(architecture, 2, 1, 1).try_step()


def test_each_parameter_of_the_blocks_belongs_to_one(architecture):
    """Those of a U-Net beside the transformer reach none of its maps, which are the blocks."""
    network = built(architecture)
    blocks = block_parameters(network, SIZE)
    found = [id(parameter) for block in blocks for parameter in block]
    parts = network.encoder.named_parameters()
    beside = {id(each) for name, each in parts if name.startswith("net.convolutions.")}
    assert all(blocks)
    assert sorted(found) == sorted({id(each) for each in network.encoder.parameters()} - beside)


def test_an_auxiliary_loss_reaches_the_blocks_up_to_its_own_and_nothing_else(architecture):
    network = built(architecture)
    blocks = block_parameters(network, SIZE)
    output = network(drawn(2, 3, SIZE, SIZE))
    for number, (logits, head) in enumerate(zip(output.aux_logits, network.aux_heads, strict=True), start=1):
        parameters = list(network.parameters())
        found = torch.autograd.grad(logits.sum(), parameters, retain_graph=True, allow_unused=True)
        reached = {id(each) for each, value in zip(parameters, found, strict=True) if value is not None}
        own = [each for block in blocks[:number] for each in block]
        assert reached == {id(each) for each in (*own, *head.parameters())}, number


def test_windows_of_another_size_are_refused_where_the_network_has_one(architecture):
    one, scaled = {"flips": groups("flips", [])}, {"flips_scales": groups("flips_scales", [0.5])}
    if architecture["family"] != "unetr":
        assert window_side(64, architecture, scaled) == 64
        return
    with pytest.raises(
        InputError, match=r"^predict\.window\.side: y?vit-mini was built for 32 px and takes no"
    ):
        window_side(64, architecture, one)
    with pytest.raises(InputError, match=r"flips_scales resizes windows, but y?vit-mini takes 32 px only"):
        window_side(0, architecture, scaled)
    assert window_side(0, architecture, one) == 32


def test_it_comes_back_from_disk_as_it_was(architecture, tmp_path):
    network = built(architecture).eval()
    saved.save(tmp_path, network, network.state_dict(), architecture, {"fold": 0})
    loaded, facts = saved.load(tmp_path)
    assert facts["architecture"] == architecture
    with torch.no_grad():
        for before, after in zip(
            network(drawn(1, 3, 32, 32))[:2], loaded.eval()(drawn(1, 3, 32, 32))[:2], strict=True
        ):
            torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize("key", ["norm", "activation", "dropout", "init", "encoder", "decoder"])
def test_a_model_json_of_another_word_is_refused(architecture, tmp_path, key):
    network = built(architecture)
    odd = architecture | {key: "another"}
    saved.save(tmp_path, network, network.state_dict(), odd, {"fold": 0})
    with pytest.raises(InputError, match=rf"architecture\.{key}: "):
        saved.load(tmp_path)


def test_a_file_of_its_encoder_fills_it(architecture, tmp_path):
    other, path = built(architecture), tmp_path / "encoder.safetensors"
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    safetensors.torch.save_file(other.encoder.net.state_dict(), path)
    first = {"encoder": architecture["encoder"], "weights": str(path)}
    network, source = fold.network(architecture, **first, aux_source="map")
    assert source["source"] == "encoder.safetensors"
    toy.assert_same(network.encoder.state_dict(), other.encoder.state_dict())
    mean, std = fold.statistics("imagenet", **first, channels=1, images=[])
    assert (len(mean), len(std)) == (1, 1)


def test_what_is_computed_again_is_the_same(architecture):
    plain = built(architecture).train()
    frugal = copy.deepcopy(plain)
    forget_between(frugal.encoder)
    for network in (plain, frugal):
        torch.manual_seed(1)  # of dropout
        network(drawn(2, 3, SIZE, SIZE)).logits.square().mean().backward()
    toy.assert_same(plain.state_dict(), frugal.state_dict())
    for (name, one), other in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        same = (
            one.grad is other.grad if one.grad is None or other.grad is None else one.grad.equal(other.grad)
        )
        assert same, name


def test_it_learns_and_says_how_much_each_block_does(architecture, squares):
    """In three epochs of two steps; the auxiliary loss is first on the second block, then on the first."""
    lr = 0.001 if architecture["family"] == "ms_twins" else 0.01
    run = toy.train(squares, "switched", network=lambda: build.build(architecture), epochs=3, ema=0.5, lr=lr)
    losses = run.history["train_bce"]
    assert losses.iloc[-1] < losses.iloc[0]
    gradients = run.history[[f"gradient_{number}" for number in range(1, BLOCKS + 1)]]
    assert (gradients > 0).all(axis=None)
