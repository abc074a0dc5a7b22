"""Curves: epochs are numbers, gaps stay gaps, the switch is marked."""

import numpy as np
import pytest

import pages
from ftu.reports.page import charts


def places(points: str) -> np.ndarray:
    return np.array([point.split(",") for point in points.split()], float)


def test_epochs_lie_in_their_order_at_equal_distances():
    for chart in charts.draw({0: pages.history(12)}):
        for line in chart.lines:
            across = places(line.points)[:, 0]
            assert len(across) == 12
            assert np.ptp(np.diff(across)) < 0.2  # rounded
            assert (across[0], across[-1]) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
        assert [label for _, label in chart.across] == ["0", "2", "4", "6", "8", "10"]


def test_what_is_larger_lies_higher_and_inside():
    loss, dice, norms = charts.draw({0: pages.history(), 1: pages.history()})
    assert len(dice.lines) == 2
    up = places(dice.lines[0].points)[:, 1]
    assert (np.diff(up) < 0).all()
    for chart in (loss, dice, norms):
        for line in chart.lines:
            assert places(line.points)[:, 1].min() >= charts.TOP
            assert places(line.points)[:, 1].max() <= charts.HEIGHT - charts.BOTTOM
    assert norms.names == ["block 1", "block 2", "block 3", "block 4"]
    heights = [places(line.points)[0, 1] for line in norms.lines[:4]]
    assert heights == sorted(heights, reverse=True)
    assert loss.told.startswith("Loss by epoch, mean of the folds: train from 1 to 0.0833, validation from 2")


def test_the_switch_is_marked_where_the_block_changes():
    assert charts.switches({0: pages.history(12)}) == []
    history = pages.history(12, switch=5)
    assert charts.switches({0: history, 1: history}) == [(5, "block 2 to 1")]
    chart = charts.draw({0: history})[0]
    ((across, label),) = chart.switches
    assert label == "block 2 to 1"
    assert across == places(chart.lines[0].points)[5, 0]


def test_phases_tell_the_norms_while_each_block_was_supervised():
    history = pages.history(6, switch=2)
    history["gradient_1"] = [1.0, 3.0, 10.0, 10.0, 10.0, np.nan]
    first, second = charts.phases({0: history, 1: history})
    assert first[:3] == (2, 0, 1)
    assert second[:3] == (1, 2, 5)
    assert (first.norms[0], second.norms[0]) == (2.0, 10.0)
    assert (first.epochs, second.epochs) == (4, 8)
    (only,) = charts.phases({0: pages.history(3).drop(columns="gradient_4")})
    assert only.norms == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.3), None]


@pytest.mark.parametrize("epochs", [1, 2, 120, 1000])
def test_any_number_of_epochs_has_few_labels(epochs):
    for chart in charts.draw({0: pages.history(epochs)}):
        assert 1 <= len(chart.across) <= 7
        assert chart.across[0][1] == "0"
        assert 2 <= len(chart.up) <= 8


def test_a_gap_parts_a_line_and_what_is_not_positive_has_no_place_on_a_logarithmic_axis():
    history = pages.history(6)
    history["train_main"] = [1.0, np.nan, 0.5, 0.25, 0.0, np.inf]
    history["valid_main"] = np.nan
    loss = charts.draw({0: history})[0]
    assert [len(places(line.points)) for line in loss.lines] == [2, 2]  # a point twice is a dot
    assert loss.names == ["train"]
    assert "nan" not in str(loss)
    assert "inf" not in str(loss)


def test_a_training_without_gradients_has_no_chart_of_them():
    history = pages.history().assign(**{f"gradient_{number}": np.nan for number in range(1, 5)})
    assert [chart.title for chart in charts.draw({0: history})][-1].startswith("Dice")


def test_auxiliary_losses_are_one_kind_of_line():
    history = pages.history().assign(train_aux_1=0.5, train_aux_2=np.nan, train_aux_4=0.25)
    loss = charts.draw({0: history})[0]
    assert loss.names == ["train", "validation", "auxiliary"]
    assert [line.kind for line in loss.lines] == [0, 1, 2, 2]
