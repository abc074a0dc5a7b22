"""The contract of every network of the paper's Table 2, and of small siblings that other tests use.

What each must do: logits of the image's size, four auxiliary logits at the strides of their blocks, gradients
where they belong and nowhere else, and a way to disk and back.
"""

import json

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from ftu.networks.common import saved
from ftu.networks.common.contract import BLOCKS, Segmenter
from ftu.networks.common.first_weights import non_commercial
from ftu.networks.encoder_decoder.daformer import FUSES, DaFormerDecoder
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.training.losses.terms import loss_terms, total_loss
from ftu_tools.studies.grid import read_grid
from ftu_tools.studies.run_table2 import GRIDS
from imports import ROOT
from toy import aux_loss

PAPER = {  # encoder, decoder, width: Table 2, and the authors' CoaT
    "CoaT": ("coat_small", "daformer", 320),
    "CoaT, five scales": ("coat_small_plus1", "daformer", 320),
    "PVTv2": ("tu-pvt_v2_b3", "daformer", 320),
    "Segformer": ("mit_b2", "daformer", 320),
    "Enet-b5 Unet": ("efficientnet-b5", "unet", 256),
    "Resnet101 Unet": ("resnet101", "unet", 256),
    "Enet-b5 DLv3+": ("efficientnet-b5", "deeplabv3plus", 256),
    "Resnet101 DLv3+": ("resnet101", "deeplabv3plus", 256),
}
SMALL = {
    "coat_tiny": ("coat_tiny", "daformer", 16),
    "coat_lite_tiny": ("coat_lite_tiny", "daformer", 16),
    "pvt": ("tu-pvt_v2_b0", "daformer", 16),
    "mit": ("mit_b0", "daformer", 16),
    "enet unet": ("efficientnet-b0", "unet", 16),
    "resnet unet": ("resnet18", "unet", 16),
    "enet dlv3+": ("efficientnet-b0", "deeplabv3plus", 16),
    "resnet dlv3+": ("resnet18", "deeplabv3plus", 16),
}
FUSE = {"PVTv2": "conv3x3"}  # the others': conv1x1
# smp keeps these layers of EfficientNet's classifier, behind the last map; nothing reads what they give.
UNREAD = ("encoder.net._conv_head.", "encoder.net._bn1.")
SIZE = 64
DOCS = (ROOT / "docs/models.md").read_text().splitlines()


def architecture(name: str, size: int = SIZE) -> dict:
    encoder, decoder, width = (PAPER | SMALL)[name]
    fuse = FUSE.get(name, "conv1x1")
    return {"encoder": encoder, "decoder": decoder, "width": width, "fuse": fuse, "size": size}


def built(name: str, size: int = SIZE) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(**architecture(name, size))


