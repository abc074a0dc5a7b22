"""The report of a sweep: its Dice beside the paper's Table 2, in words, as a table and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ftu.files import markdown
from ftu.pipeline.sections.training import Train
from ftu_tools.studies import switched_aux
from ftu_tools.studies.grid import Cell, GridModel, State
from ftu_tools.studies.statistics import Estimate, Interval, difference, score
from ftu_tools.studies.switched_aux import PAIRS, Contrasts, Judgement

COLUMNS = ["model", "mode", "seed", "state", "id", "organ", "data_source", "dice"]
NEEDS = dict.fromkeys(switched_aux.CLAIMS, "no transformer was asked for") | {
    "single lowers": "no model was asked for",
    "cnns less sensitive": "all CNNs against all transformers; it takes all three modes of both",
}
PUBLISHED = ("paper, public", "paper, private")
SCORED = ("done", "cached")
COLOURS = {
    ("switched", "none"): "tab:blue",
    ("switched", "single"): "tab:orange",
    ("single", "none"): "tab:gray",
}

CHOSEN = (
    "Each network is that of its best epoch{since} (train.checkpoint {rule}), chosen on the images that are "
    "scored here: the scores are too high, and by another chance for each network."
)
CHECKPOINTS = {
    "last": "Each network is that of its last epoch (train.checkpoint last): none was chosen by its score.",
    "best": CHOSEN.format(rule="best", since=""),
    "best_after_switch": CHOSEN.format(rule="best_after_switch", since=" from the switch on"),
}

STOPPED = " Where early stopping ended a training, it chose by the same score (train.early_stopping)."

READING = """\
Dice is the mean over held-out images at native size. Intervals are 95 %. *Over {over}* (bootstrap): what
other {over} of this kind would give; with few {over} it is too narrow. *Over seeds* (t interval of the
seeds' means): what other seeds would give; with two or three it is wide. *Both* joins the two, and decides
over the claims; with one seed it is the one over {over}, and a claim is told for that seed alone.
Differences are paired by image and seed. Nothing here says how another split, or other parameters, would
do, and no correction is made for asking several questions at once. The paper's values are single runs on
the competition's test images, without intervals: compare signs and sizes, not the Dice itself."""


def checkpoints(train: Train) -> str:
    """By what each network's epoch was chosen, and what that does to its score."""
    return CHECKPOINTS[train.checkpoint] + (STOPPED if train.early_stopping else "")


class Result(NamedTuple):
    """What became of a cell: its scores, as `experiments.dice` has them, when it was run."""

    cell: Cell
    state: State
    dice: pd.DataFrame | None


def tidy(results: Sequence[Result]) -> pd.DataFrame:
    """COLUMNS, and group where it is known, a row per image of each cell.

    A cell without scores has one row, its id and dice empty.
    """
    parts = []
    for cell, state, dice in results:
        rows = pd.DataFrame({"id": [""], "organ": [""], "data_source": [""]}) if dice is None else dice
        shown = "done" if state in SCORED else state  # what was cached is no fact about the result
        parts.append(rows.assign(model=cell.model, mode=cell.mode, seed=cell.seed, state=shown))
    table = pd.concat(parts, ignore_index=True)
    columns = [*COLUMNS, *(["group"] if "group" in table else [])]
    return table.reindex(columns=columns).astype({"dice": float})


def contrasts(table: pd.DataFrame, grid: Mapping[str, GridModel]) -> dict[str, Contrasts]:
    """The paired differences of each model of the (tidy) table, in its order."""
    scored = table[table["dice"].notna()]
    return {
        model: Contrasts(grid[model].kind, *(difference(scored, model, *pair) for pair in PAIRS))
        for model in table["model"].unique()
    }


def text(table: pd.DataFrame, compared: Mapping[str, Contrasts], *, setting: str) -> str:
    """The whole report; `setting` says in words what was run."""
    judged, over = switched_aux.judge(compared), "groups" if "group" in table else "images"
    lines = ["# The paper's Table 2, here", "", setting, "", "## What holds here", ""]
    lines += [f"- {line}" for line in verdicts(judged)] + ["", seeds_in_words(compared), ""]
    lines += ["## Dice", "", *scores_table(table), "", "## Differences, paired by image", ""]
    lines += [*differences_table(compared, over), "", "![Differences with their intervals](table2.png)", ""]
    missing = missing_cells(table)
    lines += (["## Missing runs", "", *[f"- {line}" for line in missing], ""]) if missing else []
    lines += ["## Claims that the paper's own Table 2 contradicts", ""]
    lines += [f'- "{switched_aux.CLAIMS[name]}" {why}' for name, why in switched_aux.CONTRADICTED.items()]
    return "\n".join([*lines, "", "## How to read this", "", READING.format(over=over)]) + "\n"


def verdicts(judged: Mapping[str, Judgement]) -> list[str]:
    """A sentence for each claim: what was found, and for which models."""
    sentences = []
    for claim, (verdict, parts) in judged.items():
        if not parts:
            sentences.append(f"{switched_aux.CLAIMS[claim]} **Here: {verdict}** ({NEEDS[claim]}).")
            continue
        found = {
            each: [name for name in parts if parts[name] == each] for each in dict.fromkeys(parts.values())
        }
        models = "; ".join(f"{each} for {', '.join(names)}" for each, names in found.items())
        if set(found) == {verdict}:
            models = ", ".join(parts)
        sentences.append(f"{switched_aux.CLAIMS[claim]} **Here: {verdict}** ({models}).")
    return sentences


def seeds_in_words(compared: Mapping[str, Contrasts]) -> str:
    """What the seeds that two losses have in common allow to say; the intervals over images do not know."""
    counts = [len(found.seed_means) for _, *estimates in compared.values() for found in estimates if found]
    if not counts:
        return "No two losses can be compared yet."
    if min(counts) > 1:
        return f"Each difference is over {min(counts)} seeds or more; the verdicts count their spread."
    which = "Each difference is" if max(counts) == 1 else "Some differences are"
    return f"{which} over one seed: the spread over seeds is not known, and another seed may turn a verdict."


def scores_table(table: pd.DataFrame) -> list[str]:
    """Per model and mode: Dice with its interval and its spread over seeds, and the paper's values."""
    over = "groups" if "group" in table else "images"
    columns = ["model", "mode", "Dice", f"95 % over {over}", "spread of seeds", "images", "seeds", *PUBLISHED]
    lines = []
    scored = table[table["dice"].notna()]
    for (model, mode), rows in table.groupby(["model", "mode"], sort=False):
        found = score(scored, str(model), str(mode))
        words = ["-"] * 4
        if found:
            words = [f"{found.mean:.3f}", _range(found.over_images), _spread(found), str(found.images)]
        published = [
            _paper(values, str(model), str(mode)) for values in (switched_aux.PUBLIC, switched_aux.PRIVATE)
        ]
        lines.append((model, mode, *words, _seeds(rows), *published))
    return markdown.table(columns, lines)


def differences_table(compared: Mapping[str, Contrasts], over: str = "images") -> list[str]:
    """Per model and pair of modes: the difference with both intervals, seed by seed, and the paper's."""
    columns = ["model", "pair", "difference", f"95 % over {over}", "over seeds", "both", "seed by seed"]
    lines = []
    for model, (_, *estimates) in compared.items():
        for pair, found in zip(PAIRS, estimates, strict=True):
            words = ["-"] * 5
            if found:
                each = ", ".join(f"{seed}: {mean:+.3f}" for seed, mean in found.seed_means.items())
                over_seeds = _range(found.over_seeds, "+") if len(found.seed_means) > 1 else "one seed"
                words = [f"{found.mean:+.3f}", _range(found.over_images, "+"), over_seeds]
                words += [_range(found.reach, "+"), each]
            published = [
                _paper_difference(values, model, *pair)
                for values in (switched_aux.PUBLIC, switched_aux.PRIVATE)
            ]
            lines.append((model, " - ".join(pair), *words, *published))
    return markdown.table([*columns, *PUBLISHED], lines)


def missing_cells(table: pd.DataFrame) -> list[str]:
    rows = table[table["dice"].isna()]
    cells = zip(rows["model"], rows["mode"], rows["seed"], rows["state"], strict=True)
    return [f"{model}, {mode}, seed {seed}: {state}" for model, mode, seed, state in cells]


def draw(compared: Mapping[str, Contrasts], path: Path) -> None:
    """A row per model, three differences each: thick over images, thin for both, a ring for the paper."""
    figure = Figure(figsize=(7, 1.6 + 0.7 * len(compared)), layout="constrained")
    axes = figure.subplots()
    for row, (model, (_, *estimates)) in enumerate(compared.items()):
        for offset, pair, found in zip((-0.22, 0, 0.22), PAIRS, estimates, strict=True):
            if found:
                _draw_estimate(axes, found, row + offset, COLOURS[pair])
            if model in switched_aux.PUBLIC:
                published = _paper_value(switched_aux.PUBLIC, model, *pair)
                axes.plot(published, row + offset, "o", color=COLOURS[pair], markerfacecolor="none")
    for pair, colour in COLOURS.items():
        axes.plot([], [], "o-", color=colour, label=" - ".join(pair))
    axes.plot([], [], "o", color="black", markerfacecolor="none", label="paper, public")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(yticks=range(len(compared)), yticklabels=list(compared), xlabel="difference of Dice")
    axes.set_ylim(len(compared) - 0.5, -0.5)  # the first model at the top
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_estimate(axes: Axes, found: Estimate, height: float, colour: str) -> None:
    axes.plot(found.mean, height, "o", color=colour, markersize=5)
    for interval, width in ((found.over_images, 3), (found.reach, 1)):
        if interval.is_known():
            axes.plot(interval, (height, height), color=colour, linewidth=width, alpha=0.7)


def _seeds(rows: pd.DataFrame) -> str:
    """The seeds of one model and mode, those that are missing with their state: `42, 43 (failed)`."""
    seeds = rows.drop_duplicates("seed")[["seed", "state"]].itertuples(index=False, name=None)
    return ", ".join(f"{seed}" if state == "done" else f"{seed} ({state})" for seed, state in seeds)


def _range(interval: Interval, sign: str = "") -> str:
    return f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}" if interval.is_known() else "one image"


def _spread(found: Estimate) -> str:
    return f"{found.spread:.3f}" if len(found.seed_means) > 1 else "one seed"


def _paper(values: Mapping[str, switched_aux.Dice], model: str, mode: str) -> str:
    return f"{getattr(values[model], mode):.5f}" if model in values else "-"


def _paper_difference(values: Mapping[str, switched_aux.Dice], model: str, mode: str, baseline: str) -> str:
    return f"{_paper_value(values, model, mode, baseline):+.5f}" if model in values else "-"


def _paper_value(values: Mapping[str, switched_aux.Dice], model: str, mode: str, baseline: str) -> float:
    return getattr(values[model], mode) - getattr(values[model], baseline)
