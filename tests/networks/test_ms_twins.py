"""MS-Twins: counts of parameters, shapes, windows that need no zeros, what reaches what, and its parts.

The paper gives no counts; these are those of our reading, rebuilt in torch by another hand.
"""

from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ftu.errors import InputError
from ftu.networks.common.contract import Probabilities
from ftu.networks.common.first_weights import load_encoder_weights
from ftu.networks.ms_twins import twins
from ftu.networks.ms_twins.decoder import Cascade, PatchExpand
from ftu.networks.ms_twins.fusion import McAb, MsFif, twice_as_large
from ftu.networks.ms_twins.segmenter import build_segmenter, takes_one_size
from ftu.networks.ms_twins.twins import Stage, TwinsEncoder, mirrored, window_of
from ftu_tools.studies.networks import gmac, numbers, parameters
from narrow_twins import narrow

PLAIN: dict[str, Any] = {
    "encoder": "tu-twins_svt_base", "decoder": "mstwins", "fuse": "ms_fif", "cascade": "residual",
    "drop_path": 0.0, "size": 224,
}  # fmt: skip


def built(device: str = "cpu", **changes: Any) -> Any:  # a Segmenter, whose parts have parts
    torch.manual_seed(0)
    with torch.device(device):
        return build_segmenter(**PLAIN | changes)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def _narrow(monkeypatch):
    narrow(monkeypatch)


# ------------------------------------------------------------------ counts and shapes


def test_parameters_are_those_that_the_contract_counts():
    network = built("meta", outputs=4)
    decoder = network.decoder
    assert parameters(network.encoder) == 55_300_416
    assert [parameters(each) for each in decoder.fusions] == [37_920, 149_568, 594_048]
    stages = [level.stage for level in decoder.levels] + [decoder.coarsest]
    assert [parameters(each) for each in stages] == [814_752, 1_482_048, 4_143_744, 14_183_424]
    assert [parameters(level.expand) for level in decoder.levels] == [73_920, 295_296, 1_180_416]
    assert [parameters(level.join) for level in decoder.levels] == [18_528, 73_920, 295_296]
    assert [parameters(head) for head in network.head.heads] == [3_076, 1_540, 772, 388]
    assert numbers(network).parameters == 78_649_072


@pytest.mark.parametrize(("outputs", "count"), [(1, 78_644_740), (9, 78_656_292), (14, 78_663_512)])
def test_a_class_more_is_a_row_more_in_each_head(outputs, count):
    assert numbers(built("meta", outputs=outputs)).parameters == count


def test_the_parts_can_be_left_out():
    whole, fusions = 78_644_740, 37_920 + 149_568 + 594_048
    assert numbers(built("meta", fuse="none")).parameters == whole - fusions
    assert numbers(built("meta", cascade="none")).parameters == whole - (769 + 385 + 193)
    assert numbers(built("meta", channels=1)).parameters == whole - 2 * 4 * 4 * 96


def test_multiplications_are_those_of_the_contract():
    assert gmac(PLAIN | {"family": "ms_twins"}, 224) == pytest.approx(11.86, abs=0.005)


