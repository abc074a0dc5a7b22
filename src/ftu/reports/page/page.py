"""reports/index.html: one page of all that is known of a trained experiment, which opens without a network.

It has no clock, no host and no commit, so that equal inputs give equal bytes. Its script sorts tables; the
layers of pictures are switched by the style sheet alone.
"""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ftu.cache import hashes
from ftu.errors import some
from ftu.files import csvfile, jsonfile
from ftu.masks.rules import Rules
from ftu.preprocessing import resize
from ftu.reports import figures
from ftu.reports.page import charts, pictures, tables
from ftu.reports.page.pictures import Layers, Shown
from ftu.reports.page.tables import Scored
from ftu.reports.scores import BASELINES, Nested

TEMPLATE = "page.html"
FOLDER = "page"  # beside the page: where its pictures lie
WAYS = ("nested", "in_sample", "table", "gain")  # of calibration.json
QUALITIES = ("residual", "gain", "clipped", "artefacts")  # numbers of qc.csv
MEASURED = ("network_um", "against_train", "against_train_min", "against_train_max")


class Quality(NamedTuple):
    """One number of qc.csv over all images."""

    name: str
    mean: tables.Mean
    most: float | None
    image: str  # the id of the image that has the most


class Warnings(NamedTuple):
    """What preprocessing saw: rows of geometry.csv, sentences on scales that differ, reasons for which images
    were left as they are (with the ids), numbers of qc.csv."""

    geometry: list[dict[Hashable, Any]]
    scales: list[str]
    reasons: list[tuple[str, int, str]]
    qualities: list[Quality]


class Model(NamedTuple):
    """What model.json says of a fold's network; '' where it says nothing."""

    fold: int
    weights: str  # SHA-256
    start: str  # where its first weights came from, and their licence
    epoch: str
    checkpoint: str


def read_warnings(geometry: Path, quality: Path) -> Warnings:
    """InputError where a table is missing, damaged or without a column."""
    seen = csvfile.read_csv(geometry)
    csvfile.check_columns(geometry, seen, ["organ", "data_source", "set", "images", *MEASURED])
    seen = csvfile.measured(str(geometry), seen, MEASURED)
    checked = csvfile.read_csv(quality)
    csvfile.check_columns(quality, checked, ["id", "reason", *QUALITIES])
    checked = csvfile.measured(str(quality), checked, QUALITIES)
    reasons = [(str(why), len(rows), some(rows["id"])) for why, rows in checked.groupby("reason") if why]
    return Warnings(
        geometry=seen.astype(object).where(seen.notna(), None).to_dict("records"),
        scales=resize.scale_warnings(seen),
        reasons=reasons,
        qualities=[_quality(checked, name) for name in QUALITIES],
    )


def _quality(table: pd.DataFrame, name: str) -> Quality:
    mean = tables.mean_of(table[name])
    if mean.value is None:
        return Quality(name, mean, None, "")
    place = int(table[name].argmax())  # of those that are defined
    return Quality(name, mean, float(table[name].iloc[place]), str(table["id"].iloc[place]))


def read_models(folders: Mapping[int, Path]) -> list[Model]:
    """The folders of the folds' models; InputError for a model.json that cannot be read."""
    found = []
    for fold, folder in folders.items():
        with jsonfile.facts(folder / "model.json", "run `dvc repro`") as facts:
            first = facts.get("encoder_weights", {})
            start = ", ".join(f"{name} {value}" for name, value in first.items())
            told = (str(facts.get(name, "")) for name in ("epoch", "checkpoint"))
            found.append(Model(fold, facts["weights_sha256"], start, *told))
    return found


class Estimate(NamedTuple):
    """What the chosen rules score on some of the images, by each of WAYS: the Dice and its interval."""

    name: str
    images: int
    ways: list[tuple[float, float | None, float | None]]  # None: of one image or group


def read_estimates(facts: Mapping[str, Any]) -> list[Estimate]:
    """Of calibration.json; none where calibrate chose nothing."""
    return [
        Estimate(
            name,
            int(found["images"]),
            [tuple(found[way][key] for key in ("dice", "low", "high")) for way in WAYS],
        )
        for name, found in facts.get("estimates", {}).items()
    ]


class Content(NamedTuple):
    """All that the page is made of."""

    classes: Sequence[str]
    scored: Scored
    interval: tuple[float, float] | None
    nested: Nested
    estimates: Sequence[Estimate]  # what the rules are worth, where calibrate chose them
    rules: Rules
    folds: pd.DataFrame  # folds.csv
    shown: Shown
    layers: Sequence[Layers]
    histories: Mapping[int, pd.DataFrame]
    remarks: Sequence[str]  # what the networks saw and were chosen by, in words
    warnings: Warnings
    models: Sequence[Model]
    parameters: Mapping[str, Any]  # by section, without those that say how stages run
    files: Mapping[str, str]  # what the page was made of, and the SHA-256 of each


def render(content: Content) -> str:
    """The page as text; every name in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"score": _score, "number": _number, "hex": _hex}
    scored, oof = content.scored, content.scored.images["oof"]
    rank = {each.id: each.number for each in content.layers}
    return environment.get_template(TEMPLATE).render(
        content._asdict(),
        oof=oof,
        dice=tables.mean_of(oof["dice"]),
        baselines={name: tables.mean_of(oof[name]) for name in BASELINES},
        others={part: tables.mean_of(scored.images[part]["dice"]) for part in ("shifted", "test")},
        parts={name: tables.by(oof, column) for name, column in PARTS.items() if column in oof},
        shifted=tables.by(scored.images["shifted"], "organ"),
        rows=tables.rows_of(oof, content.folds, rank),
        facts=oof.set_index("id").to_dict("index"),
        charts=charts.draw(content.histories),
        switched=charts.switches(content.histories),
        told=_rules(content.rules),
        ways=WAYS,
        phases=charts.phases(content.histories),
        blocks=list(charts.BLOCKS.values()),
        most_groups=tables.MOST_GROUPS,
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.WIDTH - charts.RIGHT,
        top=charts.TOP,
        bottom=charts.HEIGHT - charts.BOTTOM,
        folder=FOLDER,
        key=pictures.colours(len(content.classes)),
        truth=figures.TRUTH,
        prediction=figures.PREDICTION,
    )


def _rules(rules: Rules) -> list[tuple[str, str, dict[str, str]]]:
    """Data source, organ, and what the rule says: of several classes sizes alone, one for each."""
    return [
        (source, organ, {name: _told(value, rules.classes) for name, value in rule._asdict().items()})
        for source, organs in rules.by_source.items()
        for organ, rule in organs.items()
    ]


def _told(value: float | tuple[float, ...], classes: Sequence[str]) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{name} {size:g}" for name, size in zip(classes, value, strict=True))
    return "undefined" if math.isnan(value) else f"{value:.4g}"


PARTS = {"organ": "organ", "data source": "data_source", "group": "group"}


def _score(value: float | None, digits: int = 3) -> str:
    """A score for people; what is not defined is said in words."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _number(value: object) -> str:
    """Any value of parameters or rules, on one line."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _hex(colour: tuple[int, int, int]) -> str:
    return f"#{bytes(colour).hex()}"


def hashed(files: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {path.as_posix(): hashes.sha256(path) for path in files}
