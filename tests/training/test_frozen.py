"""Laws of frozen parts: not a byte of them changes, what they count included; the rest learns."""

import copy

import pytest
import torch
from torch import nn

import toy
from ftu.errors import InputError
from ftu.networks.common.build import build
from ftu.training import frozen
from ftu.training.losses.terms import loss_terms, total_loss
from ftu.training.pretraining import steps
from toy import prepare


@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_fixed", "adam", "sgd"])
def test_frozen_tensors_and_buffers_keep_their_bytes_and_the_others_do_not(squares, ema, optimizer):
    part = "encoder.net.layer1"
    made = prepare(
        squares, freeze=[part], ema=ema, weight_decay=0.5, optimizer={"kind": optimizer, "momentum": 0.9}
    )
    before = copy.deepcopy(made.run.segmenter.state_dict())
    made.finish()
    for state in (made.states[-1], made.shipped[-1]):
        same = {name for name in before if torch.equal(before[name], state[name])}
        held = {name for name in before if name.startswith(f"{part}.")}
        assert any(name.endswith("running_mean") for name in held)
        idle = {name for name in before if name.startswith("aux_heads.")}
        assert held <= same
        assert not {name for name in same - held - idle if name.endswith(("weight", "running_mean"))}


def test_a_part_is_named_by_whole_words():
    net = nn.ModuleDict({"a": nn.Linear(1, 1), "ab": nn.Linear(1, 1)})
    frozen.freeze(net, ["a"])
    assert [value.requires_grad for value in net.parameters()] == [False, False, True, True]
    frozen.freeze(net, ["ab.bias"])
    assert [value.requires_grad for value in net.parameters()] == [True, True, True, False]


def test_what_is_held_predicts_and_the_rest_trains():
    net = nn.Sequential(nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5)), nn.Dropout(0.5))
    net.train()
    frozen.hold(net, ["0"])
    assert [module.training for module in net.modules()] == [True, False, False, False, True]


def test_a_part_that_is_not_there_is_told_what_is_near():
    with pytest.raises(
        InputError, match=r"^train.freeze: 'encoder.net.layr1' is no part .*encoder\.net\.layer1"
    ):
        frozen.freeze(toy.resnet(), ["encoder.net.layr1"])


def test_the_whole_network_is_not_frozen():
    with pytest.raises(InputError, match="encoder, decoder is the whole network; nothing would be learnt"):
        frozen.freeze(
            nn.ModuleDict({"encoder": nn.Linear(1, 1), "decoder": nn.Linear(1, 1)}), ["encoder", "decoder"]
        )


def test_what_the_loss_reaches_is_not_all_frozen():
    """Auxiliary heads and another decoder are left, and no gradient comes to them."""
    network = toy.plain()
    frozen.freeze(network, ["encoder", "decoder"])
    frozen.check_learning(network, frozen.OF_MASKS)
    frozen.freeze(network, [*frozen.OF_MASKS])
    with pytest.raises(InputError, match=r"a\.freeze: freezes all that the loss reaches \(encoder, decoder"):
        frozen.check_learning(network, frozen.OF_MASKS, "a.freeze")


@pytest.mark.parametrize(
    ("terms", "reconstruct"),
    [
        ({"reconstruct": 1.0}, "head"),
        ({"reconstruct": 1.0}, "decoder"),
        ({"reconstruct": 1.0, "main": 0.0}, "decoder"),
        ({"main": 1.0}, "decoder"),
        ({"reconstruct": 0.98, "main": 0.02}, "decoder"),
        ({"aux_2": 1.0}, "decoder"),
    ],
)
def test_the_parts_that_a_step_reaches_are_those_that_get_a_gradient(terms, reconstruct):
    model = {
        "family": "unet", "encoder": "plain", "decoder": "attunet", "width": 1, "fuse": "skip",
        "norm": "none", "activation": "elu", "dropout": "none", "init": "he",
    }  # fmt: skip
    network = build(steps.described(model, reconstruct, size=toy.SIZE, channels=3, classes=1))
    image, mask = torch.rand(2, 3, toy.SIZE, toy.SIZE), torch.ones(2, 1, toy.SIZE, toy.SIZE)
    weights = steps.weights(terms, {"bce": 1.0, "dice": 0.0, "focal": 0.0, "lovasz": 0.0})
    total_loss(loss_terms(network(image), mask, weights, clean=image), weights).backward()
    found = {name.partition(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert found - {"aux_heads"} == {*steps.reached(terms, reconstruct)}
