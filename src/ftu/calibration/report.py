"""What calibration chose and what it is worth: as JSON for programs, in words, and as a picture.

Matplotlib is imported where something is drawn, as in ftu.reports.figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ftu.calibration.choose_mixture import Measured
from ftu.calibration.choose_rules import flat_region
from ftu.calibration.dice_curves import THRESHOLDS, Curves
from ftu.calibration.held_out import Held, by_pair
from ftu.calibration.nested_cv import WAYS, Choice, Search
from ftu.files import jsonfile, markdown
from ftu.probabilities.fold_maps import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

READING = """\
Dice is the mean over out-of-fold images at native size. *Nested*: each fold scored by what was chosen on the
others, which is what the chosen rules are worth. *In-sample*: the final choice on the images that it was made
on, which flatters it. *Table*: params.yaml as it is, nothing chosen. *Gain*: nested minus table, by image.
Intervals are 95 %, bootstrapped over {over}: they say what other {over} of this kind would give, not
what another split or another training would, nor what images of another source would."""

NOT_NESTED = """\
Views, weights and rules are nested; the networks are not. The epoch of each was chosen on the fold that is
scored (train.checkpoint {rule}): nested, in-sample and table are too high alike, by what reports/summary.md
says. The gain is between the same networks."""


class Panel(NamedTuple):
    """The mean Dice of one pair over thresholds, with what was chosen."""

    title: str
    dice: np.ndarray  # (T,)
    table: float
    chosen: float
    flat: tuple[float, float] | None  # where it is flat, if the threshold was chosen there


class Report(NamedTuple):
    """What there is to say: for programs, for people, and as a picture."""

    facts: dict
    words: str
    panels: Sequence[Panel]


OFF = Report({"enabled": False}, "Calibration is off: the thresholds of params.yaml hold.\n", ())


ARGMAX = OFF._replace(words="Calibration is off: of several classes each pixel is of the likeliest.\n")


def compose(
    measured: Measured,
    search: Search,
    outer: Mapping[int, Choice],
    final: Choice,
    estimates: Mapping[str, dict],
    selection: Selection,
) -> Report:
    """The report on what was chosen: `outer` without each fold, `final` on all images.

    `selection` is how the networks' epochs were chosen, before.
    """
    content = {
        "enabled": True,
        "metric": "dice_shifted" if search.part == "shifted" else "dice",
        "checkpoint": selection.named,
        "estimates": estimates,
        "final": facts(final),
        "folds": {str(fold): facts(choice) for fold, choice in outer.items()},
    }
    (curves,) = measured.of([final.mixture], search.settings.sizes)
    told = words(estimates, final, outer, selection)
    return Report(content, told, panels(measured.cases, curves, final, search))


def write(report: Report, folder: Path) -> None:
    """calibration.json, calibration.md and calibration.png."""
    jsonfile.write(folder / "calibration.json", report.facts)
    (folder / "calibration.md").write_text(report.words, encoding="utf-8")
    draw(report.panels, folder / "calibration.png", report.words)


def facts(choice: Choice) -> dict:
    """A choice as JSON holds it."""
    return {
        "tta": choice.mixture.tta,
        "weights": list(choice.mixture.weights),
        "rules": {
            source: {
                organ: {name: None if math.isnan(value) else value for name, value in rule._asdict().items()}
                for organ, rule in organs.items()
            }
            for source, organs in choice.table.items()
        },
        "why": choice.why,
    }


def words(
    estimates: Mapping[str, dict], final: Choice, outer: Mapping[int, Choice], selection: Selection
) -> str:
    """Scores, then the choice with the thresholds of the outer folds beside it, as Markdown."""
    grouped = ["groups"] if any("groups" in row for row in estimates.values()) else []
    rows = [
        (
            name,
            *(row[count] for count in ("images", *grouped)),
            *(_interval(row[way]) for way in (*WAYS, "gain")),
        )
        for name, row in estimates.items()
    ]
    lines = markdown.table(["images", "count", *grouped, "nested", "in-sample", "table", "gain"], rows)
    weights = ", ".join(f"{weight:g}" for weight in final.mixture.weights)
    lines += ["", READING.format(over="groups" if grouped else "images"), ""]
    lines += [NOT_NESTED.format(rule=selection.named), ""] if selection.flatters else []
    lines += [f"Views: {final.mixture.tta} ({final.why['tta']})."]
    lines += [f"Weights, own first: {weights} ({final.why['weights']}).", ""]
    rows = []
    for source, organs in final.table.items():
        for organ, rule in organs.items():
            others = ", ".join(f"{choice.table[source][organ].threshold:g}" for choice in outer.values())
            sizes = f"{rule.smallest_object:g}", f"{rule.largest_hole:g}"
            why = final.why["rules"][source][organ]
            rows.append((source, organ, f"{rule.threshold:.3g}", others, *sizes, why))
    columns = ["source", "organ", "threshold", "without each fold", "object, um2", "hole, um2", "why"]
    lines += markdown.table(columns, rows)
    return "\n".join(lines) + "\n"


def panels(cases: Sequence[Held], curves: Sequence[Curves], final: Choice, search: Search) -> list[Panel]:
    """A panel for each pair with images, its Dice that of the chosen sizes."""
    settings, default, found = search.settings, search.start.table, []
    for (source, organ), positions in by_pair(cases).items():
        rule = final.table[source][organ]
        s, h = settings.sizes.nearest(rule)
        dice = np.mean([curves[position].dice[:, s, h] for position in positions], axis=0)
        chosen = settings.method == "table" and len(positions) >= settings.fewest
        region = [float(THRESHOLDS[k]) for k in flat_region(dice, settings.flat)]
        title = f"{organ}, {source}: {len(positions)} images"
        flat = (region[0], region[1]) if chosen else None
        found.append(Panel(title, dice, default[source][organ].threshold, rule.threshold, flat))
    return found


def draw(panels: Sequence[Panel], path: Path, told: str = OFF.words) -> None:
    """Dice over thresholds, a panel for each pair: the flat region, the choice, and the table's threshold.

    Without panels the picture says what is `told`: that calibration is off.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()  # a matplotlibrc in any of its places would give other bytes
    columns = min(len(panels), 3) or 1
    rows = math.ceil(len(panels) / columns) or 1
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, panel in zip(axes, panels, strict=False):
        _draw_panel(place, panel)
    for place in axes[len(panels) :]:
        place.axis("off")
    if panels:
        fullest = max(range(len(panels)), key=lambda k: panels[k].flat is not None)
        axes[fullest].legend(fontsize=8, loc="lower center")
    else:
        axes[0].text(0.5, 0.5, told.strip().replace(": ", ":\n"), ha="center", va="center")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.plot(THRESHOLDS, panel.dice, color="tab:blue")
    if panel.flat:
        axes.axvspan(*panel.flat, color="tab:green", alpha=0.2, label="equally good")
        axes.axvline(panel.chosen, color="tab:green", label="chosen")
    axes.axvline(panel.table, color="black", linestyle="dotted", label="table")
    axes.set_title(panel.title, fontsize=9)
    axes.set(xlabel="threshold", ylabel="mean Dice", xlim=(0, 1))


def _interval(estimate: Mapping[str, float | None]) -> str:
    if estimate["low"] is None:
        return f"{estimate['dice']:.3f}"
    return f"{estimate['dice']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
