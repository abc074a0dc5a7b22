"""Nested cross-validation of everything that calibration chooses.

What is chosen on images and scored on the same images flatters itself. So each fold is scored by what was
chosen on the other folds (Varma and Simon, BMC Bioinformatics 7, 2006, doi:10.1186/1471-2105-7-91): the mean
of these scores is the `nested` estimate of the way of choosing, made with a fold fewer. Beside it stand the
`in_sample` score of the final choice, made on all folds, and that of the `table` of the parameters.

Nested is what is chosen here: views, weights, thresholds and sizes. What training chose is not: where
train.checkpoint is `best` or `best_after_switch`, each network's epoch was chosen on the fold that it is
scored on, and all three scores are too high (ftu.reports.optimism says by how much).

Scores are Dice at native size, by the path that submit takes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu.calibration.choose_mixture import Bag, Measured, Mixture, greedy, shares
from ftu.calibration.choose_rules import Settings, choose_table, mean_dice
from ftu.calibration.dice_curves import PLAIN, Sizes
from ftu.calibration.held_out import Held, Pair, too_few
from ftu.errors import InputError
from ftu.files import png
from ftu.masks import metrics
from ftu.masks.cutting import Guard, Method, Rule, cut
from ftu.masks.rules import Rules, Table
from ftu.probabilities import ensemble, fold_maps
from ftu.probabilities.ensemble import Experiment
from ftu.probabilities.mean import Mean, native_probability

WAYS = ("nested", "in_sample", "table")


class Choice(NamedTuple):
    """Everything between the models' maps and the masks, and where it comes from."""

    mixture: Mixture
    table: Table
    why: dict


class Search(NamedTuple):
    """What is chosen from."""

    start: Choice  # of the parameters
    sets: tuple[str, ...]  # of views; the first is the parameters'
    weigh: bool  # choose weights, too
    part: str  # of the cases whose mean Dice decides over views and weights: oof, shifted
    settings: Settings


def check_folds(run: Sequence[int]) -> None:
    """Raise InputError unless there are two folds to part what is chosen on from what is scored."""
    if len(run) < 2:
        raise InputError(
            f"calibrate.enabled: split.run is {run}, but what is chosen on some folds is scored "
            "on another: run at least two, or set calibrate.enabled: false"
        )


def as_given(mixture: Mixture, table: Table) -> Choice:
    """What the parameters say, nothing chosen."""
    reasons = {source: dict.fromkeys(organs, "thresholds, postprocess") for source, organs in table.items()}
    return Choice(mixture, table, {"tta": "predict.tta", "weights": "ensemble", "rules": reasons})


def search_of(
    start: Choice,
    method: Method,
    candidates: Iterable[str],
    *,
    metric: str,
    fewest: int,
    flat: float,
    smallest_objects: Iterable[float],
    largest_holes: Iterable[float],
    choose_tta: bool,
    choose_weights: bool,
) -> Search:
    """What is chosen from, as the parameters of calibrate name it; `candidates` are further sets of views."""
    sizes = Sizes(tuple(sorted(smallest_objects)), tuple(sorted(largest_holes)))
    return Search(
        start=start,
        sets=tuple(fold_maps.set_names(start.mixture.tta, candidates if choose_tta else [])),
        weigh=choose_weights,
        part="shifted" if metric == "dice_shifted" else "oof",
        settings=Settings(method, sizes, flat, fewest),
    )


def as_rules(choice: Choice, members: Sequence[str], method: Method) -> Rules:
    """A choice as data/rules.json holds it; `members` are the experiments after the own one."""
    own, *others = choice.mixture.weights
    weights = dict(zip(members, others, strict=True))
    return Rules(choice.mixture.tta, own, weights, method, choice.table, choice.why)


def choose(measured: Measured, positions: Sequence[int], search: Search, keep: set[Pair]) -> Choice:
    """Views, then weights, then rules, from the cases at `positions` alone."""
    cases = [measured.cases[position] for position in positions]
    plain = search.settings._replace(sizes=PLAIN)
    deciding = [k for k, case in enumerate(cases) if case.part == search.part]

    def value(mixtures: Sequence[Mixture]) -> list[float]:
        values = []
        for found in measured.of(mixtures, PLAIN):
            curves = [found[position] for position in positions]
            table, _ = choose_table(cases, curves, search.start.table, plain, keep)
            decided = [cases[k] for k in deciding], [curves[k] for k in deciding]
            values.append(mean_dice(*decided, table, plain))
        return values

    def value_of_bags(bags: Sequence[Bag]) -> list[float]:
        return value([Mixture(mixture.tta, shares(bag)) for bag in bags])

    mixture = search.start.mixture
    why = dict(search.start.why)
    if len(search.sets) > 1:
        sets = [mixture._replace(tta=tta) for tta in search.sets]
        values = value(sets)
        mixture = sets[int(np.argmax(values))]
        why["tta"] = "the best of " + _listed(zip(search.sets, values, strict=True))
    if search.weigh and len(mixture.weights) > 1:
        bag = greedy(value_of_bags, len(mixture.weights))
        mixture = mixture._replace(weights=shares(bag))
        why["weights"] = f"greedy selection on {len(deciding)} images"
    curves = measured.of([mixture], search.settings.sizes)[0]
    table, reasons = choose_table(
        cases, [curves[position] for position in positions], search.start.table, search.settings, keep
    )
    return Choice(mixture, table, why | {"rules": reasons})


