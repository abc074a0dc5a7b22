"""The paper's claims, judged on results of our own.

A claim about several models holds when it holds for each, does not hold when one model surely contradicts it,
and cannot be told otherwise: when an interval spans the line between, or when runs are missing.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ftu.comparison import Estimate, Interval, Verdict, all_of, inside

Family = Literal["transformer", "cnn"]
PAIRS = (("switched", "none"), ("switched", "single"), ("single", "none"))
ABOUT_ONE_PERCENT = (0.005, 0.015)  # what rounds to one point of Dice

INF = float("inf")


class Contrasts(NamedTuple):
    """The three paired differences of one model, in the order of PAIRS; None where runs are missing."""

    family: Family
    switched_none: Estimate | None
    switched_single: Estimate | None
    single_none: Estimate | None


class Judgement(NamedTuple):
    verdict: Verdict
    parts: dict[str, Verdict]  # of each model that the claim is about; empty for one that compares families


def judge(models: Mapping[str, Contrasts]) -> dict[str, Judgement]:
    """A judgement for each of paper.CLAIMS."""
    transformers = {name: each for name, each in models.items() if each.family == "transformer"}
    each_of: dict[str, tuple[Mapping[str, Contrasts], Callable[[Contrasts], Verdict]]] = {
        "switched beats none": (transformers, lambda model: _lies(model.switched_none, 0, INF)),
        "switched beats single": (transformers, lambda model: _lies(model.switched_single, 0, INF)),
        "one percent": (transformers, _gains_one_percent),
        "single lowers": (models, lambda model: _lies(model.single_none, -INF, 0)),
    }
    judged = {}
    for claim, (concerned, verdict) in each_of.items():
        parts: dict[str, Verdict] = {name: verdict(model) for name, model in concerned.items()}
        judged[claim] = Judgement(all_of(parts.values()), parts)
    return judged | {"cnns less sensitive": Judgement(_cnns_move_less(models), {})}


def movement(model: Contrasts) -> Interval:
    """The reach of the larger of two distances: from none to switched and from none to single."""
    moves = [
        _size(each.reach if each else Interval(-INF, INF))
        for each in (model.switched_none, model.single_none)
    ]
    return Interval(max(move.low for move in moves), max(move.high for move in moves))


def _lies(estimate: Estimate | None, low: float, high: float) -> Verdict:
    return inside(estimate.reach, low, high) if estimate else "not run"


def _gains_one_percent(model: Contrasts) -> Verdict:
    gains = (model.switched_none, model.switched_single)
    found = all_of(_lies(gain, *ABOUT_ONE_PERCENT) for gain in gains)
    return "not run" if None in gains and found != "does not hold" else found


def _cnns_move_less(models: Mapping[str, Contrasts]) -> Verdict:
    """Holds when each CNN surely moves less than each transformer, not when one moves more than all."""
    moved = {
        family: [movement(each) for each in models.values() if each.family == family]
        for family in ("cnn", "transformer")
    }
    cnns, transformers = moved["cnn"], moved["transformer"]
    if not cnns or not transformers:
        return "cannot be told"
    if max(each.high for each in cnns) < min(each.low for each in transformers):
        return "holds"
    surely_more = max(each.low for each in cnns) > max(each.high for each in transformers)
    return "does not hold" if surely_more else "cannot be told"


def _size(reach: Interval) -> Interval:
    """The range of |x| for x in `reach`."""
    low, high = sorted((abs(reach.low), abs(reach.high)))
    return Interval(0.0 if reach.low <= 0 <= reach.high else low, high)
