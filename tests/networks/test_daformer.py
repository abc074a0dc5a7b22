"""Laws of the DaFormer decoder: shapes, parameters, which maps it reads, and what becomes of each map."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ftu.networks.encoder_decoder.daformer import FUSES, BilinearAndNearest, DaFormerDecoder, daformer_head

CHANNELS = st.lists(st.integers(1, 9), min_size=4, max_size=5)
AUTHORS = ["conv1x1", "conv3x3"]
every_fuse = pytest.mark.parametrize("fuse", FUSES)
authors_fuse = pytest.mark.parametrize("fuse", AUTHORS)
WIDTHS = st.integers(1, 9)


def pyramid(channels, side, count=2):
    """Maps of sides `side`, side/2, side/4, side/8."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(count, c, max(side >> step, 1), max(side >> step, 1), generator=generator)
        for step, c in enumerate(channels)
    ]


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@every_fuse
@settings(max_examples=20, deadline=None)
@given(CHANNELS, WIDTHS, st.integers(2, 20))
def test_four_or_five_maps_become_one_of_the_width_at_the_finest_size(fuse, channels, width, side):
    fused = DaFormerDecoder(channels, width, fuse)(pyramid(channels, side))
    assert fused.shape == (2, width, side, side)


@settings(max_examples=20, deadline=None)
@given(WIDTHS, st.integers(1, 10), st.integers(1, 10))
def test_the_head_gives_one_logit_per_pixel_of_the_image(width, height, breadth):
    assert daformer_head(width)(torch.zeros(2, width, height, breadth)).shape == (
        2,
        1,
        4 * height,
        4 * breadth,
    )


@authors_fuse
@settings(max_examples=20, deadline=None)
@given(CHANNELS, WIDTHS)
def test_parameters_are_projections_with_norms_mixtures_a_fusion_and_its_norm(fuse, channels, width):
    norm, mixtures = 2 * width, len(channels) - 1
    projections = sum(width * count + norm for count in channels)
    fusion = len(channels) * width * width * {"conv1x1": 1, "conv3x3": 9}[fuse]
    assert parameters(DaFormerDecoder(channels, width, fuse)) == projections + mixtures + fusion + norm
    assert parameters(daformer_head(width)) == width + 1


@pytest.mark.parametrize(("fuse", "count"), [("conv1x1", 768_643), ("conv3x3", 4_045_443)])
def test_the_parameters_of_the_papers_coat_small(fuse, count):
    assert parameters(DaFormerDecoder([152, 320, 320, 320], 320, fuse)) == count


@pytest.mark.parametrize("block", range(4))
def test_every_map_counts(block):
    torch.manual_seed(0)
    decoder, maps = DaFormerDecoder([3, 4, 5, 6], 8, "conv1x1").eval(), pyramid([3, 4, 5, 6], 16)
    with torch.no_grad():
        before = decoder(maps)
        maps[block] = maps[block] + 1
        assert not torch.equal(decoder(maps), before)


def test_a_constant_stays_constant_at_every_size():
    torch.manual_seed(0)
    decoder, head = DaFormerDecoder([3, 4, 5, 6], 8, "conv1x1").eval(), daformer_head(8)
    with torch.no_grad():
        logits = head(decoder([torch.ones_like(block) for block in pyramid([3, 4, 5, 6], 16)]))
    torch.testing.assert_close(logits, torch.full_like(logits, logits[0, 0, 0, 0].item()))


@every_fuse
def test_dropout_is_for_training_alone(fuse):
    torch.manual_seed(0)
    decoder, maps = DaFormerDecoder([3, 4, 5, 6], 64, fuse).eval(), pyramid([3, 4, 5, 6], 16)
    with torch.no_grad():
        torch.testing.assert_close(decoder(maps), decoder(maps), rtol=0, atol=0)
        decoder.train()
        assert not torch.equal(decoder(maps), decoder(maps))


