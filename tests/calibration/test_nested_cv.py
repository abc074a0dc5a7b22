"""The nested estimate is right on average, and the in-sample one flatters: on images whose truth is known."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from ftu.calibration import nested_cv
from ftu.calibration.choose_mixture import Measured, Mixture
from ftu.calibration.choose_rules import Settings, lookup
from ftu.calibration.dice_curves import THRESHOLDS, Curves, Sizes
from ftu.calibration.held_out import Held
from ftu.calibration.nested_cv import Search, as_given
from ftu.errors import InputError
from ftu.files import png
from ftu.masks.cutting import Rule
from ftu.pipeline.workers.pool import HERE
from ftu.probabilities.ensemble import Experiment
from maps import write_probability

SIZES = Sizes((0.0, 50.0), (0.0, 20.0))
SETTINGS = Settings("table", SIZES, flat=0.002, fewest=5)
TABLE = {"HPA": {"kidney": Rule(0.5, 0, 0, math.nan)}}
TRUE = (0.8 - 1.5 * (THRESHOLDS - 0.4) ** 2)[:, None, None] - np.array([[0, 0.01], [0.01, 0.02]])  # (T, S, H)
IMAGES, FOLDS, REPEATS = 20, 5, 200
ONE = Mixture("flips", (1.0,))
SEARCH = Search(as_given(ONE, TABLE), ("flips",), weigh=False, part="oof", settings=SETTINGS)
CASES = [Held(str(k), "kidney", "HPA", k % FOLDS, "oof", Path("-"), 0.4, 0.2) for k in range(IMAGES)]


class Known(Measured):
    """Curves that are given, not measured."""

    def __init__(self, cases: list[Held], curves: dict[Mixture, list[Curves]]) -> None:
        super().__init__(cases, [], mean="probability", pool=HERE)
        self.curves = curves

    def of(self, mixtures, sizes):
        plain = len(sizes.smallest_objects) == 1
        cut = [[c._replace(dice=c.dice[:, :1, :1]) if plain else c for c in self.curves[m]] for m in mixtures]
        return cut


def drawn(rng: np.random.Generator, count: int = IMAGES) -> list[Curves]:
    """Images of the known distribution: their mean curve is TRUE; each is better or worse, and wavers."""
    noise = gaussian_filter1d(rng.normal(size=(count, *TRUE.shape)), 3, axis=1) * 0.3
    level = rng.normal(size=(count, 1, 1, 1)) * 0.05
    return [Curves(dice, np.linspace(0.99, 0.01, 99), 0.5) for dice in TRUE + noise + level]


def true_dice(choice: nested_cv.Choice) -> float:
    return lookup(CASES[0], Curves(TRUE, np.zeros(99), 0.5), choice.table, SETTINGS)


def run(curves: list[Curves]):
    """The nested and the in-sample score, and the true ones of what was chosen."""
    outer, final = nested_cv.choose_by_fold(Known(CASES, {ONE: curves}), SEARCH)
    pairs = list(zip(CASES, curves, strict=True))
    honest = np.mean([lookup(*pair, outer[pair[0].fold].table, SETTINGS) for pair in pairs])
    flattered = np.mean([lookup(*pair, final.table, SETTINGS) for pair in pairs])
    return honest, flattered, np.mean([true_dice(choice) for choice in outer.values()]), true_dice(final)


def test_the_nested_estimate_is_unbiased_and_the_in_sample_one_is_optimistic():
    rng = np.random.default_rng(1)
    honest, flattered, true_outer, true_final = np.array([run(drawn(rng)) for _ in range(REPEATS)]).T
    bias, optimism = honest - true_outer, flattered - true_final
    error = [np.std(values) / np.sqrt(REPEATS) for values in (bias, optimism)]
    assert abs(np.mean(bias)) < 2.5 * error[0]
    assert np.mean(optimism) > 5 * error[1]
    assert np.mean(optimism) > 0.01


def test_what_a_fold_is_scored_by_does_not_depend_on_its_images():
    rng = np.random.default_rng(2)
    curves, others = drawn(rng), drawn(rng)
    before, _ = nested_cv.choose_by_fold(Known(CASES, {ONE: curves}), SEARCH)
    for fold in range(FOLDS):
        mixed = [others[k] if case.fold == fold else curves[k] for k, case in enumerate(CASES)]
        after, _ = nested_cv.choose_by_fold(Known(CASES, {ONE: mixed}), SEARCH)
        assert after[fold].table["HPA"]["kidney"] == before[fold].table["HPA"]["kidney"]
        assert any(after[k].table != before[k].table for k in before)


def test_views_and_weights_are_chosen_by_the_deciding_part():
    """Views b are better for shifted images, and equal weights are best of all."""
    rng = np.random.default_rng(3)
    shifted = [case._replace(part="shifted", data_source="Hubmap") for case in CASES]

    class Mixed(Known):
        def of(self, mixtures, sizes):
            self.curves |= {m: [*self.worse(m.tta == "b"), *self.worse(m.tta == "a", m)] for m in mixtures}
            return super().of(mixtures, sizes)

        def worse(self, yes: bool, mixture: Mixture | None = None) -> list[Curves]:
            loss = 0.1 * yes + (0.1 * abs(mixture.weights[0] - 0.5) if mixture else 0)
            return [curve._replace(dice=curve.dice - loss) for curve in base]

    base = drawn(rng)
    start = as_given(Mixture("a", (1.0, 0.1)), TABLE | {"Hubmap": {"kidney": Rule(0.4, 0, 0, math.nan)}})
    for part, views in (("oof", "a"), ("shifted", "b")):
        search = Search(start, ("a", "b"), weigh=part == "shifted", part=part, settings=SETTINGS)
        outer, final = nested_cv.choose_by_fold(Mixed([*CASES, *shifted], {}), search)
        assert {choice.mixture.tta for choice in (*outer.values(), final)} == {views}
        assert final.mixture.weights == ((1.0, 0.1) if part == "oof" else (0.5, 0.5))
    assert final.why["weights"] == "greedy selection on 20 images"


# ------------------------------------------------------------------ estimates


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng, repeats = np.random.default_rng(4), 500
    inside = 0
    for _ in range(repeats):
        found = nested_cv.estimate(rng.beta(8, 2, size=40), draws=400, seed=0)
        assert found["low"] is not None
        assert found["high"] is not None
        inside += found["low"] <= 0.8 <= found["high"]
    assert 0.91 <= inside / repeats <= 0.98


def test_one_image_has_no_interval_and_equal_input_gives_equal_numbers():
    assert nested_cv.estimate(np.array([0.5]), draws=10, seed=0) == {"dice": 0.5, "low": None, "high": None}
    values = np.random.default_rng(0).uniform(size=10)
    assert nested_cv.estimate(values, draws=50, seed=1) == nested_cv.estimate(values, draws=50, seed=1)


def test_estimates_are_means_of_each_part_and_pair_and_gains_are_paired():
    cases = [*CASES[:3], CASES[3]._replace(part="shifted", data_source="Hubmap")]
    scores = [[0.6, 0.7, 0.5], [0.8, 0.9, 0.7], [0.7, 0.7, 0.6], [0.4, 0.5, 0.6]]
    table = nested_cv.tidy(cases, scores)
    assert isinstance(table, pd.DataFrame)
    found = nested_cv.estimates(table, draws=100, seed=0)
    assert list(found) == ["all oof", "all shifted", "HPA kidney", "Hubmap kidney"]
    assert found["HPA kidney"]["images"] == 3
    assert [
        found["all oof"][way]["dice"] for way in ("nested", "in_sample", "table", "gain")
    ] == pytest.approx([0.7, 0.766667, 0.6, 0.1], abs=1e-6)
    assert found["all oof"]["gain"]["low"] == pytest.approx(0.1)  # the same for each image
    assert found["Hubmap kidney"]["gain"]["dice"] == pytest.approx(-0.2)


def test_estimates_are_over_groups_where_these_are_known():
    scores = [[0.6, 0.6, 0.5], [0.8, 0.8, 0.7], [0.7, 0.7, 0.6]]
    plain = nested_cv.estimates(nested_cv.tidy(CASES[:3], scores), draws=100, seed=0)["all oof"]
    twice = [case._replace(group=f"g{k}") for _ in range(2) for k, case in enumerate(CASES[:3])]
    table = nested_cv.tidy(twice, scores * 2)
    assert table["group"].tolist() == ["g0", "g1", "g2"] * 2
    found = nested_cv.estimates(table, draws=100, seed=0)["all oof"]
    assert (found.pop("images"), found.pop("groups"), plain.pop("images")) == (6, 3, 3)
    assert found == plain  # no image was added that says anything new
    lone = nested_cv.tidy([case._replace(group="g") for case in CASES[:3]], scores)
    assert nested_cv.estimates(lone, draws=100, seed=0)["all oof"]["nested"]["low"] is None


def test_of_one_set_of_views_the_parameters_are_the_reason():
    _, final = nested_cv.choose_by_fold(Known(CASES, {ONE: drawn(np.random.default_rng(0))}), SEARCH)
    assert final.why["tta"] == "predict.tta"
    assert final.why["weights"] == "ensemble"
    assert set(final.why["rules"]) == {"HPA"}


def test_what_is_given_says_where_it_comes_from():
    why = as_given(ONE, TABLE).why
    assert why["rules"] == {"HPA": {"kidney": "thresholds, postprocess"}}
    assert (why["tta"], why["weights"]) == ("predict.tta", "ensemble")


def test_estimates_have_six_digits():
    found = nested_cv.estimate(np.array([1 / 3, 2 / 3, 1 / 7]), draws=50, seed=0)
    assert found["dice"] == 0.380952
    assert all(value == round(value, 6) for value in found.values() if value is not None)
    assert nested_cv.estimate(np.array([1 / 3]), draws=50, seed=0) == {
        "dice": 0.333333,
        "low": None,
        "high": None,
    }


@pytest.mark.parametrize("run", [[], [0], [3]])
def test_one_fold_parts_nothing(run):
    with pytest.raises(InputError, match=r"calibrate\.enabled: split\.run is \[.*run at least two"):
        nested_cv.check_folds(run)
    nested_cv.check_folds([0, 3])


def test_as_rules_gives_each_member_its_weight():
    mixture = Mixture("d4", (0.5, 0.25, 0.125))
    found = nested_cv.as_rules(as_given(mixture, TABLE), ["b", "a"], "otsu")
    assert (found.tta, found.own, found.members, found.method) == ("d4", 0.5, {"b": 0.25, "a": 0.125}, "otsu")
    with pytest.raises(ValueError, match="argument"):
        nested_cv.as_rules(as_given(mixture, TABLE), ["b"], "otsu")


def test_each_case_is_scored_by_its_folds_choice_the_final_one_and_the_given_one(tmp_path):
    """The map is 0.6 on the truth, the left half, 0.4 in a quarter beside it, and 0 elsewhere."""
    truth = np.zeros((4, 8), np.uint8)
    truth[:, :4] = 1
    png.write_mask(tmp_path / "truth.png", truth)
    probability = np.zeros((4, 8), np.float32)
    probability[:, :4], probability[:, 4:6] = 0.6, 0.4
    cases = [case._replace(truth=tmp_path / "truth.png", pixel_size=1.0) for case in CASES[:2]]
    for case in cases:
        folder = tmp_path / f"fold_{case.fold}" / "oof" / "flips"
        folder.mkdir(parents=True)
        write_probability(folder / f"{case.id}.tif", probability)
    own = [Experiment("own", tmp_path, (0, 1), 1.0, "flips")]

    def choice(threshold: float) -> nested_cv.Choice:
        return as_given(ONE, {"HPA": {"kidney": Rule(threshold, 0, 0, math.nan)}})

    measured = Measured(cases, own, mean="probability", pool=HERE)
    search = SEARCH._replace(start=choice(0.7))
    found = nested_cv.scores(measured, search, {0: choice(0.5), 1: choice(0.3)}, choice(0.3), "off")
    assert found["nested"].tolist() == pytest.approx([1.0, 0.8])
    assert found["in_sample"].tolist() == pytest.approx([0.8, 0.8])
    assert found["table"].tolist() == [0.0, 0.0]
    assert found["id"].tolist() == [case.id for case in cases]