def drawn(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and their masks."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, size, size, generator=generator)
    return images, (torch.rand(2, 1, size, size, generator=generator) > 0.5).float()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def strides(name: str) -> tuple[int, ...]:
    return (4, 8, 16, 16) if (PAPER | SMALL)[name][1] == "deeplabv3plus" else (4, 8, 16, 32)


@pytest.fixture(scope="module", params=[*PAPER, *SMALL])
def network(request):
    """Its name, the segmenter, the maps of its blocks, and its output."""
    segmenter, maps = built(request.param), []
    segmenter.encoder.register_forward_hook(lambda _, __, features: maps.extend(features.blocks))
    return request.param, segmenter, maps, segmenter(drawn()[0])


def test_logits_have_the_size_of_the_images_and_auxiliary_logits_that_of_their_blocks(network):
    name, _, maps, output = network
    assert output.logits.shape == (2, 1, SIZE, SIZE)
    sides = [SIZE // stride for stride in strides(name)]
    assert [tuple(logits.shape) for logits in output.aux_logits] == [(2, 1, side, side) for side in sides]
    assert [block.shape[-1] for block in maps] == sides


@pytest.mark.parametrize("block", range(1, BLOCKS + 1))
def test_an_auxiliary_loss_says_nothing_to_the_blocks_past_its_own(network, block):
    _, segmenter, maps, output = network
    loss = aux_loss(output.aux_logits[block - 1], drawn()[1])
    gradients = torch.autograd.grad(loss, maps, retain_graph=True, allow_unused=True)
    assert [gradient is not None and bool(gradient.any()) for gradient in gradients] == [
        number == block or (gradients[number - 1] is not None and number < block)
        for number in range(1, BLOCKS + 1)
    ]
    rest = [*segmenter.decoder.parameters(), *segmenter.head.parameters()]
    assert not any(
        gradient is not None
        for gradient in torch.autograd.grad(loss, rest, retain_graph=True, allow_unused=True)
    )


def test_all_terms_together_reach_every_parameter_with_finite_gradients(network):
    name, segmenter, _, output = network
    weights = {"bce": 1.0} | {f"aux_{block}": 0.2 for block in range(1, BLOCKS + 1)}
    loss = total_loss(loss_terms(output, drawn()[1], weights), weights)
    names, values = zip(*segmenter.named_parameters(), strict=True)
    for key, gradient in zip(
        names, torch.autograd.grad(loss, values, retain_graph=True, allow_unused=True), strict=True
    ):
        assert (gradient is None) == key.startswith(UNREAD), (name, key)
        assert gradient is None or gradient.isfinite().all(), (name, key)


@pytest.mark.parametrize("name", SMALL)
def test_it_comes_back_from_disk_as_it_was(tmp_path, name):
    segmenter = built(name).eval()
    saved.save(tmp_path, segmenter, segmenter.state_dict(), architecture(name), {"fold": 0})
    assert json.loads((tmp_path / "model.json").read_text())["architecture"] == architecture(name)
    loaded, _ = saved.load(tmp_path)
    with torch.no_grad():
        before, after = segmenter(drawn()[0]), loaded.eval()(drawn()[0])
    torch.testing.assert_close(after[:2], before[:2], rtol=0, atol=0)


@pytest.mark.parametrize("size", [33, 50, 63, 97])
@pytest.mark.parametrize("name", SMALL)
def test_any_size_will_do(name, size):
    images, masks = drawn(size)
    segmenter = built(name, size)
    output = segmenter(images)
    assert output.logits.shape == (2, 1, size, size)
    padded = size + -size % 32
    assert [logits.shape[-1] for logits in output.aux_logits] == [
        padded // stride for stride in strides(name)
    ]
    weights = {"bce": 1.0, "aux_1": 0.2}
    assert total_loss(loss_terms(output, masks, weights), weights).isfinite()


@pytest.mark.parametrize("name", ["resnet unet", "resnet dlv3+", "pvt", "coat_lite_tiny"])
def test_padding_repeats_the_last_row_and_column_and_the_rest_is_cut_off(name):
    images, _ = drawn(50)
    by_hand = torch.nn.functional.pad(images, (0, 14, 0, 14), mode="replicate")
    segmenter = built(name, 50).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            segmenter(images).logits, segmenter(by_hand).logits[..., :50, :50], rtol=0, atol=0
        )


def test_a_padded_mask_is_the_mask_where_the_auxiliary_logits_lie():
    masks = (torch.arange(50) >= 40).float().expand(1, 1, 50, 50)
    sure = torch.where(torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]) == 1, 50.0, -50.0).expand(1, 1, 8, 8)
    assert aux_loss(sure, masks) < 1e-6  # columns 0, 8, .. 56: the mask begins at 40


