"""Choosing rules: the middle of the flat region, few images, sources without any."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter1d

from ftu.calibration import choose_rules
from ftu.calibration.choose_rules import Settings, carry_over, choose_table, flat_region
from ftu.calibration.dice_curves import PLAIN, THRESHOLDS, Curves, Sizes
from ftu.calibration.held_out import Held, foreground, refuse_lone_folds, too_few
from ftu.errors import InputError
from ftu.masks.cutting import Rule

SIZES = Sizes((0.0, 50.0), (0.0, 20.0, 80.0))
SETTINGS = Settings("table", SIZES, flat=0.01, fewest=3)
shares = st.floats(0, 1)


def case(number: int, organ: str = "kidney", source: str = "HPA", share: float = 0.2) -> Held:
    return Held(str(number), organ, source, number % 5, "oof", Path("-"), 0.4, share)


def hill(top: float, *, best: float = 0.8, smallest: int = 0, largest: int = 0) -> Curves:
    """Dice that falls linearly from the threshold `top`, and by 0.1 for each step from the best sizes."""
    fall = np.abs(THRESHOLDS - top)[:, None, None]
    steps = np.abs(np.arange(2) - smallest)[:, None] + np.abs(np.arange(3) - largest)
    return Curves(best - fall - 0.1 * steps, np.linspace(0.99, 0.01, 99), top)


def table(**thresholds: float) -> dict[str, dict[str, Rule]]:
    """HPA_kidney=0.5 and so on."""
    found: dict[str, dict[str, Rule]] = {}
    for name, threshold in thresholds.items():
        source, organ = name.split("_")
        found.setdefault(source, {})[organ] = Rule(threshold, 7.0, 5.0, math.nan)
    return found


PAPER = table(HPA_kidney=0.5, HPA_lung=0.15, Hubmap_kidney=0.4, Hubmap_lung=0.1)


# ------------------------------------------------------------------ flat region


@given(dice=arrays(float, st.integers(1, 40), elements=st.floats(0, 1)), flat=st.floats(0, 0.5))
def test_the_flat_region_is_the_whole_run_around_the_peak(dice, flat):
    first, last = flat_region(dice, flat)
    good = dice >= dice.max() - flat
    assert first <= np.argmax(dice) <= last
    assert good[first : last + 1].all()
    assert first == 0 or not good[first - 1]
    assert last == len(dice) - 1 or not good[last + 1]


def test_a_second_hill_beyond_a_valley_does_not_count():
    assert flat_region(np.array([0.79, 0.2, 0.75, 0.8, 0.795, 0.5, 0.8]), 0.01) == (3, 4)


def test_the_middle_of_the_flat_region_is_chosen():
    plateau = np.where((THRESHOLDS > 0.295) & (THRESHOLDS < 0.605), 0.8, 0.5) + 1e-4 * THRESHOLDS
    curves = [Curves(plateau[:, None, None], plateau, 0.5)] * 4
    chosen, why = choose_table(
        [case(k) for k in range(4)], curves, PAPER, SETTINGS._replace(sizes=PLAIN), set()
    )
    assert chosen["HPA"]["kidney"].threshold == 0.45  # the peak is at 0.6
    assert why["HPA"]["kidney"] == "4 images: the middle of 0.3 to 0.6, which are within 0.01 of the best"


def test_on_noise_the_middle_is_worth_more_than_the_peak():
    truth = 0.8 - 8 * np.maximum(np.abs(THRESHOLDS - 0.4) - 0.1, 0) ** 2
    rng, gains = np.random.default_rng(0), []
    for _ in range(300):
        noise = gaussian_filter1d(rng.normal(size=(15, 99)), 4, axis=1) * 0.15
        mean = (truth + noise).mean(axis=0)
        first, last = flat_region(mean, 0.02)
        gains.append(truth[(first + last) // 2] - truth[np.argmax(mean)])
    assert np.mean(gains) > 3 * np.std(gains) / np.sqrt(len(gains))


# ------------------------------------------------------------------ the table


def test_threshold_and_sizes_are_chosen_together():
    curves = [hill(0.3, smallest=1, largest=2), hill(0.34, smallest=1, largest=2)] * 2
    chosen, _ = choose_table([case(k) for k in range(4)], curves, PAPER, SETTINGS, set())
    assert chosen["HPA"]["kidney"][:3] == (0.32, 50.0, 80.0)
    assert chosen["HPA"]["kidney"].foreground == pytest.approx(0.2)


@pytest.mark.parametrize(("flat", "sizes"), [(0.0, (50.0, 20.0)), (0.15, (0.0, 20.0)), (0.25, (0.0, 0.0))])
def test_of_sizes_that_are_as_good_the_smallest_are_chosen(flat, sizes):
    curves = [hill(0.5, smallest=1, largest=1)] * 3
    chosen, _ = choose_table([case(k) for k in range(3)], curves, PAPER, SETTINGS._replace(flat=flat), set())
    assert chosen["HPA"]["kidney"][:3] == (0.5, *sizes)


def test_too_few_images_keep_the_rule_and_say_so():
    cases = [case(0), case(1), *(case(k, "lung") for k in range(3))]
    keep = too_few(cases, 3)
    assert keep == {("HPA", "kidney")}
    chosen, why = choose_table(cases, [hill(0.3)] * 5, PAPER, SETTINGS, keep)
    assert chosen["HPA"]["kidney"][:3] == PAPER["HPA"]["kidney"][:3]
    assert why["HPA"]["kidney"] == "kept: fewer than 3 training images"
    assert chosen["HPA"]["lung"].threshold == 0.3
    assert chosen["Hubmap"]["kidney"][:3] == PAPER["Hubmap"]["kidney"][:3]  # carried over unchanged


def test_a_source_without_images_is_carried_over():
    chosen, why = choose_table(
        [case(k) for k in range(3)], [hill(0.3, largest=1)] * 3, PAPER, SETTINGS, set()
    )
    assert chosen["Hubmap"]["kidney"].threshold == pytest.approx(0.24)  # 0.3 x 0.4 / 0.5
    assert chosen["Hubmap"]["kidney"][1:] == chosen["HPA"]["kidney"][1:]
    assert why["Hubmap"]["kidney"] == "no training image: HPA's 0.3 x 0.4 / 0.5, and its sizes"
    assert chosen["HPA"]["lung"][:3] == PAPER["HPA"]["lung"][:3]
    assert why["HPA"]["lung"] == "kept: no training image of the organ"


def test_it_is_carried_over_from_the_source_with_most_images():
    default = table(A_kidney=0.5, B_kidney=0.4, C_kidney=0.2)
    cases = [*(case(k, source="A") for k in range(3)), *(case(k, source="B") for k in range(4))]
    curves = [hill(0.3)] * 3 + [hill(0.6)] * 4
    chosen, _ = choose_table(cases, curves, default, SETTINGS, set())
    assert chosen["C"]["kidney"].threshold == pytest.approx(0.6 * 0.2 / 0.4)


@given(default=shares, absent=shares)
def test_an_unchanged_threshold_gives_exactly_the_table_s(default, absent):
    rules = [Rule(threshold, 0, 0, 0.5) for threshold in (default, absent)]
    assert carry_over(rules[0], *rules).threshold == absent


@given(chosen=shares, default=shares, absent=shares)
def test_what_is_carried_over_is_a_probability(chosen, default, absent):
    found = carry_over(*(Rule(threshold, 0, 0, 0.5) for threshold in (chosen, default, absent)))
    assert 0 <= found.threshold <= 1


@pytest.mark.parametrize("method", ["otsu", "quantile"])
def test_where_an_image_has_its_own_threshold_only_sizes_are_chosen(method):
    settings = SETTINGS._replace(method=method)
    curves = [hill(0.7, smallest=1, largest=1)] * 4
    chosen, why = choose_table([case(k, share=0.3) for k in range(4)], curves, PAPER, settings, set())
    assert chosen["HPA"]["kidney"][:3] == (0.5, 50.0, 20.0)
    assert chosen["HPA"]["kidney"].foreground == pytest.approx(0.3)
    assert chosen["Hubmap"]["kidney"].threshold == 0.4
    assert method in why["HPA"]["kidney"]
    score = choose_rules.mean_dice([case(0)], curves[:1], chosen, settings)
    assert score == pytest.approx(0.8)  # at 0.7, which is both Otsu's and the one that leaves 0.3


def test_foreground_is_the_organ_s_mean_share():
    cases = [case(0, share=0.1), case(1, share=0.3), case(2, "lung", share=0.6)]
    shifted = case(0, source="Hubmap", share=0.9)._replace(part="shifted")
    assert foreground([*cases, shifted]) == {"kidney": pytest.approx(0.2), "lung": 0.6}


def test_an_organ_that_one_fold_holds_alone_has_no_share_of_foreground():
    cases = [case(0)._replace(fold=0), case(1)._replace(fold=1)]
    refuse_lone_folds(cases)
    lone = [case(2, "lung")._replace(fold=1), case(3, "lung")._replace(fold=1)]
    with pytest.raises(InputError, match=r"quantile takes.*all images of lung lie in one; use table or otsu"):
        refuse_lone_folds([*cases, *lone])
