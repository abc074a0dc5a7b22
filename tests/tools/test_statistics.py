"""The statistics of a comparison: laws, an independent oracle for each interval, signs of verdicts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ftu.errors import InputError
from ftu_tools.studies import statistics
from ftu_tools.studies.statistics import (
    Estimate,
    Interval,
    all_of,
    difference,
    inside,
    interval_over_images,
    interval_over_seeds,
    score,
)

dice_values = st.lists(st.floats(0, 1), min_size=2, max_size=12)


def runs(model: str, mode: str, seeds: dict[int, list[float]]) -> pd.DataFrame:
    """A tidy table: for each seed the Dice of images a, b, c and so on."""
    rows = [
        {"model": model, "mode": mode, "seed": seed, "id": chr(ord("a") + number), "dice": dice}
        for seed, values in seeds.items()
        for number, dice in enumerate(values)
    ]
    return pd.DataFrame(rows)


def pair(first: dict[int, list[float]], second: dict[int, list[float]]) -> pd.DataFrame:
    """One model, `first` trained switched and `second` none."""
    return pd.concat([runs("m", "switched", first), runs("m", "none", second)], ignore_index=True)


def compared(first: dict[int, list[float]], second: dict[int, list[float]]) -> statistics.Estimate:
    found = difference(pair(first, second), "m", "switched", "none")
    assert found
    return found


# ------------------------------------------------------------------ groups


@given(values=dice_values, copies=st.integers(2, 4))
def test_copies_in_the_groups_of_their_images_change_no_interval(values, copies):
    plain = score(runs("m", "none", {1: values}), "m", "none")
    table = runs("m", "none", {1: values * copies})
    names = [str(k) for k in range(len(values))] * copies
    found = score(table.assign(group=names), "m", "none")
    assert plain
    assert found
    assert found.over_images == pytest.approx(plain.over_images, abs=1e-9)
    assert (plain.groups, found.groups, found.images) == (None, len(values), len(values) * copies)


def test_groups_widen_the_interval_of_a_difference_whose_images_agree():
    first, second = [0.5, 0.5, 0.6, 0.6, 0.9, 0.9], [0.5] * 6
    table = pair({1: first}, {1: second})
    plain = difference(table, "m", "switched", "none")
    grouped = difference(table.assign(group=[*"xxyyzz"] * 2), "m", "switched", "none")
    assert plain
    assert grouped
    assert grouped.mean == plain.mean
    assert grouped.over_images.high - grouped.over_images.low > 1.2 * (
        plain.over_images.high - plain.over_images.low
    )


def test_one_group_has_no_interval():
    found = score(runs("m", "none", {1: [0.5, 0.6]}).assign(group="x"), "m", "none")
    assert found
    assert found.over_images == statistics.UNKNOWN


@pytest.mark.parametrize("groups", [[*"xyzy"], ["x", "y", "x", None]])
def test_runs_that_do_not_agree_about_a_group_are_refused(groups):
    table = pair({1: [0.5, 0.6]}, {1: [0.5, 0.7]}).assign(group=groups)
    with pytest.raises(InputError, match=r"id .: the runs do not agree about the group; run all on the same"):
        difference(table, "m", "switched", "none")


# ------------------------------------------------------------------ laws


@given(values=dice_values, shift=st.floats(-0.5, 0.5))
def test_a_constant_shift_is_the_difference_and_its_intervals_collapse(values, shift):
    shifted = [value + shift for value in values]
    found = compared({1: shifted, 2: shifted}, {1: values, 2: values})
    assert found.mean == pytest.approx(shift, abs=1e-9)
    for interval in (found.over_images, found.over_seeds, found.reach):
        assert interval == pytest.approx((shift, shift), abs=1e-9)


@given(first=dice_values, second=dice_values)
def test_swapping_the_modes_negates_the_mean(first, second):
    size = min(len(first), len(second))
    ahead = compared({1: first[:size]}, {1: second[:size]})
    back = compared({1: second[:size]}, {1: first[:size]})
    assert back.mean == pytest.approx(-ahead.mean, abs=1e-12)


@given(values=dice_values, data=st.data())
def test_swapping_the_modes_mirrors_the_interval(values, data):
    """Both ends to 4 % of the range: the quantiles of finitely many resamples are not quite symmetric."""
    others = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    ahead, back = compared({1: values}, {1: others}), compared({1: others}, {1: values})
    changes = np.subtract(values, others)
    mirrored = (-back.over_images.high, -back.over_images.low)
    assert ahead.over_images == pytest.approx(mirrored, abs=0.04 * np.ptp(changes) + 1e-9)


@given(seed=st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(seed):
    random = np.random.default_rng(3)
    first, second = ({s: list(random.random(7)) for s in (1, 2, 3)} for _ in range(2))
    table = pair(first, second)
    shuffled = table.sample(frac=1, random_state=seed)
    for of in (lambda rows: score(rows, "m", "none"), lambda rows: difference(rows, "m", "switched", "none")):
        assert of(shuffled) == of(table)


def test_the_mean_is_over_seeds_and_images():
    found = score(runs("m", "none", {1: [0.2, 0.4], 2: [0.6, 0.8]}), "m", "none")
    assert found
    assert found.mean == pytest.approx(0.5)
    assert found.seed_means == pytest.approx({1: 0.3, 2: 0.7})
    assert found.images == 2


def test_the_spread_is_the_sample_standard_deviation_of_the_seeds_means():
    found = score(runs("m", "none", {1: [0.1], 2: [0.2], 3: [0.6]}), "m", "none")
    assert found
    assert found.spread == pytest.approx(0.2645751311)


def test_one_seed_has_no_spread_and_one_image_no_interval():
    found = score(runs("m", "none", {1: [0.5]}), "m", "none")
    assert found
    assert np.isnan(found.spread)
    assert not found.over_seeds.is_known()
    assert not found.over_images.is_known()


def test_only_common_seeds_are_compared():
    found = compared({1: [0.5, 0.6], 2: [0.9, 0.9]}, {1: [0.4, 0.4], 3: [0.0, 0.0]})
    assert found.seed_means == pytest.approx({1: 0.15})


def test_what_was_not_run_is_none():
    table = pair({1: [0.5, 0.6]}, {2: [0.5, 0.6]})
    assert score(table, "m", "single") is None
    assert difference(table, "m", "switched", "single") is None
    assert difference(table, "m", "switched", "none") is None  # no seed in common


# ------------------------------------------------------------------ oracles


def test_the_interval_over_images_is_nearly_the_t_interval_of_normal_data():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    width = expected.high - expected.low
    assert interval_over_images(values) == pytest.approx((expected.low, expected.high), abs=0.05 * width)


def test_the_paired_interval_is_nearly_that_of_scipys_paired_t_test():
    random = np.random.default_rng(1)
    none = np.clip(random.normal(0.7, 0.1, 200), 0, 1)
    switched = none + random.normal(0.01, 0.03, 200)
    table = pd.concat(
        [
            pd.DataFrame({"id": range(200), "dice": dice, "mode": mode, "model": "m", "seed": 42})
            for mode, dice in (("switched", switched), ("none", none))
        ]
    )
    found = difference(table, "m", "switched", "none")
    expected = stats.ttest_rel(switched, none).confidence_interval(0.95)
    width = expected.high - expected.low
    assert found
    assert found.over_images == pytest.approx((expected.low, expected.high), abs=0.06 * width)
    assert width < 0.5 * (interval_over_images(none).high - interval_over_images(none).low)  # pairing pays


@given(means=st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_the_interval_over_seeds_is_that_of_scipys_t_test(means):
    values = np.array(means)
    if np.ptp(values) < 1e-9:
        return  # scipy warns of it; the collapse is a law above
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval_over_seeds(values) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_two_seeds_have_the_t_quantile_of_one_degree_of_freedom():
    low, high = interval_over_seeds(np.array([0.0, 0.02]))
    assert (low, high) == pytest.approx((0.01 - 0.1270620, 0.01 + 0.1270620), abs=1e-6)


@pytest.mark.parametrize("images", [2, 60, 351])
def test_the_interval_over_images_is_that_of_scipys_percentile_bootstrap(images):
    values = np.random.default_rng(images).beta(4, 2, images)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=statistics.RESAMPLES, confidence_level=0.95, method="percentile",
        rng=np.random.default_rng(statistics.BOOTSTRAP_SEED),
    ).confidence_interval  # fmt: skip
    assert interval_over_images(values) == pytest.approx((expected.low, expected.high), abs=1e-12)


# ------------------------------------------------------------------ errors


def test_images_of_one_mode_only_are_named():
    table = pair({1: [0.5, 0.6, 0.7]}, {1: [0.5, 0.6]})
    with pytest.raises(InputError, match="m: switched and none were scored on different images: id c stand"):
        difference(table, "m", "switched", "none")


def test_an_image_that_one_seed_lacks_is_named():
    with pytest.raises(InputError, match="m, none: id b has no Dice for some of the seeds 1, 2"):
        score(runs("m", "none", {1: [0.5, 0.6], 2: [0.5]}), "m", "none")


def test_an_image_that_stands_twice_is_named():
    table = runs("m", "none", {1: [0.5, 0.6]})
    with pytest.raises(InputError, match="m, none: id a, b stands more than once"):
        score(pd.concat([table, table]), "m", "none")


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("reach", "expected"),
    [((0.01, 0.03), "holds"), ((-0.03, -0.01), "does not hold"), ((-0.01, 0.03), "cannot be told")],
)
def test_better_means_above_zero_in_all_of_the_reach(reach, expected):
    assert inside(Interval(*reach), 0, np.inf) == expected


def test_no_change_at_all_is_not_better():
    assert inside(Interval(0.0, 0.0), 0, np.inf) == "cannot be told"


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        ((0.006, 0.014), "holds"),
        ((0.001, 0.004), "does not hold"),
        ((0.016, 0.02), "does not hold"),
        ((0.001, 0.014), "cannot be told"),
    ],
)
def test_about_one_percent_means_inside_both_bounds(reach, expected):
    assert inside(Interval(*reach), 0.005, 0.015) == expected


def test_the_reach_joins_both_intervals_as_the_sides_of_a_triangle():
    found = Estimate(0.1, Interval(0.07, 0.13), Interval(0.06, 0.22), {1: 0.1, 2: 0.1}, images=9)
    assert found.reach == pytest.approx((0.05, 0.1 + np.hypot(0.03, 0.12)))


def test_the_reach_of_one_seed_is_the_interval_over_images():
    assert Estimate(0.1, Interval(0.07, 0.13), statistics.UNKNOWN, {1: 0.1}, images=9).reach == (0.07, 0.13)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_what_does_not_differ_is_seldom_told_to_differ(monkeypatch, seeds):
    """300 experiments without a difference, with luck of images and of seeds alike.

    At most 5 % may be told apart, within four standard errors (5 %). Equal signs would tell far more.
    """
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    random, told, same_sign = np.random.default_rng(11), 0, 0
    for _ in range(300):
        luck = random.normal(0, 0.1 / np.sqrt(40), seeds)[:, None] + random.normal(0, 0.1, 40)
        found = compared(dict(enumerate(luck.tolist())), dict(enumerate(np.zeros_like(luck).tolist())))
        told += not found.reach.low <= 0 <= found.reach.high
        same_sign += len(set(np.sign(list(found.seed_means.values())))) == 1
    assert told / 300 <= 0.10
    assert same_sign > 2 * told


def test_seeds_that_disagree_leave_a_clear_result_over_images_open():
    """Every image gains the same; with one seed that is clear, with two that differ it is not."""
    none = [0.5, 0.6, 0.7]
    clear = compared({1: [0.52, 0.62, 0.72]}, {1: none})
    assert inside(clear.reach, 0, np.inf) == "holds"
    doubtful = compared({1: [0.52, 0.62, 0.72], 2: [0.501, 0.601, 0.701]}, {1: none, 2: none})
    assert doubtful.over_images.low > 0
    assert inside(doubtful.reach, 0, np.inf) == "cannot be told"


def test_images_that_disagree_leave_a_clear_result_over_seeds_open():
    """Every seed gains the same mean, but by one image of three."""
    gains = {seed: [0.5, 0.6, 0.9] for seed in (1, 2, 3)}
    found = compared(gains, {seed: [0.5, 0.61, 0.7] for seed in (1, 2, 3)})
    assert found.over_seeds.low > 0
    assert inside(found.reach, 0, np.inf) == "cannot be told"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "cannot be told"], "cannot be told"),
        (["holds", "cannot be told", "does not hold"], "does not hold"),
        ([], "cannot be told"),
    ],
)
def test_a_claim_about_several_needs_all_and_falls_with_one(verdicts, expected):
    assert all_of(verdicts) == expected


def test_one_value_has_no_interval_on_either_side():
    assert statistics.interval_over_images(np.array([0.5])) == Interval(-np.inf, np.inf)
    assert statistics.interval_over_seeds(np.array([0.5])) == Interval(-np.inf, np.inf)
    assert statistics.inside(statistics.UNKNOWN, 0, np.inf) == "cannot be told"
    assert statistics.inside(statistics.UNKNOWN, -np.inf, 0) == "cannot be told"


@pytest.mark.parametrize(
    ("reach", "low", "high", "expected"),
    [
        (Interval(-0.02, 0.0), -np.inf, 0, "cannot be told"),  # its end is not below 0
        (Interval(0.0, 0.02), 0, np.inf, "cannot be told"),
        (Interval(-0.02, -0.001), -np.inf, 0, "holds"),
        (Interval(0.001, 0.02), -np.inf, 0, "does not hold"),
        (Interval(-0.02, -0.001), 0, np.inf, "does not hold"),
    ],
)
def test_both_ends_of_a_claim_are_open(reach, low, high, expected):
    assert statistics.inside(reach, low, high) == expected
