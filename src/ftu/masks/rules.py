"""data/rules.json: how probabilities become masks, for each organ and data source.

calibrate writes it; evaluate and submit take what it holds from nowhere else:

    {"tta": name, "own": weight, "members": {name: weight}, "method": table | otsu | quantile | argmax,
     "rules": {source: {organ: {"threshold", "smallest_object", "largest_hole", "foreground"}}}, "why": {...}}

Thresholds and shares lie in 0..1, sizes are in um2; a share that is not known is null. Of several classes
(argmax) a rule has `smallest_object` and `largest_hole` alone, each a size by class.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.masks.classes import ClassRule
from ftu.masks.cutting import Method, Rule
from ftu.pipeline.atomic import whole_file

LARGEST = 1e12  # um2 or a weight: more is a slip
REMEDY = "run `dvc repro calibrate` to make it again"

Table = Mapping[str, Mapping[str, Rule]]  # data_source -> organ
ClassTable = Mapping[str, Mapping[str, ClassRule]]
Read = TypeVar("Read", Rule, ClassRule)


class Rules(NamedTuple):
    """Everything between the models' maps and the masks."""

    tta: str
    own: float  # weight of this experiment, >= 0
    members: dict[str, float]  # weights of the others by name, >= 0
    method: Method
    table: Table  # of one class; of several empty
    why: dict  # where each value comes from, in words
    classes: tuple[str, ...] = ()  # where there are several, in their order
    sizes: ClassTable | None = None  # of several classes, in place of the table

    @property
    def by_source(self) -> Table | ClassTable:
        """The rules by data source and organ."""
        return self.sizes if self.sizes is not None else self.table

    def rule(self, source: str, organ: str) -> Rule | ClassRule:
        """The rule of one organ and source; InputError when there is none, or when it cannot be followed."""
        found = self.by_source.get(source, {}).get(organ)
        if found is None:
            known = ", ".join(
                f"{name}: {' '.join(sorted(organs))}" for name, organs in self.by_source.items()
            )
            raise InputError(
                f"no rule for organ {organ!r} of data source {source!r}; data/rules.json knows {known}; "
                "name it in data and thresholds of params.yaml, and run `dvc repro`"
            )
        if isinstance(found, Rule) and self.method == "quantile" and math.isnan(found.foreground):
            raise InputError(
                f"postprocess.method: quantile needs the share of foreground of organ {organ!r}, of which "
                "there is no training image; use table or otsu"
            )
        return found


def from_thresholds(
    thresholds: Mapping[str, Mapping[str, float]],
    *,
    smallest_object: float,
    largest_hole: float,
    foreground: Mapping[str, float],
) -> dict[str, dict[str, Rule]]:
    """The table that parameters give: `thresholds` by source and organ, shares of `foreground` by organ."""
    return {
        source: {
            organ: Rule(threshold, smallest_object, largest_hole, foreground.get(organ, math.nan))
            for organ, threshold in organs.items()
        }
        for source, organs in thresholds.items()
    }


def of_classes(
    classes: Sequence[str],
    sources: Iterable[str],
    organs: Sequence[str],
    *,
    smallest_object: float | Mapping[str, float],
    largest_hole: float | Mapping[str, float],
) -> dict[str, dict[str, ClassRule]]:
    """The table that parameters give to several classes: one size for all, or sizes by class, others 0."""
    sizes = [
        tuple(given.get(name, 0.0) if isinstance(given, Mapping) else given for name in classes)
        for given in (smallest_object, largest_hole)
    ]
    return {source: {organ: ClassRule(*sizes) for organ in organs} for source in sources}


