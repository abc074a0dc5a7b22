"""What the paper reports, its Table 2 and its claims, and these claims judged on results of our own.

A claim about several models holds when it holds for each, does not hold when one model surely contradicts it,
and cannot be told otherwise: when an interval spans the line between, or when runs are missing.

Source: Barve, Hussain and Pakanati, "A switched auxiliary loss for robust training of transformer models for
histopathological image segmentation", arXiv:2308.10994 (2023). Dice (0..1) on the competition's public and
private test images; one training run each, without intervals. Private scores are given for the transformers
only.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ftu_tools.studies.statistics import Estimate, Interval, Verdict, all_of, inside

Kind = Literal["transformer", "cnn"]
PAIRS = (("switched", "none"), ("switched", "single"), ("single", "none"))
ABOUT_ONE_PERCENT = (0.005, 0.015)  # what rounds to one point of Dice

INF = float("inf")


class Dice(NamedTuple):
    """One row of Table 2; its columns are called normal, aux and switched there."""

    none: float
    single: float
    switched: float


PUBLIC = {
    "CoaT": Dice(0.78446, 0.77024, 0.79321),
    "PVTv2": Dice(0.74261, 0.75728, 0.75742),
    "Segformer": Dice(0.76105, 0.75931, 0.76628),
    "Enet-b5 Unet": Dice(0.77197, 0.76929, 0.75352),
    "Resnet101 Unet": Dice(0.69737, 0.70302, 0.67994),
    "Enet-b5 DLv3+": Dice(0.75404, 0.75438, 0.75921),
    "Resnet101 DLv3+": Dice(0.60265, 0.65143, 0.66397),
}
PRIVATE = {
    "CoaT": Dice(0.76127, 0.74223, 0.77805),
    "PVTv2": Dice(0.69732, 0.70284, 0.71199),
    "Segformer": Dice(0.70640, 0.69562, 0.72102),
}

# Its claims, in our words; `judge` says which hold on other results.
CLAIMS = {
    "switched beats none": "On transformers, switched beats none.",
    "switched beats single": "On transformers, switched beats single.",
    "one percent": "On transformers, switched gains about 1 % over both baselines, consistently.",
    "single lowers": "A single auxiliary loss lowers the Dice slightly, for every model alike.",
    "cnns less sensitive": "CNNs are less sensitive to the auxiliary loss than transformers.",
}

# Where its text and its own Table 2 disagree.
CONTRADICTED = {
    "one percent": "PVTv2 gains 0.014 points over single on the public images (0.75728 to 0.75742).",
    "single lowers": "PVTv2 rises with single, by 1.47 points on the public images (0.74261 to 0.75728) "
    "and by 0.55 on the private ones (0.69732 to 0.70284).",
    "cnns less sensitive": "Resnet101 DLv3+, a CNN, moves by 6.13 points from none to switched "
    "(0.60265 to 0.66397), more than any transformer.",
}


class Contrasts(NamedTuple):
    """The three paired differences of one model, in the order of PAIRS; None where runs are missing."""

    kind: Kind
    switched_none: Estimate | None
    switched_single: Estimate | None
    single_none: Estimate | None


class Judgement(NamedTuple):
    verdict: Verdict
    parts: dict[str, Verdict]  # of each model that the claim is about; empty for one that compares kinds


def judge(models: Mapping[str, Contrasts]) -> dict[str, Judgement]:
    """A judgement for each of CLAIMS."""
    transformers = {name: each for name, each in models.items() if each.kind == "transformer"}
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
        kind: [movement(each) for each in models.values() if each.kind == kind]
        for kind in ("cnn", "transformer")
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
