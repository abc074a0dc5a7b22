"""Laws of CoaT: timm's maps at every size, a fifth scale that leaves four alone, where serial blocks end."""

import re

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ftu.networks.common.build import takes_one_size
from ftu.networks.common.contract import BLOCKS, Encoder, Probabilities, Segmenter
from ftu.networks.encoder_decoder.encoders import build_encoder
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.training.gradient_norms import block_parameters
from toy import aux_loss

SIZE = 64
# A parameter of a serial part says its scale: timm numbers them from 1.
SCALE = re.compile(r"\.(?:patch_embed|serial_blocks|cls_token|cpe|crpe)(\d)")


def drawn(height: int, width: int | None = None) -> torch.Tensor:
    return torch.randn(2, 3, height, width or height, generator=torch.Generator().manual_seed(1))


def built(name: str, size: int = SIZE) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(encoder=name, decoder="daformer", width=8, fuse="conv1x1", size=size)


def timms(encoder: Encoder, name: str, size: int | tuple[int, int]) -> torch.nn.Module:
    """timm's own network, built for images of `size`, with the encoder's weights."""
    net = timm.create_model(name, features_only=True, img_size=size)
    own = {key: value for key, value in encoder.net.state_dict().items() if key in net.state_dict()}
    net.load_state_dict(own)
    return net.eval()


@pytest.fixture(scope="module", params=["coat_lite_tiny", "coat_tiny"])
def encoder(request) -> tuple[str, Encoder]:
    torch.manual_seed(0)
    return request.param, build_encoder(request.param, SIZE, 32).eval()


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4))
def test_at_any_size_the_maps_are_those_of_timms_network_built_for_it(encoder, rows, columns):
    name, ours = encoder
    images = drawn(32 * rows, 32 * columns)
    with torch.no_grad():
        expected = timms(ours, name, (32 * rows, 32 * columns))(images)
        for given_, theirs in zip(ours(images).maps, expected, strict=True):
            torch.testing.assert_close(given_, theirs, rtol=0, atol=0)


def test_the_size_that_it_is_built_for_changes_nothing():
    small, large = built("coat_lite_tiny", 64).eval(), built("coat_lite_tiny", 256).eval()
    with torch.no_grad():
        torch.testing.assert_close(small(drawn(96)).logits, large(drawn(96)).logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("coat_small", False),
        ("coat_small_plus1", False),
        ("tu-swin_tiny_patch4_window7_224", True),
        ("resnet18", False),
    ],
)
def test_it_takes_any_size_and_others_of_one_size_do_not(name, one):
    assert takes_one_size({"encoder": name}) == one


# ------------------------------------------------------------------ a fifth scale


@pytest.fixture(scope="module")
def plus1() -> Segmenter:
    return built("coat_small_plus1")