def write(path: Path, rules: Rules) -> None:
    """Write the rules, all or nothing."""
    content = {
        "tta": rules.tta,
        "own": rules.own,
        "members": rules.members,
        "method": rules.method,
        "rules": {
            source: {organ: _facts(rule, rules.classes) for organ, rule in organs.items()}
            for source, organs in rules.by_source.items()
        },
        "why": rules.why,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        jsonfile.write(temporary, content)


def read(
    path: Path, *, organs: Collection[str], sources: Collection[str], classes: Sequence[str] = ("",)
) -> Rules:
    """The rules at `path`, checked; each of `sources` has a rule for each of `organs`, of several classes one
    size for each.

    Raises InputError that names the file, the key, the value and the way out.
    """
    with jsonfile.facts(path, REMEDY) as content:
        several = tuple(classes) if len(classes) > 1 else ()
        found = content["rules"]
        rules = Rules(
            tta=_text(content["tta"]),
            own=_weight(content["own"]),
            members={name: _weight(weight) for name, weight in content["members"].items()},
            method=content["method"],
            table={} if several else _each(found, _rule),
            why=dict(content["why"]),
            classes=several,
            sizes=_each(found, partial(_class_rule, classes=several)) if several else None,
        )
        _check(rules, organs, sources)
    return rules


def _facts(rule: Rule | ClassRule, classes: Sequence[str]) -> dict[str, Any]:
    if isinstance(rule, ClassRule):
        return {name: dict(zip(classes, sizes, strict=True)) for name, sizes in rule._asdict().items()}
    facts: dict[str, float | None] = rule._asdict()
    return facts | {"foreground": None if math.isnan(rule.foreground) else rule.foreground}


def _each(found: dict, read: Callable[[str, dict], Read]) -> dict[str, dict[str, Read]]:
    """What `read` makes of each organ of each source: of its place, and what is said there."""
    return {
        source: {organ: read(f"rules.{source}.{organ}", facts) for organ, facts in organs.items()}
        for source, organs in found.items()
    }


def _class_rule(where: str, facts: dict, classes: Sequence[str]) -> ClassRule:
    return ClassRule(*(_sizes(f"{where}.{name}", facts[name], classes) for name in ClassRule._fields))


def _rule(where: str, facts: dict) -> Rule:
    share = facts["foreground"]
    return Rule(
        threshold=_number(f"{where}.threshold", facts["threshold"], 1),
        smallest_object=_number(f"{where}.smallest_object", facts["smallest_object"], LARGEST),
        largest_hole=_number(f"{where}.largest_hole", facts["largest_hole"], LARGEST),
        foreground=math.nan if share is None else _number(f"{where}.foreground", share, 1),
    )


def _sizes(where: str, found: Any, classes: Sequence[str]) -> tuple[float, ...]:  # noqa: ANN401
    if not isinstance(found, dict) or set(found) != set(classes):
        raise ValueError(f"{where} is {found!r:.100}, not a size for each of {', '.join(classes)}")
    return tuple(_number(f"{where}.{name}", found[name], LARGEST) for name in classes)


def _number(where: str, value: Any, most: float) -> float:  # noqa: ANN401 JSON holds anything
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{where} is {value!r}, which is no number in 0..{most:g}")
    return float(value)


def _weight(value: Any) -> float:  # noqa: ANN401
    return _number("a weight", value, LARGEST)


def _text(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise ValueError(f"tta is {value!r}, which is no name")
    return value


def _check(rules: Rules, organs: Collection[str], sources: Collection[str]) -> None:
    if rules.method not in get_args(Method):
        raise ValueError(f"method is {rules.method!r}, not one of {', '.join(get_args(Method))}")
    if (rules.method == "argmax") != bool(rules.classes):
        raise ValueError(f"method is {rules.method!r}, and data.classes names {len(rules.classes) or 1}")
    if not math.isfinite(total := rules.own + sum(rules.members.values())) or total <= 0:
        raise ValueError(f"the weights add up to {total:g}, not to a positive number")
    for source, of_source in rules.by_source.items():
        if unknown := {source} - set(sources) or set(of_source) - set(organs):
            raise ValueError(
                f"rules.{source}: {', '.join(sorted(unknown))} is not in data.organs or data.sources"
            )
    for source in sources:
        if missing := set(organs) - set(rules.by_source.get(source, {})):
            raise ValueError(f"rules.{source} has no rule for {', '.join(sorted(missing))}")
