"""Laws of the network: sizes, strides, which parameters each loss term reaches, and what inference sees."""

import pytest
import segmentation_models_pytorch as smp
import torch

from ftu.errors import InputError
from ftu.networks.common.contract import BLOCKS, Probabilities
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from toy import aux_loss

NETWORKS = [
    ("resnet18", "unet"),
    ("mobilenet_v2", "unet"),
    ("coat_lite_tiny", "daformer"),
    ("resnet18", "daformer"),
]
SIZE = 64

# The parts of each encoder whose output has stride 4, 8, 16 and 32: blocks 1 to 4.
RESNET = (("conv1", "bn1", "layer1"), ("layer2",), ("layer3",), ("layer4",))
COAT_LITE = tuple(
    tuple(f"model.{part}{block}" for part in ("patch_embed", "cls_token", "cpe", "crpe", "serial_blocks"))
    for block in (1, 2, 3, 4)
)
MOBILENET = tuple(
    tuple(f"features.{part}" for part in parts)
    for parts in (range(4), range(4, 7), range(7, 14), range(14, 19))
)
PARTS = {"resnet18": RESNET, "mobilenet_v2": MOBILENET, "coat_lite_tiny": COAT_LITE}


def block_of(encoder, name):
    """The block, 1 to 4, that the encoder's parameter called `name` belongs to."""
    (block,) = (
        number
        for number, parts in enumerate(PARTS[encoder], start=1)
        if any(name == part or name.startswith(f"{part}.") for part in parts)
    )
    return block


def built(encoder, decoder, size=SIZE):
    torch.manual_seed(0)
    return build_segmenter(encoder=encoder, decoder=decoder, width=16, fuse="conv1x1", size=size)


def drawn(size=SIZE, count=2):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=NETWORKS, ids="/".join)
def network(request):
    """Encoder name, decoder name, segmenter, and its output for two images."""
    encoder, decoder = request.param
    segmenter = built(encoder, decoder)
    return encoder, segmenter, segmenter(drawn())


@pytest.fixture
def masks():
    return (torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(2)) > 0.5).float()


def test_logits_have_the_size_of_the_images(network):
    assert network[2].logits.shape == (2, 1, SIZE, SIZE)