@torch.no_grad()
def test_its_four_scales_are_those_of_coat_small_and_the_fifth_is_behind_them(plus1):
    images = drawn(128)
    features = plus1.encoder.eval()(images)
    for given_, theirs in zip(features.blocks, timms(plus1.encoder, "coat_small", 128)(images), strict=True):
        torch.testing.assert_close(given_, theirs, rtol=0, atol=0)
    assert [tuple(each.shape[1:]) for each in features.maps] == [
        (width, 128 // stride, 128 // stride)
        for width, stride in zip((152, 320, 320, 320, 320), (4, 8, 16, 32, 64), strict=True)
    ]
    plus1.train()


def test_the_fifth_scale_has_the_parts_of_the_fourth_with_weights_of_its_own(plus1):
    parts = {number: {} for number in "45"}
    for name, value in plus1.encoder.net.model.state_dict().items():
        if (found := SCALE.search(f".{name}")) and found[1] in parts:
            parts[found[1]][name.replace(found[1], "#", 1)] = value
    assert {name: value.shape for name, value in parts["4"].items()} == {
        name: value.shape for name, value in parts["5"].items()
    }
    drawn_ = [name for name in parts["4"] if name.endswith("weight") and parts["4"][name].ndim > 1]
    assert drawn_
    assert not any(torch.equal(parts["4"][name], parts["5"][name]) for name in drawn_)


def test_the_fifth_scale_reads_the_end_of_the_fourth_serial_block_alone(plus1):
    fifth = plus1.encoder(drawn(64)).maps[-1]
    names, parameters = zip(*plus1.encoder.named_parameters(), strict=True)
    reached = torch.autograd.grad(fifth.square().sum(), parameters, allow_unused=True)
    scales = {name for name, gradient in zip(names, reached, strict=True) if gradient is not None}
    assert scales == {name for name in names if SCALE.search(name)}


def test_images_are_padded_to_64_and_so_are_masks(plus1):
    images = drawn(80)
    by_hand = torch.nn.functional.pad(images, (0, 48, 0, 48), mode="replicate")
    plus1.eval()
    with torch.no_grad():
        output, expected = plus1(images), plus1(by_hand)
        torch.testing.assert_close(output.logits, expected.logits[..., :80, :80], rtol=0, atol=0)
        given_ = Probabilities(plus1)(images)
    plus1.train()
    torch.testing.assert_close(given_, output.logits.sigmoid(), rtol=0, atol=0)
    assert [each.shape[-1] for each in output.aux_logits] == [32, 16, 8, 4]
    mask = (torch.arange(80) >= 64).float().expand(1, 1, 80, 80)
    sure = torch.where(torch.arange(4) >= 2, 50.0, -50.0).expand(1, 1, 4, 4)  # columns 0, 32, 64, 96 of 128
    assert aux_loss(sure, mask, plus1.encoder.pad) < 1e-6


def test_the_decoder_reads_all_five_maps_and_the_auxiliary_heads_four(plus1):
    assert len(plus1.decoder.decoder.project) == 5
    assert [head.in_channels for head in plus1.aux_heads] == [152, 320, 320, 320]
    names = {id(parameter): name for name, parameter in plus1.encoder.named_parameters()}
    for number, block in enumerate(block_parameters(plus1, SIZE), start=1):
        serial = {SCALE.search(names[id(parameter)]) for parameter in block} - {None}
        assert {found[1] for found in serial if found} == {str(number)}


# ------------------------------------------------------------------ what an auxiliary loss reads


@pytest.mark.parametrize("name", ["coat_tiny", "coat_small_plus1"])
@pytest.mark.parametrize("block", range(1, BLOCKS + 1))
def test_a_loss_on_a_serial_end_reaches_its_scale_and_those_before_it_alone(name, block, plus1):
    segmenter = plus1 if name == "coat_small_plus1" else built(name)
    segmenter.aux_source = "serial"
    loss = aux_loss(segmenter(drawn(SIZE)).aux_logits[block - 1], torch.ones(2, 1, SIZE, SIZE))
    segmenter.aux_source = "map"
    names, parameters = zip(*segmenter.encoder.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    reached = {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}
    early = {name for name in names if (found := SCALE.search(name)) and int(found[1]) <= block}
    assert reached == early


def test_a_serial_end_is_what_the_next_scale_reads(encoder):
    _, ours = encoder
    read = []
    embeds = [getattr(ours.net.model, f"patch_embed{number}").proj for number in (2, 3, 4)]
    hooks = [each.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0])) for each in embeds]
    with torch.no_grad():
        serial = ours(drawn(SIZE)).serial
    for hook in hooks:
        hook.remove()
    assert len(serial) == BLOCKS
    for given_, expected in zip(serial[:-1], read, strict=True):
        assert torch.equal(given_, expected)


@pytest.mark.parametrize("name", ["coat_lite_tiny", "resnet18", "mit_b0"])
@torch.no_grad()
def test_without_parallel_blocks_the_serial_ends_are_the_maps(name):
    segmenter = built(name).eval()
    maps = segmenter(drawn(SIZE))
    segmenter.aux_source = "serial"
    serial = segmenter(drawn(SIZE))
    for one, other in zip(maps.aux_logits, serial.aux_logits, strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_what_the_auxiliary_heads_read_changes_no_logit_and_no_weight():
    segmenter = built("coat_tiny").eval()
    before, weights = segmenter(drawn(SIZE)), list(segmenter.state_dict())
    segmenter.aux_source = "serial"
    after = segmenter(drawn(SIZE))
    assert torch.equal(before.logits, after.logits)
    same = [torch.equal(one, two) for one, two in zip(before.aux_logits, after.aux_logits, strict=True)]
    assert same == [True, False, False, False]  # parallel blocks join scales 2 to 4
    assert list(segmenter.state_dict()) == weights
