"""Laws of the loss: tables that a hand can check, the weighted sum, the target of an auxiliary head."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

import toy
from ftu.networks.common.contract import Segmentation
from ftu.pipeline.sections.training import Train
from ftu.training.losses.schedules import AUX_TERMS
from ftu.training.losses.terms import (
    TARGETS,
    TERMS,
    Objective,
    aux_target,
    loss_terms,
    main_loss,
    total_loss,
)
from toy import aux_loss

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
    (name, value), *rest = loss_terms(output, images(mask), {"bce": 1.0}).items()
    assert (name, rest) == ("bce", [])
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_the_nearest_target_is_the_upper_left_pixel_of_each_tile():
    picked = images([[1, 0], [0, 1]])
    mask = 1 - picked.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    mask[..., ::16, ::16] = picked  # of each tile of 16 x 16 px, this pixel alone is like it
    assert aux_loss(200 * picked - 100, mask, target="nearest").item() == pytest.approx(0, abs=1e-9)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        other = picked.clone()
        other[0, 0, row, column] = 1 - other[0, 0, row, column]
        # one of four pixels is off by 100
        assert aux_loss(200 * other - 100, mask, target="nearest").item() == pytest.approx(25)


def test_an_auxiliary_target_of_the_masks_own_size_is_the_mask():
    output, masks = drawn(0)
    torch.testing.assert_close(
        aux_loss(output.logits, masks), loss_terms(output, masks, {"bce": 1.0})["bce"], rtol=0, atol=0
    )


@given(st.integers(0, 999), st.sampled_from(AUX_TERMS), st.floats(0.01, 2))
def test_the_total_is_main_plus_weight_times_aux(seed, name, weight):
    output, masks = drawn(seed)
    weights = {"bce": 1.0, name: weight}
    terms = loss_terms(output, masks, weights)
    assert list(terms) == ["bce", name]
    assert terms[name] == aux_loss(output.aux_logits[AUX_TERMS.index(name)], masks)
    expected = terms["bce"].double() + weight * terms[name].double()
    assert total_loss(terms, weights).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_papers_total_is_main_plus_a_fifth_of_aux():
    output = Segmentation(images([[0.0]]), [images([[LOG3]])] * 4)
    weights = {"bce": 1.0, "aux_2": 0.2}
    total = total_loss(loss_terms(output, images([[0]]), weights), weights)
    assert total.item() == pytest.approx(1.4 * math.log(2), abs=1e-6)


def test_the_main_term_alone_is_the_total_itself():
    output, masks = drawn(0)
    terms = loss_terms(output, masks, {"bce": 1.0})
    assert total_loss(terms, {"bce": 1.0}) is terms["bce"]


@given(st.sampled_from(AUX_TERMS))
def test_weight_0_drops_the_term(name):
    output, masks = drawn(0)
    assert list(loss_terms(output, masks, {"bce": 1.0, name: 0.0})) == ["bce"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_terms_are_computed_in_float32(dtype):
    output, masks = drawn(0, dtype=dtype)
    exact = Segmentation(output.logits.float(), [logits.float() for logits in output.aux_logits])
    weights = {"bce": 1.0} | dict.fromkeys(AUX_TERMS, 0.2)
    terms, expected = (loss_terms(given, masks, weights) for given in (output, exact))
    for name in weights:
        assert terms[name].dtype == torch.float32
        assert torch.equal(terms[name], expected[name]), name
    assert total_loss(terms, weights).dtype == torch.float32


@pytest.mark.parametrize("weights", [{"bce": 1.0}, {"bce": 1.0, "aux_3": 0.2}, {"bce": 1.0, "aux_1": 0.0}])
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


@given(st.integers(0, 999), st.sampled_from(list(TERMS)))
def test_a_term_is_the_mean_over_images(seed, name):
    """So that an epoch's loss does not depend on how its images were dealt to batches."""
    output, masks = drawn(seed)
    each = [TERMS[name](one[None], mask[None]) for one, mask in zip(output.logits, masks, strict=True)]
    assert TERMS[name](output.logits, masks).item() == pytest.approx(
        torch.stack(each).mean().item(), abs=1e-6
    )


