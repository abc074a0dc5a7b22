"""EfficientNet-lite from a file under EfficientNet-PyTorch's names: the outputs that the file means,
exactly."""

import re

import pytest
import timm
import torch
from torch.nn import functional as F

from ftu.errors import InputError
from ftu.networks.common.efficientnet_names import in_timms_names
from ftu.networks.common.first_weights import load_encoder_weights
from ftu.networks.encoder_decoder.encoders import build_encoder

STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage (Tan and Le 2019, table 1)
REPEATS = {
    0: (1, 2, 2, 3, 3, 4, 1),
    2: (1, 3, 3, 4, 4, 5, 1),
}  # lite2: depth 1.2, but the first and the last stage
WIDTHS = {0: (16, 24, 40, 80, 112, 192, 320), 2: (16, 24, 48, 88, 120, 208, 352)}
KERNELS = (3, 3, 5, 3, 5, 5, 3)


def tensors(shapes, seed=0):
    """Random weights, and statistics that are no identity."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator)
        spread = values.numel() // max(shape[0], 1) if len(shape) > 1 else 1
        state[name] = (values - 0.5) * (12 / spread) ** 0.5 if len(shape) > 1 else values + 0.5
    return state


def norm(shapes, name, channels):
    shapes |= {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def written(number):
    """A file of efficientnet-lite`number` as EfficientNet-PyTorch writes it, at random."""
    shapes = {"_conv_stem.weight": (32, 3, 3, 3)}
    norm(shapes, "_bn0", 32)
    inputs, block = 32, 0
    for stage, (width, repeats) in enumerate(zip(WIDTHS[number], REPEATS[number], strict=True)):
        for _ in range(repeats):
            name, wide = f"_blocks.{block}", inputs * (1 if stage == 0 else 6)
            if stage:
                shapes[f"{name}._expand_conv.weight"] = (wide, inputs, 1, 1)
                norm(shapes, f"{name}._bn0", wide)
            shapes[f"{name}._depthwise_conv.weight"] = (wide, 1, KERNELS[stage], KERNELS[stage])
            norm(shapes, f"{name}._bn1", wide)
            shapes[f"{name}._project_conv.weight"] = (width, wide, 1, 1)
            norm(shapes, f"{name}._bn2", width)
            inputs, block = width, block + 1
    shapes["_conv_head.weight"] = (1280, inputs, 1, 1)
    norm(shapes, "_bn1", 1280)
    return tensors(shapes | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)})


def convolved(maps, weight, stride=1):
    """Padded as TensorFlow's SAME does: the odd pixel at the right and at the bottom."""
    kernel = weight.shape[-1]
    around = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[:1:-1]]
    pads = [part for missing in around for part in (missing // 2, missing - missing // 2)]
    groups = maps.shape[1] if weight.shape[1] == 1 else 1
    return F.conv2d(F.pad(maps, pads), weight, stride=stride, groups=groups)


def last_map(state, number, images):
    """The network by the file's own names: the map of its last block."""

    def normed(maps, name):
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(maps, *parts, eps=1e-3)

    maps = F.relu6(normed(convolved(images, state["_conv_stem.weight"], 2), "_bn0"))
    block = 0
    for stage, repeats in enumerate(REPEATS[number]):
        for repeat in range(repeats):
            name, before = f"_blocks.{block}", maps
            if stage:
                maps = F.relu6(normed(convolved(maps, state[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
            stride = STRIDES[stage] if repeat == 0 else 1
            maps = convolved(maps, state[f"{name}._depthwise_conv.weight"], stride)
            maps = F.relu6(normed(maps, f"{name}._bn1"))
            maps = normed(convolved(maps, state[f"{name}._project_conv.weight"]), f"{name}._bn2")
            maps = maps + before if repeat else maps
            block += 1
    return maps


@pytest.mark.parametrize("number", [0, 2])
def test_the_encoder_computes_what_the_file_means(number, tmp_path):
    state, name = written(number), f"tu-tf_efficientnet_lite{number}"
    torch.save(state, tmp_path / "lite.pth")
    encoder = build_encoder(name, 64, 32)
    source = load_encoder_weights(encoder, name, str(tmp_path / "lite.pth"))
    assert source["source"] == "lite.pth"
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = encoder.eval()(images).maps[-1], last_map(state, number, images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert float(expected.std()) > 0.01


def test_every_name_of_a_whole_network_is_found():
    own = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = in_timms_names(written(0), own)
    assert set(renamed) == {key for key in own if not key.endswith("num_batches_tracked")}
    assert all(renamed[key].shape == own[key].shape for key in renamed)


def test_other_files_are_left_alone():
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert in_timms_names(state, state) == state
    torchs = {"_conv_stem.weight": torch.ones(1)}  # smp's efficientnet-b0 has these names itself
    assert in_timms_names(torchs, ["_conv_stem.weight", "_blocks.0._bn1.weight"]) == torchs


def test_the_file_of_another_size_is_refused(tmp_path):
    torch.save(written(2), tmp_path / "lite2.pth")
    name = "tu-tf_efficientnet_lite0"
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'lite2.pth'} does not fit the encoder")):
        load_encoder_weights(build_encoder(name, 64, 32), name, str(tmp_path / "lite2.pth"))
