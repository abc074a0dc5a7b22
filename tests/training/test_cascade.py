"""Laws of the cascade: vectors that a hand can check, errors of the coarser level, pairs that are there."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, tensor

import toy
from ftu.networks.common import build
from ftu.networks.common.contract import Segmentation
from ftu.training.losses import cascade, schedules
from ftu.training.losses.cascade import ELSEWHERE, contrast, level, log_probabilities
from ftu.training.losses.schedules import AUX_TERMS, CONTRAST, LEVEL_TERMS
from ftu.training.losses.terms import aux_target, loss_terms, shares, total_loss
from narrow_twins import narrow

ALL = dict.fromkeys(LEVEL_TERMS, 1.0) | {CONTRAST: 0.1}
SEEDS = st.integers(0, 999)


def logits_of(probabilities: list[list[float]]) -> Tensor:
    """(1, N, 1, pixels) whose softmax these are: a row for each class."""
    return tensor(probabilities).log()[None, :, None]


def one_hot(classes: list[int], count: int) -> Tensor:
    """(1, count, 1, pixels): the shares of the class that each pixel is."""
    return shares(tensor(classes, dtype=torch.float32)[None, None, None], count)


def drawn(seed: int, outputs: int = 3, sides: tuple[int, ...] = (1, 2, 4, 8)) -> tuple[Segmentation, Tensor]:
    """Logits of two images of 32 px at each level, and masks of all classes."""
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(2, outputs, side, side, generator=generator) for side in sides]
    masks = torch.randint(max(outputs, 2), (2, 1, 32, 32), generator=generator).float()
    whole = torch.nn.functional.interpolate(levels[-1], (32, 32), mode="bilinear")
    return Segmentation(whole, levels[::-1], levels=levels), masks


# ------------------------------------------------------------------ one level


@pytest.mark.parametrize(("p", "expected"), [(0.9, 0.001054), (0.5, 0.173287), (0.1, 1.865094)])
@pytest.mark.parametrize("truth", [0, 1])
def test_a_pixel_costs_its_focal_loss_for_one_class_and_for_several(p, expected, truth):
    of_one = tensor([p if truth else 1 - p]).logit()[None, None, None]
    assert level(of_one, one_hot([truth], 1)).item() == pytest.approx(expected, abs=1e-6)
    of_three = logits_of([[p], [(1 - p) / 4], [3 * (1 - p) / 4]])
    assert level(of_three, one_hot([0], 3)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("p", "slope"), [(0.9, -0.032), (0.5, -1.193), (0.1, -12.245)])
@pytest.mark.parametrize("truth", [0, 1])
def test_its_slope_is_that_of_the_whole_product(p, slope, truth):
    """-(1 - p)^2 / p + 2 (1 - p) log p, times what p gains from the logit, p (1 - p)."""
    logit = tensor([p if truth else 1 - p]).logit()[None, None, None].requires_grad_()
    level(logit, one_hot([truth], 1)).backward()
    assert logit.grad is not None
    expected = slope * p * (1 - p) * (1 if truth else -1)
    assert logit.grad.item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("count", "expected"), [(1, 0.693147), (2, 0.693147), (4, 1.386294)])
def test_without_its_exponent_it_is_cross_entropy(monkeypatch, count, expected):
    monkeypatch.setattr(cascade, "FOCUS", 0)
    assert level(torch.zeros(1, count, 2, 3), one_hot([0], count).expand(1, count, 2, 3)).item() == (
        pytest.approx(expected, abs=1e-6)
    )


def test_pixels_count_where_the_coarser_level_errs_and_a_tenth_elsewhere(monkeypatch):
    """Each of four costs 1, and the coarser level has one of them wrong."""
    monkeypatch.setattr(cascade, "FOCUS", 0)
    ours, masks = logits_of([[math.exp(-1)] * 4, [1 - math.exp(-1)] * 4]), one_hot([0] * 4, 2)
    coarser = tensor([[5.0, 5.0, -5.0, 5.0], [0.0] * 4])[None, :, None]
    assert level(ours, masks, coarser).item() == pytest.approx(0.325, abs=1e-6)
    assert level(ours, masks).item() == pytest.approx(1, abs=1e-6)
    assert level(ours, masks, -coarser).item() == pytest.approx((3 + ELSEWHERE) / 4, abs=1e-6)


@given(SEEDS, st.sampled_from([1, 3]))
def test_errors_are_of_the_coarser_logits_enlarged_and_no_gradient_goes_through_them(seed, outputs):
    output, masks = drawn(seed, outputs)
    *_, coarser, ours = (each.requires_grad_() for each in output.levels)
    known = aux_target(shares(masks, outputs), ours.shape, "exact")
    enlarged = torch.nn.functional.interpolate(coarser, scale_factor=2, mode="bilinear")
    likeliest = enlarged > 0 if outputs == 1 else enlarged.argmax(1, keepdim=True)
    truth = known > 0.5 if outputs == 1 else known.argmax(1, keepdim=True)
    right = level(ours, known, coarser) - ELSEWHERE * level(ours, known)
    each = -(known * (1 - ours.softmax(1)) ** 2 * ours.log_softmax(1)).sum(1, keepdim=True)
    if outputs == 1:
        p = (ours * (2 * known - 1)).sigmoid()
        each = -((1 - p) ** 2) * p.log()
    expected = (1 - ELSEWHERE) * (each * (likeliest != truth)).mean()
    assert right.item() == pytest.approx(expected.item(), abs=1e-5)
    level(ours, known, coarser).backward()
    assert coarser.grad is None
    assert ours.grad is not None


# ------------------------------------------------------------------ the contrast


def test_overlap_by_hand():
    p = [[0.8, 0.6], [0.2, 0.4]]
    both = one_hot([0, 1], 2)
    assert contrast([logits_of(p)], both).item() == pytest.approx(2 / 3, abs=1e-5)
    assert contrast([logits_of(p)] * 3, both).item() == pytest.approx(2, abs=1e-5)  # a sum over levels
    of_one = tensor([0.8, 0.6]).logit()[None, None, None]
    assert contrast([of_one], one_hot([0, 1], 1)).item() == pytest.approx(2 / 3, abs=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_even_odds_overlap_whole_without_a_gradient_and_certain_ones_not_at_all(count):
    masks = one_hot(list(range(count)), count)
    even = torch.zeros(1, count, 1, count, requires_grad=True)
    overlap = contrast([even], masks)
    overlap.backward()
    assert overlap.item() == pytest.approx(1, abs=1e-5)
    assert even.grad is not None
    assert even.grad.abs().max() < 1e-6
    assert contrast([100 * masks], masks).item() == pytest.approx(0, abs=1e-6)


def test_classes_that_are_not_there_do_not_count():
    """Of two of them the ratio is near 1, however small their probabilities are."""
    p = [[0.5, 0.499], [0.498, 0.499], [0.001, 0.001], [0.001, 0.001]]
    every, some = (one_hot(classes, 4) for classes in ([0, 1, 2, 3], [0, 1, 1, 0]))
    logits = logits_of([row * 2 for row in p])
    two = contrast([logits_of(p[:2])], one_hot([0, 1], 2)).item()
    assert contrast([logits], some).item() == pytest.approx(two, abs=1e-4)
    assert contrast([logits], every).item() < two / 2


def test_a_class_of_an_image_that_does_not_count_is_not_there():
    masks = torch.cat([one_hot([0, 0], 2), one_hot([1, 1], 2)])
    logits = torch.cat([logits_of([[0.8, 0.6], [0.2, 0.4]])] * 2)
    assert contrast([logits], masks, tensor([1.0, 0.0])).item() == 0
    assert contrast([logits], masks, tensor([1.0, 1.0])).item() == pytest.approx(2 / 3, abs=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_without_a_pair_there_is_nothing_to_tell_apart(outputs):
    logits = torch.randn(2, outputs, 4, 4, requires_grad=True)
    overlap = contrast([logits], shares(torch.zeros(2, 1, 8, 8), outputs))
    overlap.backward()
    assert overlap.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@given(SEEDS)
def test_one_logit_is_two_of_which_that_of_the_background_is_0(seed):
    output, masks = drawn(seed, 1)
    two = [torch.cat([0 * each, each], dim=1) for each in output.levels]
    torch.testing.assert_close(contrast(two, shares(masks, 2)), contrast(output.levels, shares(masks, 1)))
    torch.testing.assert_close(
        level(two[2], aux_target(shares(masks, 2), two[2].shape, "exact"), two[1]),
        level(output.levels[2], aux_target(masks, two[2].shape, "exact"), output.levels[1]),
    )
    torch.testing.assert_close(log_probabilities(two[0]), log_probabilities(output.levels[0]))


# ------------------------------------------------------------------ among the other terms


@given(SEEDS, st.sampled_from([1, 3]))
def test_each_level_is_compared_with_the_next_coarser_one(seed, outputs):
    output, masks = drawn(seed, outputs)
    terms, known = loss_terms(output, masks, ALL), shares(masks, outputs)
    assert list(terms) == list(ALL) == ["level_4", "level_3", "level_2", "level_1", "contrast"]
    coarser = [None, *output.levels]
    for name, before, each in zip(LEVEL_TERMS, coarser, output.levels, strict=False):
        assert torch.equal(terms[name], level(each, aux_target(known, each.shape, "exact"), before)), name
    assert torch.equal(terms["contrast"], contrast(output.levels, known))


@given(SEEDS, st.sampled_from([*LEVEL_TERMS, CONTRAST]))
def test_weight_0_is_to_the_bit_as_if_the_term_were_not_there(seed, name):
    output, masks = drawn(seed)
    weights = {"bce": 1.0, "aux_2": 0.2} | ALL
    without = {term: weight for term, weight in weights.items() if term != name}
    less, idle = (loss_terms(output, masks, each) for each in (without, weights | {name: 0.0}))
    assert list(less) == list(idle)
    assert torch.equal(total_loss(less, without), total_loss(idle, weights | {name: 0.0}))


@given(SEEDS)
def test_equal_importance_is_none_and_an_image_of_importance_0_gives_no_gradient(seed):
    output, masks = drawn(seed)
    plain, equal = (loss_terms(output, masks, ALL, importance=each) for each in (None, torch.ones(2)))
    for name, value in plain.items():
        assert equal[name].item() == pytest.approx(value.item(), abs=1e-5), name
    for each in output.levels:
        each.requires_grad_()
    total_loss(loss_terms(output, masks, ALL, importance=tensor([0.0, 2.0])), ALL).backward()
    for each in output.levels:
        assert each.grad is not None
        assert not each.grad[0].any()
        assert each.grad[1].any()


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_terms_are_computed_in_float32(dtype, outputs):
    output, masks = drawn(0, outputs, sides=(4, 8, 16, 32))
    rounded = [each.to(dtype) for each in output.levels]
    exact = Segmentation(output.logits, output.aux_logits, levels=[each.float() for each in rounded])
    given_ = Segmentation(output.logits, output.aux_logits, levels=rounded)
    for name, value in loss_terms(given_, masks, ALL).items():
        assert value.dtype == torch.float32
        assert torch.equal(value, loss_terms(exact, masks, ALL)[name]), name


# ------------------------------------------------------------------ the schedule


@pytest.mark.parametrize("epoch", [0, 59, 60])
def test_the_cascade_is_the_same_in_every_epoch(epoch):
    weights = schedules.choose("cascade", (2, 1), 0.2, 60, {}, 0.1)(epoch)
    assert weights == ALL
    assert schedules.choose("cascade", (2, 1), 0.2, 60, {"bce": 0.5})(epoch) == {
        "bce": 0.5, **dict.fromkeys(LEVEL_TERMS, 1.0),
    }  # fmt: skip
    assert schedules.active_block(weights) == 0


def test_levels_are_the_main_terms_where_there_are_no_others():
    assert schedules.main_terms({"dice": 0.5, "aux_1": 0.2, **ALL}) == {"dice": 0.5}
    assert schedules.main_terms({"bce": 0.0, "aux_1": 0.2, **ALL}) == dict.fromkeys(LEVEL_TERMS, 1.0)
    assert schedules.main_terms({"reconstruct": 1.0}) == {}


# ------------------------------------------------------------------ in training


@pytest.fixture
def network(monkeypatch):
    narrow(monkeypatch)
    parts = {"family": "ms_twins", "encoder": "tu-twins_svt_small", "decoder": "mstwins", "fuse": "none"}
    return lambda: build.build(parts | {"cascade": "residual", "drop_path": 0.0, "size": toy.SIZE})


@pytest.fixture(autouse=True)
def _torch_as_before():
    with toy.torch_as_before():
        yield


def test_it_learns_from_levels_alone_and_is_judged_by_them(network, squares):
    made = toy.train(squares, "cascade", network=network, main={}, contrast=0.1, epochs=2, ema=0.5)
    history = made.history
    first, last = history.iloc[0], history.iloc[-1]
    levels = [f"train_{name}" for name in LEVEL_TERMS]
    assert last["train_main"] < first["train_main"]
    assert last["train_main"] == pytest.approx(last[levels].sum(), rel=1e-5)
    assert last["train_total"] == pytest.approx(last["train_main"] + 0.1 * last["train_contrast"], rel=1e-5)
    assert history[[f"train_{name}" for name in ("bce", *AUX_TERMS)]].isna().all(axis=None)
    assert (history[["valid_main", "ema_main"]] > 0).all(axis=None)
