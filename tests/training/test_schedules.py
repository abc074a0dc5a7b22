"""The loss schedules: the paper's switch by numbers, and the names that params.yaml may use."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.pipeline.sections.training import Loss, Train
from ftu.training.losses import schedules
from ftu.training.losses.terms import TERMS

PAPER = {"blocks": (2, 1), "weight": 0.2, "switch_epoch": 60}
blocks = st.tuples(st.integers(1, 4), st.integers(1, 4))
weights = st.floats(0.01, 10)


def active(schedule: schedules.Schedule, epochs: tuple[int, ...]) -> list[int]:
    return [schedules.active_block(schedule(epoch, **PAPER)) for epoch in epochs]


@pytest.mark.parametrize(
    ("name", "expected"), [("none", [0, 0, 0, 0]), ("single", [2, 2, 2, 2]), ("switched", [2, 2, 1, 1])]
)
def test_active_blocks_of_the_papers_120_epochs(name, expected):
    assert active(schedules.SCHEDULES[name], (0, 59, 60, 119)) == expected


@given(name=st.sampled_from(list(schedules.SCHEDULES)), chosen=blocks, weight=weights, data=st.data())
def test_at_most_one_block_is_supervised(name, chosen, weight, data):
    epochs = data.draw(st.integers(2, 200))
    switch = data.draw(st.integers(1, epochs - 1))
    epoch = data.draw(st.integers(0, epochs - 1))
    numbers = {"blocks": chosen, "weight": weight, "switch_epoch": switch, "contrast": 0.1}
    terms = schedules.SCHEDULES[name](epoch, **numbers)
    supervised = [count for term, count in terms.items() if term in schedules.AUX_TERMS]
    assert supervised == ([] if name in ("none", "cascade") else [weight])


@given(chosen=blocks, weight=weights, switch=st.integers(1, 100))
def test_switched_is_single_before_the_switch_and_single_of_the_other_block_after(chosen, weight, switch):
    settings = {"weight": weight, "switch_epoch": switch}
    for epoch in (0, switch - 1):
        expected = schedules.single(epoch, blocks=chosen, **settings)
        assert schedules.switched(epoch, blocks=chosen, **settings) == expected
    for epoch in (switch, switch + 1):
        expected = schedules.single(epoch, blocks=chosen[::-1], **settings)
        assert schedules.switched(epoch, blocks=chosen, **settings) == expected


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_term_names_its_block(number):
    assert schedules.active_block({"bce": 1.0, f"aux_{number}": 0.2}) == number


def test_a_term_of_no_weight_is_not_active():
    assert schedules.active_block({"bce": 1.0, "aux_2": 0.0}) == 0


def test_params_name_the_schedules_that_there_are():
    assert set(get_args(Train.model_fields["aux_loss"].annotation)) == set(schedules.SCHEDULES)


@given(
    name=st.sampled_from(list(schedules.SCHEDULES)),
    chosen=blocks,
    weight=weights,
    main=st.dictionaries(st.sampled_from(schedules.MAIN_TERMS), st.sampled_from([0.0, 0.5, 1.0])),
    epoch=st.integers(0, 99),
)
def test_a_chosen_schedule_is_the_main_terms_that_count_and_a_function_of_the_epoch_alone(
    name, chosen, weight, main, epoch
):
    numbers = {"blocks": chosen, "weight": weight, "switch_epoch": 60, "contrast": 0.1}
    expected = schedules.SCHEDULES[name](epoch, **numbers)
    counted = {term: count for term, count in main.items() if count}
    assert schedules.choose(name, chosen, weight, 60, main, 0.1)(epoch) == counted | expected


def test_params_name_the_main_terms_that_there_are():
    assert tuple(Loss.model_fields) == schedules.MAIN_TERMS == tuple(TERMS)
