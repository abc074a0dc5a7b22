"""UNETR-2D and YNETR-2D: counts of parameters, heads of full width, shapes, and what reaches what.

Counts are those of the second paper as rebuilt in Keras and torch; its own figures are rounded.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ftu.errors import InputError
from ftu.networks.common.contract import BLOCKS, Probabilities
from ftu.networks.common.convolutions import DoubleConvolution
from ftu.networks.unetr.segmenter import ENCODERS, build_segmenter, takes_one_size
from ftu.networks.unetr.transformer import VARIANTS, Attention, Layer, Transformer, Variant
from ftu_tools.studies.networks import numbers, parameters

PLAIN: dict[str, Any] = {
    "encoder": "vit-mini", "decoder": "unetr", "width": 32, "norm": "batch",
    "activation": "relu", "dropout": "none", "init": "he", "size": 256,
}  # fmt: skip
BOTH = ["vit-mini", "yvit-mini"]


def architecture(**changes: Any) -> dict[str, Any]:
    """With the decoder that reads the encoder."""
    asked = {**PLAIN, "channels": 1, **changes}
    return {**asked, "decoder": "ynetr" if asked["encoder"].startswith("yvit") else "unetr"}


def built(device: str = "cpu", **changes: Any) -> Any:  # a Segmenter, whose parts have parts
    torch.manual_seed(0)
    with torch.device(device):
        return build_segmenter(**architecture(**changes))


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ counts


@pytest.mark.parametrize(
    ("encoder", "changes", "count"),
    [
        ("vit-mini", {}, (4_243_553, 3_456)),
        ("vit-small", {}, (9_335_457, 3_456)),
        ("vit-base", {}, (48_665_377, 3_456)),
        ("vit-base", {"width": 8}, (44_721_289, 44_722_153 - 44_721_289)),
        ("vit-base", {"width": 16}, (45_582_865, 45_584_593 - 45_582_865)),
        ("vit-base", {"width": 64}, (60_267_841, 60_274_753 - 60_267_841)),
        ("vit-mini", {"channels": 3}, (4_276_897, 3_456)),
        ("vit-small", {"channels": 3}, (9_401_569, 3_456)),
        ("vit-base", {"channels": 3}, (48_797_025, 3_456)),
        ("vit-mini", {"outputs": 4}, (4_243_652, 3_456)),
        ("vit-mini", {"norm": "none"}, (4_243_553 - 3_456, 0)),
        ("vit-mini", {"activation": "elu", "dropout": "plain", "init": "glorot"}, (4_243_553, 3_456)),
        ("yvit-mini", {}, (10_266_817, 7_424)),
        ("yvit-small", {}, (15_358_721, 7_424)),
        ("yvit-base", {}, (54_688_641, 7_424)),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_paper(encoder, changes, count):
    found = numbers(built("meta", encoder=encoder, **changes))
    assert (found.parameters, found.buffers) == count


def test_the_transformer_of_the_base_has_heads_of_its_full_width():
    """Heads of a share of it would leave 9.6 million of 44.3: the paper's count tells."""
    with torch.device("meta"):
        transformer = Transformer(1, 256, VARIANTS["base"])
    assert parameters(transformer) == 44_312_832
    assert parameters(transformer.layers[0]) == 3_681_792


# ------------------------------------------------------------------ the transformer


def test_attention_is_torchs_own_where_a_head_has_a_share_of_a_wider_token():
    """nn.MultiheadAttention splits E channels over the heads: with E = heads x D, and projections of the D
    channels that there are, its heads are ours."""
    torch.manual_seed(0)
    hidden, heads = 6, 4
    ours, tokens = Attention(hidden, heads).eval(), drawn(2, 5, hidden)
    peer = nn.MultiheadAttention(heads * hidden, heads, batch_first=True).eval()
    wide = torch.zeros(2, 5, heads * hidden)
    wide[..., :hidden] = tokens
    with torch.no_grad():
        peer.in_proj_weight.zero_()[:, :hidden] = ours.query_key_value.weight
        peer.in_proj_bias.copy_(ours.query_key_value.bias)
        peer.out_proj.weight.zero_()[:hidden] = ours.out.weight
        peer.out_proj.bias.zero_()[:hidden] = ours.out.bias
        expected, _ = peer(wide, wide, wide, need_weights=False)
        torch.testing.assert_close(ours(tokens), expected[..., :hidden])


def test_a_layer_is_that_of_the_paper():
    """Norms come first, and GELU follows both layers of the MLP."""
    torch.manual_seed(0)
    layer, tokens = Layer(4, 8, 2).eval(), drawn(1, 3, 4)
    middle = tokens + layer.attention(nn.functional.layer_norm(tokens, (4,), eps=1e-6))
    first, second = layer.mlp[0], layer.mlp[3]
    inner = nn.functional.gelu(first(nn.functional.layer_norm(middle, (4,), eps=1e-6)))
    torch.testing.assert_close(layer(tokens), middle + nn.functional.gelu(second(inner)))
    assert [part.p for part in layer.mlp if isinstance(part, nn.Dropout)] == [0.1, 0.1]


def test_the_maps_are_taken_after_each_fourth_of_the_layers():
    torch.manual_seed(0)
    transformer = Transformer(1, 32, Variant(8, 4, 8, 2)).eval()
    images, ends = drawn(1, 1, 32, 32), []
    for layer in transformer.layers:
        layer.register_forward_hook(lambda _, __, tokens: ends.append(tokens))
    maps = transformer(images)
    for number, each in enumerate(maps, start=1):
        assert torch.equal(each.flatten(2).transpose(1, 2), ends[2 * number - 1])


