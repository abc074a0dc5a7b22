"""U-Net, Attention U-Net and the Attention Y-Net: counts of parameters, gates, and what reaches what.

Counts are those of the second paper as rebuilt in Keras and torch; its own figures are rounded.
"""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ftu.networks.common.contract import Probabilities, Segmenter
from ftu.networks.common.convolutions import INITS, NORMS, DoubleConvolution, Recipe
from ftu.networks.unet.decoders import WEIGHED, Gate
from ftu.networks.unet.segmenter import DECODERS, build_segmenter
from ftu_tools.studies.networks import numbers, parameters

PLAIN: dict[str, Any] = {
    "encoder": "plain", "decoder": "unet2d", "width": 16, "fuse": "skip", "norm": "none",
    "activation": "elu", "dropout": "plain", "init": "he", "size": 48,
}  # fmt: skip


def built(device: str = "cpu", **changes: Any) -> Any:  # a Segmenter, whose parts have parts
    torch.manual_seed(0)
    with torch.device(device):
        return build_segmenter(**{**PLAIN, "channels": 1, **changes})


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ counts


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, (1_940_817, 0)),
        ({"channels": 3}, (1_941_105, 0)),
        ({"outputs": 4}, (1_940_868, 0)),
        ({"decoder": "attunet"}, (1_985_061, 0)),
        ({"decoder": "attunet", "channels": 3}, (1_985_349, 0)),
        ({"decoder": "attunet", "outputs": 4}, (1_985_112, 0)),
        ({"decoder": "attunet", "fuse": "upsampled"}, (1_985_061, 0)),
        ({"norm": "batch"}, (1_943_761, 1_946_705 - 1_943_761)),
        ({"decoder": "attunet", "norm": "batch"}, (1_988_005, 1_990_949 - 1_988_005)),
        ({"decoder": "attunet", "reconstruct": True}, (2_551_558, 0)),
        ({"decoder": "attunet", "reconstruct": True, "width": 32}, (10_199_558, 0)),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_paper(changes, count):
    _, auxiliary, _ = found = numbers(built("meta", **changes))
    assert (found.parameters, found.buffers) == count
    assert auxiliary == changes.get("outputs", 1) * (4 + (2 + 4 + 8 + 16) * changes.get("width", 16))


@pytest.mark.parametrize(
    ("width", "segmentation", "reconstruction", "frozen", "bottleneck"),
    [(16, 1_985_061, 566_497, 293_232, 885_248), (32, 7_935_045, 2_264_513, 1_171_680, 3_539_968)],
)
def test_the_parts_of_the_y_net_have_the_papers_parameters(
    width, segmentation, reconstruction, frozen, bottleneck
):
    """Its third step freezes the encoder down to the last pooling: all levels but the coarsest."""
    network = built("meta", decoder="attunet", width=width, reconstruct=True)
    *levels, coarsest = network.encoder.net.levels
    assert sum(map(parameters, (network.encoder, network.decoder, network.head))) == segmentation
    assert parameters(network.reconstruction) == reconstruction
    assert (sum(map(parameters, levels)), parameters(coarsest)) == (frozen, bottleneck)


# ------------------------------------------------------------------ gates


def gate(weighed: str, share: float) -> Gate:
    """One whose shares are all the same."""
    opened: Any = Gate(3, weighed)
    nn.init.zeros_(opened.share[1].weight)
    nn.init.constant_(opened.share[1].bias, torch.logit(torch.tensor(share, dtype=torch.float64)).item())
    return opened


@pytest.mark.parametrize("weighed", WEIGHED)
def test_an_open_gate_passes_what_it_weighs_and_a_closed_one_nothing(weighed):
    skip, upsampled = drawn(2, 3, 4, 6), drawn(2, 3, 4, 6) - 5
    whole = {"skip": skip, "upsampled": upsampled}[weighed]
    assert torch.equal(gate(weighed, 1.0)(skip, upsampled), whole)
    assert not gate(weighed, 0.0)(skip, upsampled).any()
    torch.testing.assert_close(gate(weighed, 0.25)(skip, upsampled), 0.25 * whole)


