"""Laws of the gradient's norms: to which block a parameter of the encoder belongs, and what is counted."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import toy
from ftu.networks.common.contract import BLOCKS, Segmenter
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.training.frozen import freeze
from ftu.training.gradient_norms import TERMS, GradientNorms, block_parameters
from ftu.training.losses.terms import loss_terms, total_loss
from ftu.training.run import Run
from toy import prepare, train

SIZE = 64
CNNS = ["resnet18", "tu-resnet10t", "efficientnet-b0"]
TRANSFORMERS = ["mit_b0", "tu-pvt_v2_b0"]
COATS = ["coat_lite_tiny", "coat_tiny"]
ENCODERS = [*CNNS, *TRANSFORMERS, *COATS]


@pytest.fixture(autouse=True)
def _torch_as_before():
    with toy.torch_as_before():
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module", params=ENCODERS)
def built(request) -> tuple[str, Segmenter, list[list[str]]]:
    """The encoder's name, a network with it, and the names of each block's parameters."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    segmenter = build_segmenter(encoder=request.param, decoder="daformer", width=8, fuse="conv1x1", size=SIZE)
    return request.param, segmenter, names_by_block(segmenter, SIZE)


def names_by_block(segmenter: Segmenter, size: int) -> list[list[str]]:
    names = {id(parameter): name for name, parameter in segmenter.encoder.named_parameters()}
    return [[names[id(parameter)] for parameter in block] for block in block_parameters(segmenter, size)]


def maps_of(segmenter: Segmenter, image: torch.Tensor) -> list[torch.Tensor]:
    return segmenter.encoder.eval()(image).blocks


# ------------------------------------------------------------------ blocks


def test_each_parameter_that_reaches_a_map_belongs_to_one_block(built):
    _, segmenter, blocks = built
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    parameters = dict(segmenter.encoder.named_parameters())
    total = torch.stack([each.sum() for each in maps_of(segmenter, image)]).sum()
    reaching = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    expected = [name for name, found in zip(parameters, reaching, strict=True) if found is not None]
    assert sorted(name for block in blocks for name in block) == sorted(expected)
    assert len(blocks) == BLOCKS
    assert all(blocks)


def test_frozen_parameters_belong_to_the_blocks_they_are_of_and_stay_frozen():
    """So a stage finds them, which freezes parts before it reads images."""
    segmenter = toy.plain()
    free = names_by_block(segmenter, SIZE)
    freeze(segmenter, ["encoder.net.steps.1", "encoder.net.steps.3"])
    before = [parameter.requires_grad for parameter in segmenter.parameters()]
    assert names_by_block(segmenter, SIZE) == free
    assert [parameter.requires_grad for parameter in segmenter.parameters()] == before
    assert not all(before)


def test_the_stem_belongs_to_block_1(built):
    _, segmenter, blocks = built
    stem, *_ = (name for name, parameter in segmenter.encoder.named_parameters() if parameter.ndim == 4)
    assert stem in blocks[0]


def test_the_parameters_of_a_block_do_not_change_the_maps_before_it(built):
    name, segmenter, blocks = built
    if name == "coat_tiny":
        pytest.skip("its parallel blocks lead back to earlier maps")
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    parameters = dict(segmenter.encoder.named_parameters())
    with torch.no_grad():
        before = maps_of(segmenter, image)
        for number, block in enumerate(blocks):
            kept = {each: parameters[each].clone() for each in block}
            for each in block:
                parameters[each].add_(0.1)
            after = maps_of(segmenter, image)
            for each, value in kept.items():
                parameters[each].copy_(value)
            same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
            assert same[: number + 1] == [True] * number + [False]


def test_blocks_are_found_without_a_draw_or_a_change(built):
    name, segmenter, blocks = built
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    for training in (True, False):
        segmenter.train(training)
        drawn = torch.get_rng_state()
        assert names_by_block(segmenter, SIZE) == blocks, name
        assert torch.equal(torch.get_rng_state(), drawn)
        assert {module.training for module in segmenter.modules()} == {training}
    toy.assert_same(segmenter.state_dict(), before)
    assert all(parameter.grad is None for parameter in segmenter.parameters())


def test_the_size_may_be_no_multiple_of_32():
    segmenter = toy.resnet()
    assert names_by_block(segmenter, 40) == names_by_block(segmenter, 64)


def test_a_resnets_layers_are_its_blocks():
    first, *later = names_by_block(toy.resnet(), SIZE)
    parts = {name.split(".")[1] for name in first}
    assert parts == {"conv1", "bn1", "layer1"}
    assert [{name.split(".")[1] for name in block} for block in later] == [{"layer2"}, {"layer3"}, {"layer4"}]


