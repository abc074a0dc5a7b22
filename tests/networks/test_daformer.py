"""Laws of the DaFormer decoder: shapes, widths, the count of its parameters, and which maps it reads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ftu.networks.encoder_decoder.daformer import DaFormerDecoder, daformer_head

CHANNELS = st.lists(st.integers(1, 9), min_size=4, max_size=4)
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


@settings(max_examples=20, deadline=None)
@given(CHANNELS, WIDTHS, st.integers(2, 20))
def test_four_maps_become_one_of_the_width_at_the_finest_size(channels, width, side):
    fused = DaFormerDecoder(channels, width, "conv1x1")(pyramid(channels, side))
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


@settings(max_examples=20, deadline=None)
@given(CHANNELS, WIDTHS)
def test_parameters_are_four_projections_a_fusion_and_its_norm(channels, width):
    projections = sum(width * count + width for count in channels)
    fusion, norm = 4 * width * width, 2 * width
    assert parameters(DaFormerDecoder(channels, width, "conv1x1")) == projections + fusion + norm
    assert parameters(daformer_head(width)) == width + 1


def test_the_parameters_of_the_papers_coat_small():
    assert parameters(DaFormerDecoder([152, 320, 320, 320], 320, "conv1x1")) == 767_360


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


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    decoder, maps = DaFormerDecoder([3, 4, 5, 6], 64, "conv1x1").eval(), pyramid([3, 4, 5, 6], 16)
    with torch.no_grad():
        torch.testing.assert_close(decoder(maps), decoder(maps), rtol=0, atol=0)
        decoder.train()
        assert not torch.equal(decoder(maps), decoder(maps))


def test_a_missing_map_is_refused():
    with pytest.raises(ValueError, match="zip"):
        DaFormerDecoder([3, 4, 5, 6], 8, "conv1x1")(pyramid([3, 4, 5], 16))
