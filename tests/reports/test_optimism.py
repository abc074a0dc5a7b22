"""Laws of the optimism of a chosen epoch: never negative, none where nothing was chosen, right for noise."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.probabilities.fold_maps import Selection
from ftu.reports import optimism

BEST, LAST = Selection("best", 0, False), Selection("last", 0, False)
dices = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)


@st.composite
def histories(draw: st.DrawFn, fewest: int = 2) -> tuple[list[np.ndarray], int]:
    """Curves of one or more folds, which may differ in length, and the first epoch that may be chosen."""
    first = draw(st.integers(0, 4))
    curve = st.lists(dices, min_size=first + 1, max_size=12).map(np.array)
    return draw(st.lists(curve, min_size=fewest, max_size=5)), first


@given(histories())
def test_optimism_is_never_negative(given_histories):
    curves, first = given_histories
    assert optimism.best_minus_last(curves, first) >= 0
    assert optimism.best_minus_chosen_on_others(curves, first) >= -1e-12


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_folds_changes_nothing(given_histories, random):
    curves, first = given_histories
    other = random.sample(curves, len(curves))
    for estimate in (optimism.best_minus_last, optimism.best_minus_chosen_on_others):
        assert estimate(other, first) == pytest.approx(estimate(curves, first), abs=1e-12)


@given(histories(fewest=1), st.integers(2, 5))
def test_folds_that_agree_in_everything_lose_nothing_to_a_common_epoch(given_histories, count):
    (curve, *_), first = given_histories
    assert optimism.best_minus_chosen_on_others([curve] * count, first) == pytest.approx(0, abs=1e-12)


@given(histories(fewest=1))
def test_a_best_last_epoch_is_not_flattered(given_histories):
    curves, first = given_histories
    assert optimism.best_minus_last([np.append(curve, 1.0) for curve in curves], first) == 0


@given(histories())
def test_epochs_before_the_first_do_not_count(given_histories):
    curves, first = given_histories
    for estimate in (optimism.best_minus_last, optimism.best_minus_chosen_on_others):
        later = estimate([curve[first:] for curve in curves], 0)
        assert estimate(curves, first) == pytest.approx(later, abs=1e-12)


def test_the_estimates_by_hand():
    curves = [np.array([0.5, 0.9, 0.6]), np.array([0.8, 0.7, 0.6, 0.85])]
    assert optimism.best_minus_last(curves, 0) == pytest.approx((0.3 + 0) / 2)
    assert optimism.best_minus_chosen_on_others(curves, 0) == pytest.approx((0.4 + 0.15) / 2)
    assert optimism.best_minus_last(curves, 2) == pytest.approx(0)
    assert optimism.best_minus_chosen_on_others(curves, 2) == pytest.approx((0 + 0.25) / 2)


@pytest.mark.parametrize(("epochs", "maximum"), [(10, 1.5388), (60, 2.3193)])  # of as many standard normals
@pytest.mark.parametrize("folds", [2, 5])
def test_of_pure_noise_the_estimate_is_the_true_optimism_on_average(epochs, maximum, folds):
    """No epoch is better than another: all that the best is above the mean is luck."""
    rng, deviation = np.random.default_rng(0), 0.01
    found = [
        optimism.best_minus_chosen_on_others(list(0.8 + deviation * rng.normal(size=(folds, epochs))), 0)
        for _ in range(1500)
    ]
    error = float(np.std(found)) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(maximum * deviation, abs=4 * error)
    assert error < 0.0003


# ------------------------------------------------------------------ what is said


def test_the_dice_is_that_of_the_average_where_it_ships():
    history = pd.DataFrame({"valid_dice": [0.1, 0.2], "ema_dice": [math.nan, math.nan]})
    assert optimism.shown_dice(history).tolist() == [0.1, 0.2]
    assert optimism.shown_dice(history.assign(ema_dice=[0.3, 0.4])).tolist() == [0.3, 0.4]


def test_of_the_last_epoch_it_is_said_that_none_was_chosen():
    curves = [np.array([0.9, 0.5])] * 2
    assert optimism.facts(curves, LAST) == {"rule": "last"}
    assert "no epoch was chosen" in optimism.words(curves, LAST, nested=False)


def test_a_last_epoch_by_early_stopping_is_not_called_unchosen():
    stopped = LAST._replace(stopped_early=True)
    assert optimism.facts([np.array([0.9, 0.5])], stopped) == {"rule": "last, stopped early"}
    said = optimism.words([np.array([0.9, 0.5])], stopped, nested=False)
    assert "no epoch was chosen" not in said
    assert "early stopping chose" in said


def test_epochs_that_test_images_chose_do_not_flatter_and_say_so():
    curves, watched = [np.array([0.9, 0.5])] * 2, BEST._replace(watched=3)
    assert optimism.facts(curves, watched) == {"rule": "best, by test images"}
    said = optimism.words(curves, watched, nested=True)
    assert "not chosen on these images" in said
    assert "the 3 test images, without masks: what is said of test images is transductive" in said
    assert "too high" not in said


def test_of_an_epoch_that_the_loss_chose_no_best_dice_is_told():
    """It ships another epoch than that of the best Dice."""
    curves, lowest = [np.array([0.9, 0.5])] * 2, BEST._replace(loss=True)
    assert optimism.facts(curves, lowest) == {"rule": "best, by loss"}
    said = optimism.words(curves, lowest, nested=False)
    assert "the epoch of the lowest loss (train.checkpoint best)" in said
    assert "too high" in said
    assert "0.4" not in said


@given(histories())
def test_the_words_say_what_the_facts_say(given_histories):
    curves, first = given_histories
    selection = Selection("best_after_switch", first, False)
    found, said = optimism.facts(curves, selection), optimism.words(curves, selection, nested=False)
    assert found == {
        "rule": "best_after_switch",
        "best_minus_last": round(optimism.best_minus_last(curves, first), 6),
        "best_minus_chosen_on_others": round(optimism.best_minus_chosen_on_others(curves, first), 6),
    }
    assert "train.checkpoint best_after_switch" in said
    assert f"last epoch: {found['best_minus_last']:.4f}." in said
    assert f"other folds: {found['best_minus_chosen_on_others']:.4f}." in said
    assert ("chose among the first" in said) == (len({len(curve) for curve in curves}) > 1)


def test_one_fold_has_no_others_to_choose_on():
    curves = [np.array([0.9, 0.5])]
    assert optimism.facts(curves, BEST) == {"rule": "best", "best_minus_last": 0.4}
    said = optimism.words(curves, BEST, nested=False)
    assert "mean of 1 fold)" in said
    assert "no others" in said


@pytest.mark.parametrize(
    ("selection", "nested", "expected"), [(BEST, True, 1), (BEST, False, 0), (LAST, True, 0)]
)
def test_rules_of_other_folds_are_said_not_to_undo_it(selection, nested, expected):
    assert (
        optimism.words([np.array([0.9, 0.5])] * 2, selection, nested=nested).count("do not undo") == expected
    )