@pytest.mark.parametrize(
    ("size", "levels", "blocks"),
    [
        (224, [7, 14, 28, 56], 224),
        (256, [8, 16, 32, 64], 256),
        (512, [16, 32, 64, 128], 512),
        (100, [7, 14, 28, 56], 224),
    ],
)
@pytest.mark.usefixtures("_narrow")
def test_a_level_has_the_stride_of_its_map_and_the_logits_the_size_of_the_images(size, levels, blocks):
    with torch.device("meta"):
        network = built("meta", encoder="tu-twins_svt_small", size=size, outputs=3)
        output = network(torch.zeros(2, 3, size, size))
    assert [each.shape for each in output.levels] == [(2, 3, side, side) for side in levels]
    assert [aux.shape[-1] for aux in output.aux_logits] == [blocks // stride for stride in (4, 8, 16, 32)]
    assert output.logits.shape == (2, 3, size, size)


@pytest.mark.usefixtures("_narrow")
def test_predictions_are_of_classes_alone_and_of_any_size():
    network = built(encoder="tu-twins_svt_small", outputs=3).eval()
    with torch.no_grad():
        assert Probabilities(network)(drawn(1, 3, 50, 70)).shape == (1, 2, 50, 70)
    assert not takes_one_size(PLAIN)


# ------------------------------------------------------------------ windows and borders


@pytest.mark.parametrize(
    ("size", "window"),
    [(224, 7), (448, 7), (256, 8), (512, 8), (768, 8), (1792, 7), (128, 7), (320, 7), (32, 7), (230, 8)],
)
def test_a_window_is_the_one_that_needs_the_least_border(size, window):
    assert window_of(size) == window


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17))
def test_a_border_is_a_mirror_image_of_what_it_borders(height, width, side):
    images = drawn(2, 3, height, width)
    found = mirrored(images, side)
    assert [length % side for length in found.shape[2:]] == [0, 0]
    assert all(0 <= more - less < side for more, less in zip(found.shape[2:], (height, width), strict=True))
    assert torch.equal(found[..., :height, :width], images)
    for axis, length in ((2, height), (3, width)):
        for place in range(length, min(found.shape[axis], 2 * length - 1)):
            mirror = found.select(axis, 2 * (length - 1) - place)
            assert torch.equal(found.select(axis, place), mirror)


def test_a_wide_border_is_mirrored_again():
    assert mirrored(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 8)[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 2, 3, 2]


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize(("size", "padded"), [(224, 224), (256, 256), (100, 224), (250, 256)])
def test_no_map_gets_a_border_of_zeros(monkeypatch, size, padded):
    """timm pads the maps of layers whose windows do not fit, by zeros: none of ours has to."""
    borders = []
    truly = nn.functional.pad
    monkeypatch.setattr(
        nn.functional, "pad", lambda maps, pad: (borders.append(sum(pad)), truly(maps, pad))[1]
    )
    network = built(encoder="tu-twins_svt_small", size=size).eval()
    with torch.no_grad():
        output = network(drawn(1, 3, size, size))
    assert borders
    assert not any(borders)
    assert output.levels[-1].shape[-1] == padded // 4


@pytest.mark.usefixtures("_narrow")
def test_windows_have_no_weights():
    seven, eight = (
        built("meta", encoder="tu-twins_svt_small", size=size).state_dict() for size in (224, 256)
    )
    assert {name: value.shape for name, value in seven.items()} == {
        name: value.shape for name, value in eight.items()
    }


# ------------------------------------------------------------------ what reaches what


def reached(loss: Tensor, network: nn.Module) -> dict[str, bool]:
    """Whether a gradient gets to each parameter, but those of the auxiliary heads."""
    names, learnt = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, learnt, allow_unused=True, retain_graph=True)
    found = zip(names, gradients, strict=True)
    return {
        name: gradient is not None and bool(gradient.any())
        for name, gradient in found
        if not name.startswith("aux_heads.")
    }


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("cascade", ["residual", "none"])
@pytest.mark.parametrize("fuse", ["ms_fif", "none"])
def test_the_logits_reach_every_parameter(fuse, cascade):
    """That of the second pass of MS-FIF, too, which a public iAFF leaves without use."""
    network = built(encoder="tu-twins_svt_small", fuse=fuse, cascade=cascade)
    loss = (network(drawn(1, 3, 224, 224)).logits * drawn(1, 1, 224, 224)).sum()
    assert all(reached(loss, network).values())


@pytest.mark.usefixtures("_narrow")
def test_a_loss_of_the_coarsest_level_stays_in_encoder_coarsest_stage_and_head():
    network = built(encoder="tu-twins_svt_small")
    output = network(drawn(1, 3, 224, 224))
    found = reached((output.levels[0] * drawn(1, 1, 7, 7)).sum(), network)
    own = ("encoder.", "decoder.coarsest.", "head.heads.0.")
    assert found == {name: name.startswith(own) for name in found}