def test_four_auxiliary_logits_have_strides_4_8_16_32(network):
    shapes = [tuple(logits.shape) for logits in network[2].aux_logits]
    assert shapes == [(2, 1, SIZE // stride, SIZE // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize(("encoder", "decoder"), [("resnet18", "unet"), ("coat_lite_tiny", "daformer")])
def test_so_they_do_at_another_size(encoder, decoder):
    output = built(encoder, decoder, size=96)(drawn(96))
    assert output.logits.shape[-2:] == (96, 96)
    assert [logits.shape[-1] for logits in output.aux_logits] == [24, 12, 6, 3]


@pytest.mark.parametrize("block", range(1, BLOCKS + 1))
def test_an_auxiliary_term_reaches_its_block_the_ones_before_and_its_head_alone(network, masks, block):
    encoder, segmenter, output = network
    names, parameters = zip(*segmenter.named_parameters(), strict=True)
    term = aux_loss(output.aux_logits[block - 1], masks)
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(names, gradients, strict=True)
    reached = {name: gradient for name, gradient in pairs if gradient is not None}
    expected = {
        name
        for name in names
        if name.startswith(f"aux_heads.{block - 1}.")
        or (name.startswith("encoder.net.") and block_of(encoder, name.removeprefix("encoder.net.")) <= block)
    }
    assert set(reached) == expected
    assert all(gradient.isfinite().all() for gradient in reached.values())
    alive = {name for name, gradient in reached.items() if gradient.any()}
    trunk = [name.removeprefix("encoder.net.") for name in alive if name.startswith("encoder.net.")]
    assert {block_of(encoder, name) for name in trunk} == set(range(1, block + 1))
    assert {f"aux_heads.{block - 1}.weight", f"aux_heads.{block - 1}.bias"} <= alive


def test_the_main_logits_reach_everything_but_the_auxiliary_heads(network):
    _, segmenter, output = network
    names, parameters = zip(*segmenter.named_parameters(), strict=True)
    gradients = torch.autograd.grad(
        output.logits.square().mean(), parameters, retain_graph=True, allow_unused=True
    )
    for name, gradient in zip(names, gradients, strict=True):
        if name.startswith("aux_heads."):
            assert gradient is None, name
        else:
            assert gradient is not None, name
            assert gradient.isfinite().all(), name


def test_in_coat_proper_the_parallel_part_joins_blocks_2_to_4_and_spares_block_1():
    # timm takes maps 2 to 4 after CoaT's parallel blocks (coat_lite has none): a loss on block 2 also moves
    # the serial blocks past it.
    segmenter = built("coat_tiny", "daformer")
    aux = segmenter(drawn()).aux_logits
    names = segmenter.encoder.net.named_parameters()
    deepest = [parameter for name, parameter in names if name.startswith("model.serial_blocks4.")]
    for block, joined in ((1, False), (2, True), (3, True), (4, True)):
        gradients = torch.autograd.grad(aux[block - 1].sum(), deepest, retain_graph=True, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [joined] * len(deepest)


@pytest.mark.parametrize("name", ["resnet19", "coat_huge", "tu-resnet19", "tu-vit_tiny_patch16_224", ""])
def test_an_unknown_encoder_is_refused_by_name(name):
    with pytest.raises(InputError, match=rf"^train\.model\.encoder: '{name}' cannot be built"):
        build_segmenter(encoder=name, decoder="unet", width=16, fuse="conv1x1", size=SIZE)


def test_a_unet_on_four_maps_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"^train\.model: .*strides 1 and 2.*use decoder daformer"):
        build_segmenter(encoder="coat_lite_tiny", decoder="unet", width=16, fuse="conv1x1", size=SIZE)


def test_probabilities_are_the_sigmoid_of_the_logits_in_float32(network):
    segmenter = network[1].eval()
    with torch.no_grad():
        given, expected = Probabilities(segmenter)(drawn()), segmenter(drawn()).logits.sigmoid()
    segmenter.train()
    assert given.dtype == torch.float32
    assert given.min() >= 0
    assert given.max() <= 1
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


def test_probabilities_of_a_network_in_bfloat16_are_float32():
    model = Probabilities(built("resnet18", "unet")).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(drawn()).dtype == torch.float32


@pytest.mark.parametrize(("encoder", "count"), [("resnet18", 11_442_667), ("mobilenet_v2", 2_647_171)])
def test_a_unet_is_smps_and_four_heads(encoder, count):
    peer = smp.Unet(encoder, encoder_weights=None, decoder_channels=(32, 16, 8, 4, 2))
    channels = list(peer.encoder.out_channels[-BLOCKS:])
    heads = sum(channels) + len(channels)  # a 1x1 convolution each: weights and a bias
    segmenter = build_segmenter(encoder=encoder, decoder="unet", width=32, fuse="conv1x1", size=SIZE)
    assert parameters(segmenter) == parameters(peer) + heads == count


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_seed_fixes_the_first_weights():
    first, again = (built("resnet18", "daformer").state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("coat_smal", "coat_small"),
        ("efficientnet_b5", "efficientnet-b5"),
        ("pvt_v2_b3", "tu-pvt_v2_b3"),
        ("resnet1O1", "resnet101"),
    ],
)
def test_a_misspelt_encoder_is_refused_with_the_nearest_names(name, meant):
    with pytest.raises(InputError, match=rf"{name}.*unknown; the nearest are .*\b{meant}\b"):
        build_segmenter(encoder=name, decoder="daformer", width=8, fuse="conv1x1", size=32)