def test_a_missing_map_is_refused():
    with pytest.raises(ValueError, match="zip"):
        DaFormerDecoder([3, 4, 5, 6], 8, "conv1x1")(pyramid([3, 4, 5], 16))


# ------------------------------------------------------------------ the authors' fusions


@authors_fuse
@pytest.mark.parametrize("training", [True, False])
def test_what_is_joined_is_no_affine_map_of_the_maps(fuse, training):
    """An affine map f has f(a + b) + f(0) = f(a) + f(b)."""
    torch.manual_seed(0)
    decoder, maps = DaFormerDecoder([3, 4, 5, 6], 8, fuse).train(training), pyramid([3, 4, 5, 6], 16)
    other = [block.flip(0) for block in maps]
    seen = []
    convolution = decoder.get_submodule("fuse.0.0")  # before the last norm and ReLU
    convolution.register_forward_hook(lambda _, __, result: seen.append(result))
    with torch.no_grad():
        for a, b in ((1, 1), (0, 0), (1, 0), (0, 1)):
            decoder([a * one + b * two for one, two in zip(maps, other, strict=True)])
    both, nothing, first, second = seen
    distance = (both + nothing - first - second).std()
    assert distance > 0.1 * both.std()


@authors_fuse
def test_maps_whose_scales_differ_by_50_times_are_joined_at_like_scales(fuse):
    torch.manual_seed(0)
    decoder, maps = DaFormerDecoder([30, 40, 50, 60], 32, fuse).train(), pyramid([30, 40, 50, 60], 32)
    maps = [block * scale for block, scale in zip(maps, (50, 1, 7, 0.02 * 50), strict=True)]
    with torch.no_grad():
        projected = [project(block) for project, block in zip(decoder.project, maps, strict=True)]
    raw, spread = (torch.stack([each.std() for each in group]) for group in (maps, projected))
    assert raw.max() > 45 * raw.min()
    assert spread.max() < 1.1 * spread.min()


@authors_fuse
def test_each_coarser_map_is_enlarged_by_a_mixture_that_starts_at_a_half_and_learns(fuse):
    torch.manual_seed(0)
    decoder = DaFormerDecoder([3, 4, 5, 6], 8, fuse)
    decoder(pyramid([3, 4, 5, 6], 16)).square().sum().backward()
    mixtures = [parameter for name, parameter in decoder.named_parameters() if name.endswith("mix")]
    assert [mix.item() for mix in mixtures] == [0.5] * 3
    assert all(mix.grad is not None and mix.grad.abs() > 0 for mix in mixtures)


@given(st.floats(-1, 2, width=32), st.integers(1, 5), st.integers(1, 4))
def test_the_mixture_is_of_bilinear_and_of_nearest_with_the_rest(share, side, factor):
    maps, size = pyramid([3], side)[0], (side * factor, side * factor)
    enlarge = BilinearAndNearest()
    nn.init.constant_(enlarge.mix, share)
    smooth = F.interpolate(maps, size, mode="bilinear")
    sharp = maps.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    with torch.no_grad():
        torch.testing.assert_close(enlarge(maps, size), share * smooth + (1 - share) * sharp)


@pytest.mark.parametrize(("fuse", "whole_maps"), [("conv1x1", False), ("conv3x3", False), ("aspp", True)])
def test_dropout_takes_single_values_from_the_authors_fusions_and_whole_maps_from_the_original(
    fuse, whole_maps
):
    torch.manual_seed(0)
    dropout = DaFormerDecoder([3, 4, 5, 6], 8, fuse).train().fuse[1]
    zero = (dropout(torch.ones(4, 100, 8, 8)) == 0).float()
    assert 0.05 < zero.mean() < 0.15
    by_map = zero.mean(dim=(2, 3))
    assert bool(((by_map == 0) | (by_map == 1)).all()) == whole_maps


def test_the_first_map_stays_as_it_is_so_that_no_mixture_is_idle():
    assert len(DaFormerDecoder([3, 4, 5, 6, 7], 8, "conv1x1").enlarge) == 4
