"""Recomputing: the weights, statistics and draws of a training that keeps everything, for less memory."""

import copy

import pytest
import torch
from torch import nn

import toy
from ftu.errors import InputError
from ftu.networks.encoder_decoder.encoders import build_encoder
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.training.recompute import forget_between

ENCODERS = ["resnet18", "mobilenet_v2", "mit_b0", "efficientnet-b0", "tu-resnet10t", "coat_lite_tiny"]


def network(encoder):
    decoder = "daformer" if encoder.startswith(("coat", "mit")) else "unet"
    return build_segmenter(encoder=encoder, decoder=decoder, width=16, fuse="conv1x1", size=64)


def held(segmenter, images):
    """Bytes that autograd keeps between the way there and the way back."""
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        segmenter.encoder(images)
    return sum(kept.values())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_and_statistics_are_the_same_for_less_memory(encoder):
    torch.manual_seed(0)
    plain = network(encoder).train()
    frugal = copy.deepcopy(plain)
    forget_between(frugal.encoder)
    images = torch.rand(2, 3, 64, 64)
    states = []
    for segmenter in (plain, frugal):
        torch.manual_seed(1)  # of dropout
        output = segmenter(images)
        (output.logits.square().mean() + output.aux_logits[1].mean()).backward()
        states.append(segmenter.state_dict())
    toy.assert_same(*states)
    for (name, one), other in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        if one.grad is None or other.grad is None:
            assert one.grad is other.grad, name
        else:
            assert torch.equal(one.grad, other.grad), name
    assert held(frugal, images) < 0.7 * held(plain, images)


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "accumulate": 2}], ids=str)
def test_a_training_ends_with_the_same_bytes(squares, changes):
    toy.assert_same_run(*(toy.train(squares, "switched", recompute=on, **changes) for on in (False, True)))


def test_a_block_is_the_outermost_module_with_parts_that_stands_in_a_list_or_sequence():
    def shell(**parts: nn.Module) -> nn.Module:
        module = nn.Module()
        for name, part in parts.items():
            module.add_module(name, part)
        return module

    def block() -> nn.Module:
        return shell(layers=nn.Sequential(shell(conv=nn.Conv2d(1, 1, 1))))

    encoder = shell(
        stem=shell(deep=block(), stages=nn.ModuleList([block(), nn.ReLU()])),
        body=nn.Sequential(nn.Sequential(block()), nn.ReLU()),
    )
    forget_between(encoder)
    found = {name for name, module in encoder.named_modules() if "forward" in vars(module)}
    assert found == {"stem.deep.layers.0", "stem.stages.0", "body.0.0"}


def test_an_encoder_without_blocks_is_refused():
    with pytest.raises(InputError, match=r"train\.recompute: this train\.model\.encoder has no blocks"):
        forget_between(build_encoder("vgg11_bn", 64, 32))
