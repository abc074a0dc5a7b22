"""Laws of the loss: tables that a hand can check, the weighted sum, the target of an auxiliary head."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

import toy
from ftu.networks.common.contract import Segmentation
from ftu.training.losses.schedules import AUX_TERMS
from ftu.training.losses.terms import Objective, aux_loss, loss_terms, total_loss

LOG3 = math.log(3)  # the logit of 3/4


def images(rows):
    """(1, 1, H, W) of a table."""
    return tensor(rows, dtype=torch.float32)[None, None]


def drawn(seed, *, size=32, dtype=torch.float32):
    """Random logits of all five outputs, and a random mask."""
    generator = torch.Generator().manual_seed(seed)
    sides = [size, size // 4, size // 8, size // 16, size // 32]
    logits = [torch.randn(2, 1, side, side, generator=generator).to(dtype) for side in sides]
    masks = (torch.rand(2, 1, size, size, generator=generator) > 0.5).float()
    return Segmentation(logits[0], logits[1:]), masks


@pytest.mark.parametrize(
    ("logits", "mask", "expected"),
    [
        ([[0.0]], [[0]], math.log(2)),
        ([[0.0]], [[1]], math.log(2)),
        ([[LOG3]], [[1]], math.log(4 / 3)),  # probability 3/4, truth 1
        ([[LOG3]], [[0]], math.log(4)),
        ([[0.0, LOG3]], [[1, 0]], 1.5 * math.log(2)),  # the mean over pixels
        ([[100.0, -100.0]], [[1, 0]], 0.0),
        ([[100.0, -100.0]], [[0, 1]], 100.0),  # finite where the probability is 0
    ],
)
def test_the_main_term_is_the_mean_cross_entropy(logits, mask, expected):
    output = Segmentation(images(logits), [images([[0]])] * 4)
    (name, value), *rest = loss_terms(output, images(mask), {"main": 1.0}).items()
    assert (name, rest) == ("main", [])
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_an_auxiliary_target_is_the_upper_left_pixel_of_each_tile():
    picked = images([[1, 0], [0, 1]])
    mask = 1 - picked.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    mask[..., ::16, ::16] = picked  # of each tile of 16 x 16 px, this pixel alone is like it
    assert aux_loss(200 * picked - 100, mask).item() == pytest.approx(0, abs=1e-9)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        other = picked.clone()
        other[0, 0, row, column] = 1 - other[0, 0, row, column]
        # one of four pixels is off by 100
        assert aux_loss(200 * other - 100, mask).item() == pytest.approx(25)


def test_an_auxiliary_target_of_the_masks_own_size_is_the_mask():
    output, masks = drawn(0)
    torch.testing.assert_close(
        aux_loss(output.logits, masks), loss_terms(output, masks, {"main": 1.0})["main"], rtol=0, atol=0
    )


@given(st.integers(0, 999), st.sampled_from(AUX_TERMS), st.floats(0.01, 2))
def test_the_total_is_main_plus_weight_times_aux(seed, name, weight):
    output, masks = drawn(seed)
    weights = {"main": 1.0, name: weight}
    terms = loss_terms(output, masks, weights)
    assert list(terms) == ["main", name]
    assert terms[name] == aux_loss(output.aux_logits[AUX_TERMS.index(name)], masks)
    expected = terms["main"].double() + weight * terms[name].double()
    assert total_loss(terms, weights).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_papers_total_is_main_plus_a_fifth_of_aux():
    output = Segmentation(images([[0.0]]), [images([[LOG3]])] * 4)
    weights = {"main": 1.0, "aux_2": 0.2}
    total = total_loss(loss_terms(output, images([[0]]), weights), weights)
    assert total.item() == pytest.approx(1.4 * math.log(2), abs=1e-6)


def test_the_main_term_alone_is_the_total_itself():
    output, masks = drawn(0)
    terms = loss_terms(output, masks, {"main": 1.0})
    assert total_loss(terms, {"main": 1.0}) is terms["main"]


@given(st.sampled_from(AUX_TERMS))
def test_weight_0_drops_the_term(name):
    output, masks = drawn(0)
    assert list(loss_terms(output, masks, {"main": 1.0, name: 0.0})) == ["main"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_terms_are_computed_in_float32(dtype):
    output, masks = drawn(0, dtype=dtype)
    exact = Segmentation(output.logits.float(), [logits.float() for logits in output.aux_logits])
    weights = {"main": 1.0} | dict.fromkeys(AUX_TERMS, 0.2)
    terms, expected = (loss_terms(given, masks, weights) for given in (output, exact))
    for name in weights:
        assert terms[name].dtype == torch.float32
        assert torch.equal(terms[name], expected[name]), name
    assert total_loss(terms, weights).dtype == torch.float32


@pytest.mark.parametrize("weights", [{"main": 1.0}, {"main": 1.0, "aux_3": 0.2}, {"main": 1.0, "aux_1": 0.0}])
def test_the_objective_gives_the_terms_of_its_networks_output_and_no_others(weights):
    torch.manual_seed(0)
    segmenter = toy.plain()
    images, masks = torch.rand(2, 3, 32, 32), drawn(0)[1]
    objective = Objective(segmenter)
    terms, expected = objective(images, masks, weights), loss_terms(segmenter(images), masks, weights)
    assert list(terms) == list(expected)
    assert all(torch.equal(terms[name], expected[name]) for name in expected)
    total_loss(terms, weights).backward()
    for name, head in zip(AUX_TERMS, segmenter.aux_heads, strict=True):
        assert (next(head.parameters()).grad is not None) == bool(weights.get(name))
    assert {id(parameter) for parameter in objective.parameters()} == {
        id(parameter) for parameter in segmenter.parameters()
    }