def choices(
    cases: Sequence[Held], choose: Callable[[Sequence[int]], Choice]
) -> tuple[dict[int, Choice], Choice]:
    """For each fold what is chosen without it, and what is chosen on all cases; `choose` takes positions."""
    folds = sorted({case.fold for case in cases})
    searches = [[k for k, case in enumerate(cases) if case.fold != fold] for fold in folds]
    *outer, final = map(choose, tqdm([*searches, range(len(cases))], desc="choose", disable=None))
    return dict(zip(folds, outer, strict=True)), final


def choose_by_fold(measured: Measured, search: Search) -> tuple[dict[int, Choice], Choice]:
    """`choices` of the search; how many images a pair has is counted over all folds."""
    keep = too_few(measured.cases, search.settings.fewest)
    return choices(measured.cases, lambda positions: choose(measured, positions, search, keep))


def scores(
    measured: Measured,
    search: Search,
    outer: Mapping[int, Choice],
    final: Choice,
    never_empty: Guard,
) -> pd.DataFrame:
    """The `tidy` table of all cases under what `choose_by_fold` chose: the Dice of each in each of WAYS."""
    cases = measured.cases
    one = partial(
        dice_of,
        experiments=measured.experiments,
        mean=measured.mean,
        method=search.settings.method,
        never_empty=never_empty,
    )
    chosen = [[outer[case.fold], final, search.start] for case in cases]
    return tidy(cases, measured.pool.each(one, cases, chosen, doing="score"))


def dice_of(
    case: Held,
    chosen: Sequence[Choice],
    experiments: Sequence[Experiment],
    mean: Mean,
    method: Method,
    never_empty: Guard,
) -> list[float]:
    """The Dice of one case at native size under each choice."""
    truth = png.read_mask(case.truth)
    height, width = truth.shape
    native: dict[Mixture, np.ndarray] = {}
    for mixture in dict.fromkeys(choice.mixture for choice in chosen):
        groups = ensemble.groups(mixture.of(experiments), case.part, case.id)
        native[mixture] = native_probability(groups, height=height, width=width, mean=mean)[0]
    dice: dict[tuple[Mixture, Rule], float] = {}  # the choices are often one
    ways = [(choice.mixture, choice.table[case.data_source][case.organ]) for choice in chosen]
    for mixture, rule in dict.fromkeys(ways):
        made = cut(native[mixture], rule, pixel_size=case.pixel_size, method=method, never_empty=never_empty)
        dice[mixture, rule] = metrics.dice(made.mask, truth)
    return [dice[way] for way in ways]


def tidy(cases: Sequence[Held], scores: Sequence[Sequence[float]]) -> pd.DataFrame:
    """A row per case: id, data_source, organ, part, group where it is known, its Dice in each of WAYS."""
    columns = ["id", "data_source", "organ", "part"]
    if any(case.group for case in cases):
        columns.append("group")
    facts = pd.DataFrame([[getattr(case, name) for name in columns] for case in cases], columns=columns)
    return facts.join(pd.DataFrame(list(scores), columns=list(WAYS)))


def estimates(table: pd.DataFrame, *, draws: int, seed: int) -> dict[str, dict]:
    """Of a `tidy` table, for each part and each pair: images, and the mean of each way with its interval.

    `gain` is nested minus table, paired by image. Where groups are known it says how many, and intervals are
    over them.
    """
    table = table.assign(gain=table["nested"] - table["table"])
    parts = [(f"all {part}", rows) for part, rows in table.groupby("part")]
    parts += [
        (f"{source} {organ}", rows) for (source, organ), rows in table.groupby(["data_source", "organ"])
    ]
    found = {}
    for name, rows in parts:
        groups = rows["group"].tolist() if "group" in rows else None
        one = partial(estimate, draws=draws, seed=seed, groups=groups)
        counts = {"images": len(rows)} | ({"groups": len(set(groups))} if groups else {})
        found[name] = counts | {way: one(rows[way].to_numpy()) for way in (*WAYS, "gain")}
    return found


def estimate(
    values: np.ndarray, *, draws: int, seed: int, groups: Sequence[str] | None = None
) -> dict[str, float | None]:
    """The mean of (images,) values with its interval, over groups if given; null for one image or group."""
    mean = round(float(values.mean()), 6)
    if metrics.units(len(values), groups) < 2:
        return {"dice": mean, "low": None, "high": None}
    low, high = metrics.interval(values, draws=draws, seed=seed, groups=groups)
    return {"dice": mean, "low": round(low, 6), "high": round(high, 6)}


def _listed(pairs: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in pairs)