def test_of_the_base_that_is_410_of_605_tensors():
    names = [name for name, _ in built("meta").named_parameters() if not name.startswith("aux_heads.")]
    own = [name for name in names if name.startswith(("encoder.", "decoder.coarsest.", "head.heads.0."))]
    assert (len(names), len(own)) == (605, 410)


# ------------------------------------------------------------------ the parts


def test_fusion_is_two_passes_by_hand():
    torch.manual_seed(0)
    fusion, shallow, deep = MsFif(8, 12).eval(), drawn(2, 8, 6, 4), drawn(2, 12, 3, 2)
    deep_up = nn.functional.interpolate(fusion.align(deep), scale_factor=2, mode="bilinear")
    first = fusion.first(shallow + deep_up)
    second = fusion.second(first * shallow + (1 - first) * deep_up)
    torch.testing.assert_close(fusion(shallow, deep), second * shallow + (1 - second) * deep_up)


@pytest.mark.parametrize(("share", "expected"), [(100.0, "shallow"), (-100.0, "deep")])
def test_a_share_of_1_is_the_finer_map_alone_and_of_0_the_coarser(share, expected):
    fusion, shallow, deep = MsFif(8, 12).eval(), drawn(1, 8, 4, 4), drawn(1, 12, 2, 2)
    for block in (fusion.first, fusion.second):
        nn.init.zeros_(block.of_means[2].weight)  # pyright: ignore[reportArgumentType]
        nn.init.constant_(block.of_means[2].bias, share)  # pyright: ignore[reportArgumentType]
    maps = {"shallow": shallow, "deep": twice_as_large(fusion.align(deep))}
    torch.testing.assert_close(fusion(shallow, deep), maps[expected], rtol=0, atol=1e-5)


def test_shares_add_what_pixels_and_means_say():
    torch.manual_seed(0)
    block, maps = McAb(8).eval(), drawn(2, 8, 3, 5)
    narrow_, norm, _, wide, last = block.of_pixels
    pixels = last(wide(norm(narrow_(maps)).clamp(min=0)))
    narrow_, _, wide = block.of_means
    means = wide(narrow_(nn.functional.adaptive_avg_pool2d(maps, 1)).clamp(min=0))
    torch.testing.assert_close(block(maps), (pixels + means).sigmoid())


def test_one_image_can_be_learnt_from_although_its_means_are_single_values():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        nn.BatchNorm2d(8).train()(drawn(1, 8, 1, 1))
    McAb(8).train()(drawn(1, 8, 2, 2)).sum().backward()


def test_a_pixel_becomes_four_of_a_fourth_of_the_channels_each():
    expand: Any = PatchExpand(4)
    with torch.no_grad():
        expand.expand.weight.copy_(torch.eye(4).repeat(2, 1))
        maps = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
        found, before = [], expand.norm.forward
        expand.norm.forward = lambda tokens: (found.append(tokens), before(tokens))[1]
        assert expand(maps).shape == (1, 2, 2, 2)
    assert found[0][0, ..., 0].tolist() == [[1, 2], [3, 4]]  # the first four of (1, 2, 3, 4, 1, 2, 3, 4)


def test_a_finer_level_adds_to_the_coarser_one():
    torch.manual_seed(0)
    cascade, maps = Cascade([6, 4], 3), [drawn(1, 6, 2, 3), drawn(1, 4, 4, 6)]
    coarse, fine = cascade(maps)
    torch.testing.assert_close(coarse, cascade.heads[0](maps[0]))
    torch.testing.assert_close(fine, twice_as_large(coarse) + cascade.heads[1](maps[1]))
    nn.init.zeros_(cascade.heads[1].weight)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(cascade(maps)[1], twice_as_large(coarse))


def test_every_class_is_about_as_likely_as_the_others_at_first():
    torch.manual_seed(0)
    coarse, _ = Cascade([96, 48], 3)([torch.randn(2, 96, 4, 6), torch.randn(2, 48, 8, 12)])
    assert (coarse.softmax(1) - 1 / 3).abs().max() < 0.2