@pytest.mark.parametrize("name", COATS)
def test_the_serial_parts_of_a_coat_belong_to_the_block_of_their_number(name):
    segmenter = build_segmenter(encoder=name, decoder="daformer", width=8, fuse="conv1x1", size=SIZE)
    blocks = names_by_block(segmenter, SIZE)
    numbered = re.compile(r"\.(serial_blocks|patch_embed|cls_token)(\d)")
    for number, block in enumerate(blocks, start=1):
        found = [found.groups() for each in block if (found := numbered.search(each))]
        assert {part for part, _ in found} == {"serial_blocks", "patch_embed", "cls_token"}
        assert {digit for _, digit in found} == {str(number)}
    assert any("parallel" in each for each in blocks[1]) == (name == "coat_tiny")


def test_a_coats_parallel_blocks_belong_to_block_2_but_for_the_last_norms_of_the_maps_behind_it():
    segmenter = build_segmenter(encoder="coat_tiny", decoder="daformer", width=8, fuse="conv1x1", size=SIZE)
    first, _, *later = (
        {name.split("parallel_blocks.")[1] for name in block if "parallel" in name}
        for block in names_by_block(segmenter, SIZE)
    )
    last = [{f"5.norm2{number}.{part}" for part in ("weight", "bias")} for number in (3, 4)]
    assert (first, later) == (set(), last)


def test_a_run_knows_the_blocks_of_its_own_network(squares):
    run: Run = prepare(squares, network=toy.plain).run
    steps = run.segmenter.encoder.net.steps
    expected = [[id(each) for each in step.parameters()] for step in steps]  # pyright: ignore[reportAttributeAccessIssue, reportGeneralTypeIssues]
    assert [[id(each) for each in block] for block in run.blocks] == expected


# ------------------------------------------------------------------ norms


def vectors(gradients: list[list[float] | None]) -> list[nn.Parameter]:
    """Parameters that hold these gradients."""
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = None if gradient is None else torch.tensor(gradient, dtype=torch.float32)
        made.append(parameter)
    return made


def test_a_norm_is_that_of_all_parameters_of_its_block():
    norms = GradientNorms([vectors([[3, 4]]), vectors([[2, 4], [4, 8]]), vectors([[0, 0]]), vectors([None])])
    assert list(norms.means()) == list(TERMS) == [f"gradient_{number}" for number in range(1, 5)]
    norms.add()
    *found, nothing = norms.means().values()
    assert found == [5, 10, 0]
    assert math.isnan(nothing)


def test_the_mean_is_over_the_steps_in_which_a_gradient_is_held_and_finite():
    block = vectors([[3.0, 4.0]])
    norms = GradientNorms([block, *(vectors([None]) for _ in range(3))])
    for gradient in ([3.0, 4.0], None, [6.0, 8.0], [math.inf, 0.0], [math.nan, 1.0]):
        block[0].grad = None if gradient is None else torch.tensor(gradient)
        norms.add()
    assert norms.means()["gradient_1"] == 7.5


@given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2), min_size=1, max_size=9))
def test_a_mean_is_that_of_numpy(steps):
    block = vectors([[0.0, 0.0]])
    norms = GradientNorms([block] * 4)
    for gradient in steps:
        block[0].grad = torch.tensor(gradient)
        norms.add()
    expected = np.linalg.norm(np.array(steps), axis=1).mean()
    assert list(norms.means().values()) == pytest.approx([expected] * 4, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_history_has_the_mean_norms_of_the_gradients_that_the_optimiser_sees(squares, accumulate):
    made, steps = prepare(squares, "switched", network=toy.plain, accumulate=accumulate), []

    def look(*_) -> None:
        held = [[each.grad for each in block if each.grad is not None] for block in made.run.blocks]
        steps.append(
            [math.sqrt(sum(np.square(each.double().numpy()).sum() for each in block)) for block in held]
        )

    made.step.register_step_pre_hook(look)
    made.finish()
    expected = np.reshape(steps, (2, 2, 4)).mean(axis=1)  # two epochs of two steps
    np.testing.assert_allclose(made.history[list(TERMS)], expected, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_an_auxiliary_term_reaches_its_block_and_those_before_it_alone(block):
    """Of a CNN, without a main term."""
    torch.manual_seed(0)
    segmenter = toy.resnet()
    norms = GradientNorms(block_parameters(segmenter, toy.SIZE))
    masks = torch.ones(2, 1, toy.SIZE, toy.SIZE)
    weights = {"bce": 0.0, f"aux_{block}": 1.0}
    total_loss(
        loss_terms(segmenter(torch.rand(2, 3, toy.SIZE, toy.SIZE)), masks, weights), weights
    ).backward()
    norms.add()
    found = list(norms.means().values())
    assert min(found[:block]) > 0
    assert [value for value in found[block:] if value != 0 and not math.isnan(value)] == []


def test_a_heavier_auxiliary_term_brings_more_gradient_to_its_block(squares):
    light, heavy = (
        train(squares, "single", network=toy.plain, epochs=2, batch_size=8, weight=weight).history.iloc[0]
        for weight in (0.0, 10.0)
    )
    assert heavy["gradient_2"] > light["gradient_2"]
    assert heavy["gradient_3"] == light["gradient_3"]  # it is behind block 2
    assert heavy["gradient_4"] == light["gradient_4"]
