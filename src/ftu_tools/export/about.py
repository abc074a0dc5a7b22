"""What is known of an exported model, from its project's parameters and reports: what its documents say."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ftu.errors import InputError
from ftu.files import csvfile, yamlfile
from ftu.masks import metrics
from ftu.pipeline import paths
from ftu.pipeline.params import Params
from ftu_tools.export.network import Sizes
from ftu_tools.trained import model as models
from ftu_tools.trained.model import Project

DICE, TESTED = "reports/dice.csv", "reports/dice_test.csv"
PICTURES = ("reports/failures.png", "reports/gallery.png")
DATA = {
    "competition": "HuBMAP + HPA - Hacking the Human Body, or images in its layout",
    "folders": "own images",
}
CITED = "CITATION.cff"
RESAMPLES, SEED = 9999, 0  # of an interval


class Score(NamedTuple):
    """A mean Dice, and its interval over images, or over the groups of these; nan where there is one."""

    part: str  # out of fold, or test
    of: str
    images: int
    dice: float
    low: float
    high: float


class About(NamedTuple):
    """All that README.md and rdf.yaml say."""

    name: str
    author: str  # '' where nobody is named
    licence: str  # of the weights, by SPDX; '' where none is chosen
    made_by: str  # project or experiment, and its commit
    data: str  # what it learnt from, in words
    params: Params
    models: Mapping[str, dict[str, Any]]  # fold_K -> model.json
    sizes: Sizes
    full: float
    scale: tuple[float, float] | None  # um per px that the network saw, from and to
    scores: Sequence[Score]
    pictures: Sequence[str]
    views: str  # the set of views that counts
    cited: Sequence[Mapping[str, Any]]  # the references of CITATION.cff

    @property
    def architecture(self) -> Mapping[str, Any]:
        return next(iter(self.models.values()))["architecture"]


def held(project: Project, path: str) -> Path | None:
    """A file of the project, None where it has none."""
    try:
        place = project.place(path)
    except InputError:
        return None
    return place if place.is_file() else None


def learnt_from(params: Params) -> str:
    """What the images were, as far as the parameters tell."""
    if Path(params.data.root) == paths.SAMPLE:
        return "images drawn by a program (ftu's embedded sample), of no tissue"
    return DATA[params.data.layout]


def scale(project: Project, params: Params) -> tuple[float, float] | None:
    """um per px of the images that the network learnt from, the finest and the coarsest; None if unknown."""
    if params.resize.mode == "microns":
        return params.resize.microns, params.resize.microns
    if (path := held(project, models.GEOMETRY)) is None:
        return None
    table = csvfile.measured(str(path), csvfile.read_csv(path), ["network_um"])
    own = table.loc[table["set"] == "train", "network_um"]
    return (float(own.min()), float(own.max())) if len(own) else None


def scores(project: Project) -> list[Score]:
    """The mean Dice of each organ and source, out of fold and of labelled test images."""
    found = []
    groups = _groups(project)
    for part, file in (("out of fold", DICE), ("test", TESTED)):
        if (path := held(project, file)) is None:
            continue
        table = csvfile.measured(str(path), csvfile.read_csv(path), ["dice"])
        for column in ("organ", "data_source"):
            for name, rows in table.groupby(column, sort=True):
                found.append(_score(part, str(name), rows, groups))
        if len(table):
            found.append(_score(part, "all", table, groups))
    return found


def cited() -> list[Mapping[str, Any]]:
    """What CITATION.cff, of this software, says is to be cited besides."""
    content = yamlfile.read(Path(__file__).parents[3] / CITED, "take it from the repository")
    return content["references"]  # pyright: ignore[reportIndexIssue]


def _score(part: str, of: str, rows: pd.DataFrame, groups: Mapping[str, str]) -> Score:
    values = rows["dice"].to_numpy(float)
    names = [groups[each] for each in rows["id"]] if set(rows["id"]) <= set(groups) else None
    low = high = math.nan
    if metrics.units(len(values), names) > 1:
        low, high = metrics.interval(values, draws=RESAMPLES, seed=SEED, groups=names)
    return Score(part, of, len(values), float(values.mean()), low, high)


def _groups(project: Project) -> dict[str, str]:
    """The patient or slide of each training image, where these are known."""
    if (path := held(project, models.INDEX)) is None:
        return {}
    table = csvfile.read_csv(path)
    return dict(zip(table["id"], table["group"], strict=True)) if "group" in table else {}
