"""Rules chosen on out-of-fold predictions, so that they generalise rather than fit.

- A threshold is the middle of the flat region: of the neighbours of the peak whose mean Dice is as good but
  for a tolerance. The peak moves with every image that comes or goes; the middle is far from both slopes,
  which is what counts when the test images differ.
- Sizes of objects and holes are chosen with it: of the pairs that are as good as the best but for the same
  tolerance the smallest object, then the smallest hole. Post-processing that brings less is noise.
- An organ and source with few images keeps the rule that the parameters give.
- A source that no training image comes from (Hubmap in the competition) takes its organ's threshold from the
  source that has it, times the ratio of the two in the parameters' table. That table says how much lower the
  other source has to be cut; calibration says how far this model is off from the table, where that can be
  measured. The product keeps both, and an unchanged calibration gives exactly the table. Sizes are those of
  tissue, in um2, and go over as they are.
- For otsu and quantile each image finds its own threshold, and only sizes are chosen.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ftu.calibration.dice_curves import THRESHOLDS, Curves, Sizes
from ftu.calibration.held_out import Held, Pair, by_pair, foreground
from ftu.masks.cutting import Method, Rule
from ftu.masks.rules import Table


class Settings(NamedTuple):
    """How rules are chosen."""

    method: Method
    sizes: Sizes
    flat: float  # Dice below the best that counts as equally good
    fewest: int  # images that a choice takes


def flat_region(dice: np.ndarray, flat: float) -> tuple[int, int]:
    """The first and last position around the peak of (T,) mean Dice that are within `flat` of it."""
    peak = int(np.argmax(dice))
    below = np.flatnonzero(dice < dice[peak] - flat)
    first = int(below[below < peak].max(initial=-1)) + 1
    last = int(below[below > peak].min(initial=len(dice))) - 1
    return first, last


def choose_threshold(curves: Sequence[Curves], default: Rule, settings: Settings) -> tuple[Rule, str]:
    """Threshold and sizes together, for the images of one pair; and in words where they come from."""
    dice = np.mean([curve.dice for curve in curves], axis=0)  # (T, S, H)
    regions = np.apply_along_axis(flat_region, 0, dice, settings.flat)  # (2, S, H)
    middles = regions.sum(axis=0) // 2  # (S, H), the lower of two
    s, h = _least(np.take_along_axis(dice, middles[None], axis=0)[0], settings.flat)
    low, high = THRESHOLDS[regions[:, s, h]]
    rule = _sized(default, settings.sizes, s, h)._replace(threshold=float(THRESHOLDS[middles[s, h]]))
    return rule, (
        f"{len(curves)} images: the middle of {low:g} to {high:g}, "
        f"which are within {settings.flat:g} of the best"
    )


def choose_sizes(curves: Sequence[Curves], default: Rule, settings: Settings) -> tuple[Rule, str]:
    """Sizes alone, where each image of the pair finds its own threshold."""
    dice = np.mean([curve.dice[curve.threshold(default, settings.method)] for curve in curves], axis=0)
    rule = _sized(default, settings.sizes, *_least(dice, settings.flat))
    return rule, f"sizes of {len(curves)} images; each image has its own threshold ({settings.method})"


CHOICES: dict[str, Callable[[Sequence[Curves], Rule, Settings], tuple[Rule, str]]] = {
    "table": choose_threshold,
    "otsu": choose_sizes,
    "quantile": choose_sizes,
}


def choose_table(
    cases: Sequence[Held],
    curves: Sequence[Curves],
    default: Table,
    settings: Settings,
    keep: Collection[Pair],
) -> tuple[dict[str, dict[str, Rule]], dict[str, dict[str, str]]]:
    """A rule for each pair of `default`, and why: chosen on these cases, kept, or carried over.

    Pairs in `keep` have too few images and keep the default. Shares of foreground are those of the cases.
    """
    shares, groups = foreground(cases), by_pair(cases)
    found: dict[Pair, tuple[Rule, str]] = {}
    pairs = [(source, organ) for source, organs in default.items() for organ in organs]
    for source, organ in sorted(pairs, key=lambda pair: pair not in groups):  # carried over from those before
        rule = default[source][organ]._replace(foreground=shares.get(organ, math.nan))
        if (source, organ) in keep:
            found[source, organ] = rule, f"kept: fewer than {settings.fewest} training images"
        elif (source, organ) in groups:
            few = [curves[position] for position in groups[source, organ]]
            found[source, organ] = CHOICES[settings.method](few, rule, settings)
        elif donor := _donor(organ, groups):
            chosen = found[donor, organ][0]
            found[source, organ] = (
                carry_over(chosen, default[donor][organ], rule),
                (
                    f"no training image: {donor}'s {chosen.threshold:g} x {rule.threshold:g} / "
                    f"{default[donor][organ].threshold:g}, and its sizes"
                ),
            )
        else:
            found[source, organ] = rule, "kept: no training image of the organ"
    return _nested(pairs, found, 0), _nested(pairs, found, 1)


def carry_over(chosen: Rule, default: Rule, absent: Rule) -> Rule:
    """The rule of a source without images: `chosen` elsewhere, moved as the table moves one to the other.

    `default` and `absent` are the table's rules of the two sources. Where the table has 0 there is no ratio,
    and the threshold stays the table's. The share of foreground is the organ's.
    """
    ratio = chosen.threshold / default.threshold if default.threshold else 1.0
    return chosen._replace(threshold=min(absent.threshold * ratio, 1.0))


def mean_dice(cases: Sequence[Held], curves: Sequence[Curves], table: Table, settings: Settings) -> float:
    """What a table scores on these cases, by their curves."""
    return float(np.mean([lookup(*one, table, settings) for one in zip(cases, curves, strict=True)]))


def lookup(case: Held, curve: Curves, table: Table, settings: Settings) -> float:
    """The Dice of one case under its rule, at the closest threshold and sizes that its curves hold."""
    rule = table[case.data_source][case.organ]
    s, h = settings.sizes.nearest(rule)
    return float(curve.dice[curve.threshold(rule, settings.method), s, h])


def _least(dice: np.ndarray, flat: float) -> tuple[int, int]:
    """The position of the smallest sizes among those whose (S, H) Dice is within `flat` of the best."""
    s, h = np.argwhere(dice >= dice.max() - flat)[0]
    return int(s), int(h)


def _sized(rule: Rule, sizes: Sizes, s: int, h: int) -> Rule:
    return rule._replace(smallest_object=sizes.smallest_objects[s], largest_hole=sizes.largest_holes[h])


def _donor(organ: str, groups: Mapping[Pair, Sequence[int]]) -> str | None:
    """The source with the most images of the organ, of equals the first by name."""
    sources = [source for source, other in groups if other == organ]
    return max(sources, key=lambda source: len(groups[source, organ]), default=None)


def _nested(pairs: Sequence[Pair], found: Mapping[Pair, tuple], position: int) -> dict[str, dict[str, Any]]:
    """One part of what was found, as data_source -> organ."""
    table: dict[str, dict[str, Any]] = {source: {} for source, _ in pairs}
    for source, organ in pairs:
        table[source][organ] = found[source, organ][position]
    return table