@pytest.mark.parametrize("name", list(TERMS))
def test_a_term_is_about_0_for_the_truth_and_falls_towards_it(name):
    masks = drawn(0)[1]
    truth = 2 * masks - 1
    values = [TERMS[name](sure * truth, masks).item() for sure in (-20, -1, 1, 20)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-6 < values[1]


def test_dice_by_hand():
    probability, mask = images([[3 / 4, 1 / 4]]), images([[1, 0]])
    assert TERMS["dice"](probability.logit(), mask).item() == pytest.approx(1 - 2 * 0.75 / (1 + 1), abs=1e-6)
    assert TERMS["dice"](probability.logit(), 0 * mask).item() == 0  # nothing to overlap with


def test_focal_and_lovasz_by_hand():
    logits, mask = images([[LOG3]]), images([[1]])
    assert TERMS["focal"](logits, mask).item() == pytest.approx(0.25**2 * math.log(4 / 3), abs=1e-6)
    assert TERMS["lovasz"](logits, mask).item() == pytest.approx(max(0.0, 1 - LOG3), abs=1e-6)
    assert TERMS["lovasz"](-logits, mask).item() == pytest.approx(1 + LOG3, abs=1e-6)


@given(st.integers(0, 999), st.sampled_from(list(TERMS)), st.floats(0.1, 2))
def test_a_main_term_counts_by_its_weight_and_of_weight_0_it_is_not_there(seed, name, weight):
    output, masks = drawn(seed)
    alone = loss_terms(output, masks, {"bce": 1.0})
    idle = loss_terms(output, masks, {"bce": 1.0, "dice": 0.0, "focal": 0.0, "lovasz": 0.0})
    assert list(idle) == ["bce"]
    assert torch.equal(idle["bce"], alone["bce"])
    weights = {"bce": 1.0, name: weight, "aux_2": 0.2}
    terms = loss_terms(output, masks, weights)
    expected = sum(weights[term] * terms[term].item() for term in {"bce", name})
    assert main_loss(terms, weights).item() == pytest.approx(expected, abs=1e-5)
    assert total_loss(terms, weights).item() == pytest.approx(
        expected + 0.2 * terms["aux_2"].item(), abs=1e-5
    )


@given(st.integers(0, 999))
def test_equal_importance_is_none_and_an_image_of_importance_0_gives_no_gradient(seed):
    output, masks = drawn(seed)
    weights = dict.fromkeys([*TERMS, *AUX_TERMS], 1.0)
    plain = loss_terms(output, masks, weights)
    equal = loss_terms(output, masks, weights, importance=torch.ones(2))
    for name, value in plain.items():
        assert equal[name].item() == pytest.approx(value.item(), abs=1e-5), name
    for logits in (output.logits, *output.aux_logits):
        logits.requires_grad_()
    terms = loss_terms(output, masks, weights, importance=torch.tensor([0.0, 2.0]))
    total_loss(terms, weights).backward()
    for logits in (output.logits, *output.aux_logits):
        assert logits.grad is not None
        assert not logits.grad[0].any()
        assert logits.grad[1].any()


STRIDES = (4, 8, 16, 32)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_targets_agree_with_the_cells_that_they_are_made_of(stride):
    """A disc, its mirror image beside it: only `nearest` takes sides."""
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    mask = (((rows - 32) ** 2 + (columns - 30) ** 2) < 22**2).float()[None, None]
    shape = torch.Size((64 // stride, 64 // stride))
    area = aux_target(mask, shape, "area")
    cells = mask.unfold(2, stride, stride).unfold(3, stride, stride)
    torch.testing.assert_close(area, cells.mean(dim=(-1, -2)), rtol=0, atol=1e-6)
    middle = stride // 2
    assert torch.equal(aux_target(mask, shape, "exact"), cells[..., middle, middle])
    assert torch.equal(aux_target(mask, shape, "nearest"), cells[..., 0, 0])


@pytest.mark.parametrize("kind", ["exact", "area"])
def test_a_mirrored_mask_has_the_mirrored_target_but_for_the_authors_one(kind):
    """Up to the one row of pixels that an even cell has no middle for."""
    generator = torch.Generator().manual_seed(0)
    coarse = (torch.rand(1, 1, 8, 8, generator=generator) > 0.5).float()
    mask = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="nearest").roll(3, dims=3)
    shape = torch.Size((8, 8))
    flipped = aux_target(mask.flip(3), shape, kind).flip(3)
    torch.testing.assert_close(flipped, aux_target(mask, shape, kind), rtol=0, atol=1e-6)
    assert not torch.equal(
        aux_target(mask.flip(3), shape, "nearest").flip(3), aux_target(mask, shape, "nearest")
    )


def test_params_name_the_targets_that_there_are():
    assert set(get_args(Train.model_fields["aux_target"].annotation)) == set(TARGETS)
