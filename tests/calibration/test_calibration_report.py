"""What the report says and draws."""

import math

import numpy as np
import pytest
from test_choose_rules import case, hill

from ftu.calibration.choose_mixture import Mixture
from ftu.calibration.choose_rules import Settings
from ftu.calibration.dice_curves import Sizes
from ftu.calibration.nested_cv import Search, as_given, estimates, tidy
from ftu.calibration.report import NOT_NESTED, OFF, Panel, draw, facts, panels, words
from ftu.masks.cutting import Rule
from ftu.probabilities.fold_maps import Selection

LAST = Selection("last", 0, False)
TABLE = {"HPA": {"kidney": Rule(0.5, 0, 0, 0.25), "lung": Rule(0.15, 0, 0, math.nan)}}
GIVEN = as_given(Mixture("flips", (1.0, 0.5)), TABLE)
FINAL = GIVEN._replace(table={"HPA": TABLE["HPA"] | {"kidney": Rule(0.32, 50, 20, 0.25)}})


def test_scores_stand_beside_each_other_and_choices_beside_those_of_the_folds():
    scores = estimates(tidy([case(0), case(1)], [[0.6, 0.7, 0.5], [0.8, 0.9, 0.7]]), draws=100, seed=0)
    text = words(scores, FINAL, {0: FINAL, 1: GIVEN}, LAST)
    row = "| HPA kidney | 2 | 0.700 [0.600, 0.800] | 0.800 [0.700, 0.900] | 0.600 [0.500, 0.700] | 0.100 "
    assert row in text
    assert "| HPA | kidney | 0.32 | 0.32, 0.5 | 50 | 20 | thresholds, postprocess |" in text
    assert "Weights, own first: 1, 0.5 (ensemble)." in text


def test_the_report_says_over_what_its_intervals_are():
    cases, dice = [case(0), case(1)], [[0.6, 0.7, 0.5], [0.8, 0.9, 0.7]]
    text = words(estimates(tidy(cases, dice), draws=100, seed=0), FINAL, {}, LAST)
    assert "bootstrapped over images: they say what other images of this kind" in text
    grouped = [one._replace(group=f"g{k}") for k, one in enumerate(cases)]
    text = words(estimates(tidy(grouped, dice), draws=100, seed=0), FINAL, {}, LAST)
    assert "bootstrapped over groups: they say what other groups of this kind" in text
    assert "| images | count | groups | nested |" in text
    assert "| HPA kidney | 2 | 2 | 0.700 [0.600, 0.800] |" in text


def test_one_image_has_no_interval():
    scores = estimates(tidy([case(0)], [[0.6, 0.7, 0.5]]), draws=100, seed=0)
    assert "| HPA kidney | 1 | 0.600 | 0.700 | 0.500 | 0.100 |" in words(scores, FINAL, {}, LAST)


@pytest.mark.parametrize("rule", ["last", "best", "best_after_switch"])
def test_what_is_not_nested_is_named_where_it_is_so(rule):
    scores = estimates(tidy([case(0)], [[0.6, 0.7, 0.5]]), draws=100, seed=0)
    said, silent = (words(scores, FINAL, {}, each) for each in (Selection(rule, 0, False), LAST))
    assert words(scores, FINAL, {}, Selection(rule, 0, False, watched=3)) == silent  # none held out did
    assert ("the networks are not" in said) == (f"(train.checkpoint {rule})" in said) == (rule != "last")
    if rule != "last":
        assert said.replace(NOT_NESTED.format(rule=rule) + "\n\n", "") == silent


def test_facts_hold_no_nan():
    found = facts(FINAL)
    assert found["rules"]["HPA"]["lung"]["foreground"] is None
    assert found["weights"] == [1.0, 0.5]


def test_the_picture_marks_the_flat_region_the_choice_and_the_table(tmp_path, drawn):
    settings = Settings("table", Sizes((0.0, 50.0), (0.0, 20.0, 80.0)), flat=0.015, fewest=2)
    search = Search(GIVEN, ("flips",), weigh=False, part="oof", settings=settings)
    cases, curves = [case(0), case(1), case(2, "lung")], [hill(0.32, smallest=1, largest=1)] * 3
    kidney, lung = panels(cases, curves, FINAL, search)
    assert kidney.flat == (0.31, 0.33)
    assert kidney.dice.max() == pytest.approx(0.8)
    assert (lung.flat, lung.chosen, lung.table) == (None, 0.15, 0.15)  # too few images
    draw([kidney, lung], tmp_path / "a.png")
    draw([kidney, lung], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    lines = [
        {float(np.mean(np.asarray(line.get_xdata()))) for line in axes.lines[1:]} for axes in drawn[0].axes
    ]
    assert lines == [{0.32, 0.5}, {0.15}]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_panels_is_drawn(tmp_path, drawn, count):
    draw([Panel("lung", np.linspace(0, 1, 99), 0.1, 0.1, None)] * count, tmp_path / "a.png")
    assert [bool(axes.lines) for axes in drawn[0].axes].count(True) == count


def test_without_panels_the_picture_says_that_calibration_is_off(tmp_path, drawn):
    draw([], tmp_path / "a.png")
    (text,) = drawn[0].axes[0].texts
    assert text.get_text().replace("\n", " ") == OFF.words.strip()
