"""Greedy selection finds known mixtures, and nothing is measured twice."""

import numpy as np
import pytest

from blobs import write_map
from ftu.calibration import choose_mixture
from ftu.calibration.choose_mixture import Measured, Mixture, greedy, shares
from ftu.calibration.dice_curves import PLAIN
from ftu.calibration.held_out import Held
from ftu.errors import InputError
from ftu.files.png import write_mask
from ftu.pipeline.workers.pool import HERE
from ftu.probabilities.ensemble import Experiment


def closeness(*target: float):
    """Values of bags that are best at the shares `target`."""
    return lambda bags: [-float(np.sum(np.subtract(shares(bag), target) ** 2)) for bag in bags]


@pytest.mark.parametrize("target", [(0.7, 0.3, 0.0), (1, 0, 0), (0.2, 0.4, 0.4), (0.1, 0.0, 0.9)])
def test_a_known_mixture_is_found(target):
    assert shares(greedy(closeness(*target), 3)) == pytest.approx(target, abs=0.06)


def test_a_round_that_brings_nothing_does_not_end_it():
    values: dict[choose_mixture.Bag, float] = {(1, 0): 0.8, (0, 1): 0.1, (1, 1): 0.6, (2, 1): 0.9}
    assert greedy(lambda bags: [values.get(bag, 0.0) for bag in bags], 2) == (2, 1)


def test_of_equals_the_first_wins():
    assert greedy(lambda bags: [0.5] * len(bags), 3) == (1, 0, 0)


@pytest.fixture
def pair(tmp_path):
    """Ten images, and two experiments whose errors cancel."""
    rng, cases = np.random.default_rng(0), []
    for number in range(10):
        truth = np.zeros((40, 40), np.uint8)
        truth[8:30, 10:28] = 1
        error = 0.6 * rng.normal(size=truth.shape)
        write_mask(tmp_path / f"{number}.png", truth)
        for name, sign in (("a", 1), ("b", -1)):
            path = tmp_path / name / "fold_0" / "oof" / "flips" / f"{number}.tif"
            write_map(path, np.clip(0.25 + 0.5 * truth + sign * error, 0, 1))
        cases.append(Held(str(number), "kidney", "HPA", 0, "oof", tmp_path / f"{number}.png", 1.0, 0.2))
    experiments = [Experiment(name, tmp_path / name, (0,), 1.0, "flips") for name in "ab"]
    return cases, experiments


def test_on_maps_the_mixture_whose_errors_cancel_is_found(pair):
    measured = Measured(*pair, mean="probability", pool=HERE)

    def value(bags):
        found = measured.of([Mixture("flips", shares(bag)) for bag in bags], PLAIN)
        return [float(np.mean([curve.dice for curve in curves], axis=0).max()) for curves in found]

    assert shares(greedy(value, 2)) == pytest.approx((0.5, 0.5), abs=0.1)


def test_nothing_is_measured_twice(pair, monkeypatch):
    passes, measure = [], choose_mixture.measure

    def counted(case, *rest):
        passes.append(case.id)
        return measure(case, *rest)

    monkeypatch.setattr(choose_mixture, "measure", counted)
    measured = Measured(*pair, mean="probability", pool=HERE)
    one, other = Mixture("flips", (1.0, 0.0)), Mixture("flips", (0.5, 0.5))
    first = measured.of([one, other, one], PLAIN)
    assert len(passes) == 10
    assert measured.of([other], PLAIN)[0] is first[1]
    assert len(passes) == 10


def test_a_missing_map_is_named(pair):
    cases, experiments = pair
    choose_mixture.check(cases, experiments, ["flips"])
    with pytest.raises(InputError, match=r"oof/d4/0.tif; run `dvc repro`"):
        choose_mixture.check(cases, experiments, ["flips", "d4"])
