"""Laws of stochastic depth: it is there at the rate that was asked for, or refused; 0 is none."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from ftu.errors import InputError
from ftu.networks.common.contract import Encoder
from ftu.networks.encoder_decoder.encoders import build_encoder

HAVE = ["coat_tiny", "coat_small_plus1", "mit_b0", "efficientnet-b0", "tu-pvt_v2_b0", "tu-convnext_atto"]
LACK = ["resnet18", "tu-vgg11", "mobilenet_v2", "timm-efficientnet-b0"]
pytestmark = pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated:DeprecationWarning")


def built(name: str, rate: float) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(name, 64, 32, rate)


@torch.no_grad()
def deepest(encoder: Encoder, seed: int) -> torch.Tensor:
    """The last map of two images, in training but for batch norms, whose draws follow from `seed`."""
    encoder.train()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    torch.manual_seed(seed)
    return encoder(torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64).sin()).maps[-1]


@pytest.mark.parametrize("name", HAVE)
def test_training_draws_what_is_left_out(name):
    encoder = built(name, 0.5)
    assert not torch.equal(deepest(encoder, seed=1), deepest(encoder, seed=2))


@pytest.mark.parametrize("name", [*HAVE, *LACK])
def test_at_0_nothing_is_left_out(name):
    encoder = built(name, 0.0)
    assert torch.equal(deepest(encoder, seed=1), deepest(encoder, seed=2))


@pytest.mark.parametrize("name", HAVE)
def test_the_rate_is_the_largest_probability(name):
    net = built(name, 0.25).net
    rates = [getattr(module, "drop_prob", 0) for module in net.modules()]
    # EfficientNet's probabilities rise from layer to layer, and the rate is that of the layer after the last.
    assert max([*rates, getattr(net, "_drop_connect_rate", 0)]) == pytest.approx(0.25)


@pytest.mark.parametrize("name", HAVE)
def test_the_rate_adds_no_weights_and_changes_none(name):
    one, other = built(name, 0.0).state_dict(), built(name, 0.3).state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", LACK)
def test_an_encoder_without_stochastic_depth_is_refused_by_the_key(name):
    with pytest.raises(InputError, match=rf"^train\.model\.drop_path: {name} has no .*; use 0, or"):
        build_encoder(name, 64, 32, 0.1)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("coat_tiny", lambda: timm.create_model("coat_tiny", features_only=True)),
        ("resnet18", lambda: smp.encoders.get_encoder("resnet18", weights=None)),
        ("tu-pvt_v2_b0", lambda: smp.encoders.get_encoder("tu-pvt_v2_b0", weights=None)),
    ],
)
def test_at_0_the_network_is_the_librarys_own_where_that_has_none(name, peer):
    torch.manual_seed(0)
    theirs = peer().state_dict()
    ours = built(name, 0.0).net.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