@given(st.sampled_from(WEIGHED), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_a_pixel_has_one_share_of_all_its_channels(weighed, seed):
    """An independent reading of Oktay et al., equation 1, pixel by pixel."""
    torch.manual_seed(seed)
    opened: Any = Gate(3, weighed)
    skip, upsampled = torch.randn(1, 3, 2, 3), torch.randn(1, 3, 2, 3)
    passed = opened(skip, upsampled)
    for row in range(2):
        for column in range(3):
            x, g = skip[0, :, row, column], upsampled[0, :, row, column]
            of_x, of_g, psi = opened.of_skip, opened.of_upsampled, opened.share[1]
            both = of_x.weight[:, :, 0, 0] @ x + of_x.bias + of_g.weight[:, :, 0, 0] @ g + of_g.bias
            share = torch.sigmoid(psi.weight[0, :, 0, 0] @ both.clamp(min=0) + psi.bias)
            expected = share * (x if weighed == "skip" else g)
            torch.testing.assert_close(passed[0, :, row, column], expected)


def test_without_gates_the_decoder_joins_what_comes_up_and_the_whole_skip():
    """A gate that is open passes the skip: then both decoders are one, with the same weights."""
    plain, gated = built(width=2).eval(), built(width=2, decoder="attunet").eval()
    missing, unknown = gated.load_state_dict(plain.state_dict(), strict=False)
    assert not unknown
    assert all(".gate." in name for name in missing)
    for level in gated.decoder.levels:
        nn.init.zeros_(level.gate.share[1].weight)
        nn.init.constant_(level.gate.share[1].bias, 100.0)
    images = drawn(1, 1, 32, 48)
    assert torch.equal(plain(images).logits, gated(images).logits)


# ------------------------------------------------------------------ what reaches what


def gradients(network: Segmenter, loss: Tensor) -> dict[str, Tensor]:
    """Of the parameters that the loss reaches."""
    names, learnt = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, learnt, retain_graph=True, allow_unused=True)
    return {name: each for name, each in zip(names, found, strict=True) if each is not None}


def names(network: Segmenter, *parts: str) -> set[str]:
    return {name for name, _ in network.named_parameters() if name.startswith(parts)}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_logits_reach_every_parameter_but_the_auxiliary_heads(decoder, norm):
    network = built(width=4, decoder=decoder, norm=norm, dropout="none", channels=3, outputs=2)
    found = gradients(network, (network(drawn(2, 3, 32, 32)).logits * drawn(2, 2, 32, 32)).sum())
    assert found.keys() == names(network, "encoder.", "decoder.", "head.")
    for name, gradient in found.items():  # a norm takes the bias before it out
        assert gradient.isfinite().all(), name
        assert gradient.any() or name.endswith("bias"), name


def test_the_decoders_of_the_y_net_share_the_encoder_and_nothing_else():
    network = built(width=4, decoder="attunet", reconstruct=True, dropout="none")
    output = network(drawn(2, 1, 32, 48))
    reconstructing, segmenting = (
        gradients(network, maps.sum()).keys() for maps in (output.reconstruction, output.logits)
    )
    assert reconstructing == names(network, "encoder.", "reconstruction.")
    assert segmenting == names(network, "encoder.", "decoder.", "head.")


# ------------------------------------------------------------------ shapes, layers


@pytest.mark.parametrize("side", [40, 64])
def test_the_blocks_have_strides_2_to_16_and_any_size_will_do(side):
    network = built(width=2, outputs=3, reconstruct=True)
    output = network(drawn(2, 1, side, side))
    assert output.logits.shape == (2, 3, side, side)
    assert [logits.shape for logits in output.aux_logits] == [(2, 3, 64 // s, 64 // s) for s in (2, 4, 8, 16)]
    assert output.reconstruction.shape == (2, 1, side, side)
    assert Probabilities(network)(drawn(1, 1, side, side)).shape == (1, 2, side, side)
    assert built(width=2)(drawn(1, 1, 64, 64)).reconstruction is None


@pytest.mark.parametrize(("dropout", "kind"), [("plain", nn.Dropout), ("spatial", nn.Dropout2d)])
def test_dropout_lies_between_two_convolutions_at_the_rate_of_its_level(dropout, kind):
    network = built("meta", dropout=dropout)
    rates = [
        (part.first[3].p, type(part.second[3]), part.second[3].p, type(part.first[3]))
        for part in network.modules()
        if isinstance(part, DoubleConvolution)
    ]
    by_level = [0.1, 0.1, 0.2, 0.2, 0.3]
    assert rates == [(rate, kind, 0.0, kind) for rate in by_level + by_level[-2::-1]]


def test_a_layer_is_convolution_norm_activation_dropout():
    layer = Recipe("batch", "elu", "spatial").single(2, 3, 0.1)
    assert [type(part) for part in layer] == [nn.Conv2d, nn.BatchNorm2d, nn.ELU, nn.Dropout2d]
    bare = Recipe("none", "relu", "none").single(2, 3, 0.1)
    assert [type(part) for part in bare] == [nn.Conv2d, nn.Identity, nn.ReLU, nn.Identity]


@pytest.mark.parametrize("init", INITS)
def test_first_weights_have_the_spread_that_their_name_says(init):
    network = built(init=init, decoder="attunet")
    wide = network.encoder.net.levels[4].second[0]
    inputs = outputs = 9 * 256
    spread = {"he": (2 / inputs) ** 0.5, "glorot": (2 / (inputs + outputs)) ** 0.5}[init]
    assert wide.weight.std().item() == pytest.approx(spread, rel=0.01)
    bound = {"he": 2 * spread / 0.8796, "glorot": 3**0.5 * spread}[init]
    assert 0.98 * bound < wide.weight.abs().max() <= bound * 1.001
    coming_up = network.decoder.levels[0].enlarge
    assert coming_up.weight.std().item() == pytest.approx((2 / (4 * 256 + 4 * 128)) ** 0.5, rel=0.02)
    assert not any(each.any() for name, each in network.named_parameters() if name.endswith("bias"))