def test_a_token_is_a_patch_and_its_place_on_the_map_that_of_the_patch():
    torch.manual_seed(0)
    transformer: Any = Transformer(3, 64, Variant(4, 4, 8, 2)).eval()
    nn.init.zeros_(transformer.layers[0].attention.out.weight)
    images = drawn(1, 3, 64, 64)
    changed = images.clone()
    changed[..., 16:32, 48:64] += 1  # second row, fourth column
    moved = (transformer(images)[0] != transformer(changed)[0])[0].any(0)
    assert moved.nonzero().tolist() == [[1, 3]]


def test_it_begins_with_places_between_a_twentieth_below_and_above():
    places = built(size=32).encoder.net.transformer.places
    assert 0.04 < places.abs().max() <= 0.05


# ------------------------------------------------------------------ what reaches what, shapes


@pytest.mark.parametrize("encoder", BOTH)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_logits_reach_every_parameter_but_the_auxiliary_heads(encoder, norm):
    network = built(encoder=encoder, width=2, size=64, norm=norm, channels=3, outputs=2).eval()
    names, learnt = zip(*network.named_parameters(), strict=True)
    loss = (network(drawn(2, 3, 64, 64)).logits * drawn(2, 2, 64, 64)).sum()
    gradients = torch.autograd.grad(loss, learnt, allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        assert (gradient is None) == name.startswith("aux_heads."), name
        assert gradient is None or gradient.isfinite().all(), name
        assert gradient is None or gradient.any(), name


@pytest.mark.parametrize("encoder", BOTH)
@pytest.mark.parametrize(("size", "padded"), [(64, 64), (50, 64)])
def test_the_blocks_have_stride_16_and_the_logits_the_size_of_the_images(encoder, size, padded):
    network = built(encoder=encoder, width=2, size=size, outputs=3).eval()
    output = network(drawn(2, 1, size, size))
    assert output.logits.shape == (2, 3, size, size)
    assert [aux.shape for aux in output.aux_logits] == [(2, 3, padded // 16, padded // 16)] * 4
    assert Probabilities(network)(drawn(1, 1, size, size)).shape == (1, 2, size, size)
    assert takes_one_size(architecture(encoder=encoder))
    with pytest.raises(ValueError, match=r"^built for 64 x 64 px, got \(64, 96\)$"):
        network(drawn(1, 1, 64, 96))


def test_a_base_sees_images_of_256_px():
    with torch.device("meta"):
        shapes = [
            tuple(each.shape) for each in built("meta", encoder="vit-base")(torch.zeros(1, 1, 256, 256))[:1]
        ]
    assert shapes == [(1, 1, 256, 256)]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_decoder_refuses_the_other_encoders(encoder):
    other = "unetr" if encoder.startswith("yvit") else "ynetr"
    with pytest.raises(InputError, match=rf"^train\.model: decoder {other} reads .*, not {encoder}"):
        build_segmenter(**PLAIN | {"encoder": encoder, "decoder": other})


def test_maps_of_the_transformer_are_enlarged_to_their_levels():
    """z_3S once, z_2S twice, z_S three times, each time with a convolution; the image has two."""
    decoder = built("meta").decoder
    *chains, last = [level.side for level in decoder.levels]
    assert [len([part for part in chain if isinstance(part, nn.ConvTranspose2d)]) for chain in chains] == [
        1,
        2,
        3,
    ]
    assert isinstance(last, DoubleConvolution)
    with torch.device("meta"):
        recipe_of = decoder.levels[0].join.first
        assert [type(part) for part in chains[0][1]] == [type(part) for part in recipe_of]
    assert [level.enlarge.out_channels for level in decoder.levels] == [256, 128, 64, 32]


@pytest.mark.parametrize("encoder", BOTH)
def test_deeper_layers_join_at_coarser_levels(encoder):
    network, read = built(encoder=encoder, width=2, size=64).eval(), []
    for level in network.decoder.levels:
        level.side.register_forward_pre_hook(lambda _, maps: read.extend(maps))
    maps = network.encoder(drawn(1, 1, 64, 64)).maps
    network.decoder(maps)
    z_1, z_2, z_3, _ = maps[-BLOCKS:]
    assert [id(each) for each in read] == [id(each) for each in (z_3, z_2, z_1, maps[0])]


@pytest.mark.parametrize("encoder", BOTH)
@pytest.mark.parametrize("dropout", ["none", "plain", "spatial"])
def test_dropout_has_the_rate_of_its_level_and_ynetr_drops_whole_maps_of_what_it_joins(encoder, dropout):
    decoder = built("meta", encoder=encoder, dropout=dropout).decoder
    joints = [decoder.bottom, *(level.dropout for level in decoder.levels)]
    if dropout == "none" or encoder == "vit-mini":
        assert {type(joint) for joint in joints} == {nn.Identity}
    else:
        assert [(type(joint), joint.p) for joint in joints] == [
            (nn.Dropout2d, rate) for rate in (0.3, 0.2, 0.2, 0.1, 0.1)
        ]
    if dropout != "none":
        kind = {"plain": nn.Dropout, "spatial": nn.Dropout2d}[dropout]
        between = [level.join.first[3] for level in decoder.levels]
        beside = [level.side[1][3] for level in list(decoder.levels)[:3]] + [decoder.levels[3].side.first[3]]
        assert [(type(part), part.p) for part in between] == [(kind, rate) for rate in (0.2, 0.2, 0.1, 0.1)]
        assert [(type(part), part.p) for part in beside] == [(kind, rate) for rate in (0.2, 0.2, 0.1, 0.1)]