@pytest.mark.parametrize(
    ("encoder", "ours", "peer"),
    [
        ("resnet18", "deeplabv3plus", smp.DeepLabV3Plus),
        ("efficientnet-b0", "deeplabv3plus", smp.DeepLabV3Plus),
        ("efficientnet-b0", "unet", smp.Unet),
    ],
)
def test_smps_own_network_with_equal_weights_gives_equal_logits(encoder, ours, peer):
    width = {"deeplabv3plus": 32, "unet": (32, 16, 8, 4, 2)}[ours]
    theirs = peer(encoder, encoder_weights=None, decoder_channels=width).eval()
    segmenter = build_segmenter(encoder=encoder, decoder=ours, width=32, fuse="conv1x1", size=SIZE).eval()
    segmenter.encoder.net.load_state_dict(theirs.encoder.state_dict())
    segmenter.decoder.load_state_dict(theirs.decoder.state_dict())
    segmenter.head.load_state_dict(theirs.segmentation_head.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(segmenter(drawn()[0]).logits, theirs(drawn()[0]), rtol=0, atol=0)


def test_parameters_are_those_of_docs_models(network):
    name, segmenter, *_ = network
    if name in PAPER:
        encoder, decoder, width = PAPER[name]
        fuse = FUSE.get(name, "conv1x1") if decoder == "daformer" else ""
        counts = f"{parameters(segmenter):,} | {parameters(segmenter.encoder):,}"
        row = f"| {name} | `{encoder}` | {decoder} | {width} | {fuse} | {counts} |"
        assert any(line.startswith(row) for line in DOCS), row


@pytest.mark.parametrize("name", [name for name in PAPER if name != "CoaT, five scales"])
def test_the_grid_of_table_2_trains_these(name):
    row = read_grid(GRIDS / "table2.yaml")[name].model.model_dump()
    assert {key: row[key] for key in ("encoder", "decoder", "width", "fuse")} == {
        key: value for key, value in architecture(name).items() if key != "size"
    }


@pytest.mark.parametrize(
    ("encoder", "ours", "peer"),
    [("resnet18", "unet", smp.Unet), ("resnet18", "deeplabv3plus", smp.DeepLabV3Plus)],
)
def test_first_weights_of_smps_decoders_and_heads_are_smps(encoder, ours, peer):
    width = {"deeplabv3plus": 32, "unet": (32, 16, 8, 4, 2)}[ours]
    torch.manual_seed(0)
    theirs = peer(encoder, encoder_weights=None, decoder_channels=width)
    torch.manual_seed(0)
    segmenter = build_segmenter(encoder=encoder, decoder=ours, width=32, fuse="conv1x1", size=SIZE)
    for part, other in ((segmenter.decoder, theirs.decoder), (segmenter.head, theirs.segmentation_head)):
        for (name, value), (key, expected) in zip(
            part.state_dict().items(), other.state_dict().items(), strict=True
        ):
            assert (name, torch.equal(value, expected)) == (key, True)


@pytest.mark.parametrize("fuse", ["conv1x1", "conv3x3", "aspp"])
def test_each_fusion_of_coat_small_has_its_parameters(fuse):
    inputs, width = 4 * 320, 320
    point, norm = inputs * width, 2 * width
    aspp = point + norm + 3 * (9 * inputs + 2 * inputs + point + norm) + 9 * 4 * width * width + norm
    decoder = DaFormerDecoder([152, 320, 320, 320], width, fuse)
    assert parameters(decoder.fuse) == {
        "conv1x1": point + norm, "conv3x3": 9 * point + norm, "aspp": aspp
    }[fuse]  # fmt: skip


def test_the_aspp_sees_18_pixels_far_and_the_convolutions_half_their_kernel():
    for fuse, reach in (
        ("aspp", 19),
        ("conv1x1", 0),
        ("conv3x3", 1),
    ):  # 18, and 1 more through the 3x3 convolution that joins
        torch.manual_seed(0)
        layer = FUSES[fuse].join(4, 4).eval()
        maps = torch.zeros(1, 4, 65, 65, requires_grad=True)
        (gradient,) = torch.autograd.grad((layer(maps + 0.1)[0, :, 32, 32] ** 2).sum(), maps)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().ravel() - 32
        assert rows.abs().max() == reach


def test_a_warning_is_given_for_weights_that_are_not_for_every_use():
    licence = "NVIDIA Source Code License, non-commercial"
    assert licence in non_commercial({"source": "imagenet", "licence": licence})
    assert non_commercial({"source": "imagenet", "licence": "apache-2.0"}) == ""


def test_the_head_of_a_unet_begins_without_a_bias_and_with_xaviers_weights():
    weight, bias = built("resnet unet").head.parameters()
    assert bias.abs().max() == 0
    bound = (
        6 / (9 * weight.shape[1] + 9)
    ) ** 0.5  # of values in and out, in a 3x3 convolution to one channel
    assert 0.5 * bound < weight.abs().max() <= bound
