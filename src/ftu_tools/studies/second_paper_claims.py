"""The second paper's claims on experiments of our own, beside its numbers: `make effects CLAIMS=em-ssl`.

A variant is a row of the paper's table when it has its name. The paper has foreground IoU, ours is the mean
Dice of an image: signs can be compared, sizes hardly.
"""

from collections.abc import Iterable

import pandas as pd

from ftu.errors import InputError
from ftu.files import markdown
from ftu_tools.studies import statistics
from ftu_tools.studies.second_paper import (
    CLAIMS,
    KASTHURI,
    LUCCHI,
    PRETRAINED,
    TO_KASTHURI,
    TO_LUCCHI,
    UNETR_PARTS,
    WIDTHS,
    Claim,
    Table,
    verdict,
)
from ftu_tools.studies.statistics import Interval

STUDIES: dict[str, dict[str, Table]] = {  # its tables by what they were measured on
    "em-ablation": {"UNETR Base": UNETR_PARTS, "width of UNETR Base": WIDTHS},
    "em-networks": {"Lucchi++": LUCCHI, "Kasthuri++": KASTHURI},
    "em-ssl": {"UNETR Base": PRETRAINED},
    "em-adapt": {"Lucchi++ to Kasthuri++": TO_KASTHURI, "Kasthuri++ to Lucchi++": TO_LUCCHI},
}
ANY = (
    "Each claim is put to the images of these runs, whichever of its data sets, or which way between two, "
    "the paper claims it of; those of the others say nothing about it."
)
ABOVE = (0.0, float("inf"))


def claims_of(study: str) -> list[Claim]:
    return [claim for claim in CLAIMS if any(claim.table is table for table in STUDIES[study].values())]


def check(study: str, variants: Iterable[str]) -> None:
    """Raise InputError where no claim of the study is about two of the variants."""
    names, claims = set(variants), claims_of(study)
    if not any({claim.better, claim.worse} <= names for claim in claims):
        wanted = sorted({name for claim in claims for name in (claim.better, claim.worse)})
        raise InputError(
            f"CLAIMS {study}: none of its claims is about two of the variants {', '.join(sorted(names))}; "
            f"call them as the paper's rows are called: {', '.join(wanted)}"
        )


def report(table: pd.DataFrame, study: str) -> str:
    """Markdown: a sentence for each claim, and the Dice of each variant beside the paper's scores.

    `table` is that of the effects (model, mode, seed, id, dice, perhaps group).
    """
    (model,) = table["model"].unique()
    lines = [f"## The second paper's claims here ({study})", ""]
    lines += [ANY, ""] if len(STUDIES[study]) > 1 else []
    lines += [f"- {sentence(table, model, claim)}" for claim in claims_of(study)]
    head = ["row", "Dice here", *(f"IoU there, {where}" for where in STUDIES[study])]
    rows = []
    for name in dict.fromkeys(table["mode"]):
        own = statistics.score(table, model, name)
        theirs = [_there(scores, name) for scores in STUDIES[study].values()]
        rows.append([name, f"{own.mean:.3f}" if own else "-", *theirs])
    return "\n".join([*lines, "", *markdown.table(head, rows)]) + "\n"


def sentence(table: pd.DataFrame, model: str, claim: Claim) -> str:
    """What holds of a claim here, with the difference that says so, and what its own numbers say."""
    own = f"its own numbers: {verdict(claim)}"
    words = f"{claim.better} above {claim.worse} ({claim.where}; {own})."
    if not {claim.better, claim.worse} <= set(table["mode"]):
        return f"{words} Here: **not run**."
    gain = statistics.difference(table, model, claim.better, claim.worse)
    if gain is None:
        return f"{words} Here: **not run** with one seed for both."
    found = statistics.inside(gain.reach, *ABOVE)
    seeds = len(gain.seed_means)
    over = f"{gain.images} images" if gain.groups is None else f"{gain.images} images in {gain.groups} groups"
    over += f" and {seeds} seeds" if seeds > 1 else ", one seed, whose chance is not counted"
    return f"{words} Here: **{found}** ({gain.mean:+.3f}, {_between(gain.reach)} over {over})."


def _between(reach: Interval) -> str:
    return f"{reach.low:+.3f} to {reach.high:+.3f}" if reach.is_known() else "interval unknown"


def _there(scores: Table, name: str) -> str:
    return f"{scores[name].mean:.3f} ± {scores[name].sd:.3f}" if name in scores else "-"
