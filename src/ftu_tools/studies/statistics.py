"""Is one way of training better than another? Dice compared image by image, over seeds.

The input is a tidy table: columns model, mode, seed, id and dice (0..1), a row per image of each run, and
group where it is known which images belong together. Two sources of chance are kept apart, because more
images do not make up for few seeds:

- over images: a 95 % percentile bootstrap interval of the mean over images, each image's Dice being its mean
  over seeds; where groups are known, whole groups are drawn;
- over seeds: a 95 % t interval of the mean of the seeds' own means, known from two seeds on.

A difference is paired: the same images, the same seeds. Its `reach` joins both intervals: on each side, the
root of the sum of the squares of their distances from the mean (Zou and Donner, Statistics in Medicine 27,
2008). What lies above 0 in all of its reach is called better. Weaker rules deceive: two seeds agree in sign
by chance every other time, and a mean may lie outside 0 in each interval alone when it does not for new
images and new seeds at once. With one seed the reach is the interval over images, and whoever reports it
has to say that the spread over seeds is not known.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ftu.errors import InputError, some
from ftu.masks import metrics

RESAMPLES = 9999
BOOTSTRAP_SEED = 0  # each interval starts from it, so that equal input gives equal bytes

Verdict = Literal["holds", "does not hold", "cannot be told", "not run"]


class Interval(NamedTuple):
    """A range of Dice or of a difference of Dice; infinite where nothing is known."""

    low: float
    high: float

    def is_known(self) -> bool:
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


UNKNOWN = Interval(-np.inf, np.inf)


class Estimate(NamedTuple):
    """A mean Dice, or a mean difference of Dice, of one model."""

    mean: float
    over_images: Interval
    over_seeds: Interval
    seed_means: dict[int, float]  # seed -> mean over images
    images: int
    groups: int | None = None  # None where they are not known, and images were drawn

    @property
    def spread(self) -> float:
        """Sample standard deviation of the seeds' means; nan for one seed."""
        return float(np.std(list(self.seed_means.values()), ddof=1)) if len(self.seed_means) > 1 else np.nan

    @property
    def reach(self) -> Interval:
        """For other images and other seeds at once; from one seed, for other images only."""
        if len(self.seed_means) == 1:
            return self.over_images
        images, seeds, mean = self.over_images, self.over_seeds, self.mean
        return Interval(
            mean - math.hypot(mean - images.low, mean - seeds.low),
            mean + math.hypot(images.high - mean, seeds.high - mean),
        )


def score(table: pd.DataFrame, model: str, mode: str) -> Estimate | None:
    """The Dice of one model trained in one mode; None when the table has no run of it."""
    dice = _by_image(table, model, mode)
    return None if dice.empty else _estimate(dice, _groups(table, dice.index))


def difference(table: pd.DataFrame, model: str, mode: str, baseline: str) -> Estimate | None:
    """Dice of `mode` minus that of `baseline`, paired by image, over the seeds that both have; None without.

    Raises InputError with the ids when the two were scored on different images.
    """
    first, second = _by_image(table, model, mode), _by_image(table, model, baseline)
    seeds = first.columns.intersection(second.columns)
    if seeds.empty:
        return None
    if unpaired := sorted(set(first.index) ^ set(second.index)):
        raise InputError(
            f"{model}: {mode} and {baseline} were scored on different images: id {some(unpaired)} stand in "
            "one only; run both on the same data and folds"
        )
    return _estimate(first[seeds] - second[seeds], _groups(table, first.index))


def interval_over_images(values: np.ndarray, groups: Sequence[str] | None = None) -> Interval:
    """Percentile bootstrap interval of the mean of (images,) values, over their groups where these are given.

    Unknown for one image, or one group.
    """
    if metrics.units(len(values), groups) < 2:
        return UNKNOWN
    return Interval(*metrics.interval(values, draws=RESAMPLES, seed=BOOTSTRAP_SEED, groups=groups))


def interval_over_seeds(means: np.ndarray) -> Interval:
    """t interval of the mean of the seeds' (seeds,) means; unknown for one seed."""
    if len(means) < 2:
        return UNKNOWN
    quantiles = np.array(stats.t.interval(metrics.LEVEL / 100, len(means) - 1))
    low, high = np.mean(means) + stats.sem(means) * quantiles
    return Interval(float(low), float(high))


def inside(reach: Interval, low: float, high: float) -> Verdict:
    """Does a value with this reach lie between `low` and `high`? Told only when all of the reach agrees."""
    if low < reach.low and reach.high < high:
        return "holds"
    return "does not hold" if reach.high < low or high < reach.low else "cannot be told"


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim about several: one counter-example refutes it, one doubt leaves it open."""
    found = set(verdicts)
    if "does not hold" in found:
        return "does not hold"
    return "holds" if found == {"holds"} else "cannot be told"


def _by_image(table: pd.DataFrame, model: str, mode: str) -> pd.DataFrame:
    """Dice with a row per id and a column per seed, both sorted; InputError unless each has one value."""
    rows = table[(table["model"] == model) & (table["mode"] == mode)]
    repeated = rows[rows.duplicated(["seed", "id"])]
    if len(repeated):
        ids = some(sorted(repeated["id"]))
        raise InputError(f"{model}, {mode}: id {ids} stands more than once; keep one")
    dice = rows.pivot(index="id", columns="seed", values="dice")
    lacking = dice.index[dice.isna().any(axis=1)]
    if len(lacking):
        raise InputError(
            f"{model}, {mode}: id {some(lacking)} has no Dice for some of the seeds "
            f"{', '.join(map(str, dice.columns))}; run all seeds on the same data and folds"
        )
    return dice


def _groups(table: pd.DataFrame, ids: pd.Index) -> list[str] | None:
    """The group of each id; None where no groups are known, InputError where runs disagree about an id's."""
    if "group" not in table:
        return None
    rows = table[table["id"].isin(ids)]
    names = rows.groupby("id")["group"].agg(lambda column: column.unique().tolist())
    odd = names.index[[len(found) > 1 or pd.isna(found[0]) for found in names]]
    if len(odd):
        raise InputError(
            f"id {some(odd)}: the runs do not agree about the group; run all on the same data, with the same "
            "data.group"
        )
    return [found[0] for found in names[ids]]


def _estimate(dice: pd.DataFrame, groups: Sequence[str] | None) -> Estimate:
    """From Dice or differences with a row per image and a column per seed, and the images' groups."""
    means = dice.mean(axis=0)
    return Estimate(
        mean=float(means.mean()),
        over_images=interval_over_images(dice.mean(axis=1).to_numpy(), groups),
        over_seeds=interval_over_seeds(means.to_numpy()),
        seed_means={int(seed): float(mean) for seed, mean in means.items()},  # pyright: ignore[reportArgumentType]
        images=len(dice),
        groups=None if groups is None else len(set(groups)),
    )