@pytest.mark.usefixtures("_narrow")
def test_a_stage_is_timms_of_two_layers():
    """With the same weights, the places of pixels between them."""
    encoder: Any = TwinsEncoder("tu-twins_svt_small", 224, 0.0, 3).eval()
    layers, places = encoder.net.model.blocks[1], encoder.net.model.pos_block[1]
    stage = Stage(layers[1].attn, 7).eval()
    for own, theirs in ((stage.local, layers[0]), (stage.pooled, layers[1]), (stage.places, places)):
        own.load_state_dict(theirs.state_dict())
    maps, size = drawn(1, 32, 14, 7), (14, 7)
    with torch.no_grad():
        tokens = layers[1](places(layers[0](maps.flatten(2).transpose(1, 2), size), size), size)
        torch.testing.assert_close(stage(maps), tokens.transpose(1, 2).unflatten(2, size))


@pytest.mark.usefixtures("_narrow")
def test_skips_are_mixtures_of_neighbours_among_the_encoders_maps():
    network, read = built(encoder="tu-twins_svt_small").eval(), []
    for fusion in network.decoder.fusions:
        fusion.register_forward_pre_hook(lambda _, pair: read.append(tuple(map(id, pair))))
    with torch.no_grad():
        maps = network.encoder(drawn(1, 3, 224, 224)).maps
        network.decoder(maps)
    assert read == [(id(fine), id(coarse)) for fine, coarse in pairwise(maps)]


def test_stochastic_depth_is_the_encoders():
    network = built("meta", drop_path=0.3)
    rates = [module.drop_prob for module in network.encoder.modules() if hasattr(module, "drop_prob")]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)
    assert not any(hasattr(module, "drop_prob") for module in network.decoder.modules())


# ------------------------------------------------------------------ first weights


NAME = "tu-twins_svt_small"


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """timm's classifier, and the file of its weights."""
    narrow(monkeypatch)
    torch.manual_seed(7)
    found, path = twins.timm.create_model("twins_svt_small"), tmp_path / "twins.pth"
    torch.save({"model": found.state_dict()}, path)
    return found, str(path)


def test_a_file_of_timms_classifier_gives_timms_maps(peer):
    network, path = peer
    encoder = TwinsEncoder(NAME, 224, 0.0, 3)
    facts = load_encoder_weights(encoder, NAME, path)
    images = drawn(1, 3, 224, 224)
    with torch.no_grad():
        expected = network.eval().forward_intermediates(images, intermediates_only=True)
        for found, wanted in zip(encoder.eval()(images).maps, expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert facts["source"] == "twins.pth"
    assert "at_random" not in facts


def test_of_the_mlp_layers_alone_all_else_stays_as_it_was(peer):
    network, path = peer
    encoder = TwinsEncoder(NAME, 224, 0.0, 3)
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    facts = load_encoder_weights(encoder, NAME, path, "mlp_only")
    theirs = network.state_dict()
    for name, value in encoder.net.state_dict().items():
        mlp = ".mlp." in name
        assert torch.equal(value, theirs[name.removeprefix("model.")] if mlp else before[name]), name
    assert facts["at_random"] == "all but the MLP layers"


def test_a_file_without_mlp_layers_is_refused(peer, tmp_path):
    network, _ = peer
    path = tmp_path / "less.pth"
    torch.save({name: value for name, value in network.state_dict().items() if "mlp.fc2" not in name}, path)
    with pytest.raises(InputError, match=r"does not fit the encoder: it lacks \d+ keys"):
        load_encoder_weights(TwinsEncoder(NAME, 224, 0.0, 3), NAME, str(path), "mlp_only")


def test_timm_says_where_imagenets_weights_lie_and_their_licence():
    facts = timm.get_pretrained_cfg("twins_svt_base")
    assert facts is not None
    assert (facts.hf_hub_id, facts.license) == ("timm/twins_svt_base.in1k", "apache-2.0")
