"""What experiments changed, and what that brought: a line for each, paired image by image with the first.

    python -m ftu_tools.studies.compare [A B ...] [--part oof]

Names are those of experiments, of commits, or `workspace`: what lies in the folder. With none, it is the last
commit, then what lies in the folder where that differs, then every experiment that hangs on the commit.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ftu.errors import InputError, some
from ftu.files import markdown, yamlfile
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn
from ftu.pipeline.uncommitted import flat
from ftu_tools.studies import experiments, statistics
from ftu_tools.studies.effects import between
from ftu_tools.studies.statistics import Estimate

WORKSPACE, HEAD = "workspace", "HEAD"
IGNORED = "compute."  # how stages run, on which no result hangs
MODEL = "compared"  # one for all: what differs are the rows
CHOSEN = "train.checkpoint"
BETTER = {"holds": "yes", "does not hold": "no, worse", "cannot be told": "cannot be told"}


class Result(NamedTuple):
    """What is known of one experiment, of a commit, or of the workspace."""

    name: str
    commit: str | None  # None: what lies in the folder
    params: dict[str, str]  # key with dots -> value as text
    dice: pd.DataFrame  # id, organ, data_source, dice (0..1), perhaps group


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help="experiments, commits or workspace; the first is compared with"
    )
    parser.add_argument(
        "--part", choices=experiments.SCORES, default="oof",
        help="the images that are compared: held out (oof), shifted to another source, or those of the test "
        "set that came with a mask",
    )  # fmt: skip
    words = parser.parse_args()
    names = [name for given in words.names for name in given.split()]
    results = named(names, words.part) if names else all_here(words.part)
    text = report(results, words.part)
    with whole_files(paths.REPORTS) as folder:
        (folder / "compare.md").write_text(text, encoding="utf-8")
    print(text, end="")


def named(names: Sequence[str], part: str) -> list[Result]:
    """The results of the names, each once; InputError where one is unknown, or has no results."""
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        raise InputError(f"NAMES: {names[0]!r} is one alone; name two or more, the first to compare with")
    return [workspace(part) if name == WORKSPACE else of_commit(name, part) for name in names]


def all_here(part: str) -> list[Result]:
    """The last commit, the workspace where its results are others, and the experiments with its code."""
    params = load_params(paths.PARAMS)
    here = experiments.finished(experiments.decisive(params.data.root))
    first, others = of_commit(HEAD, part), [of_commit(name, part) for name in sorted(here)]
    if due := experiments.due():
        warn(f"workspace: left out, its results are old (dvc repro would run {some(due)}); run `dvc repro`")
    else:
        present = in_folder(part)
        others[:0] = [] if any(alike(present, other) for other in (first, *others)) else [present]
    if not others:
        raise InputError(
            "nothing to compare: no experiment hangs on the last commit, whose results lie in the folder; "
            "run one, `dvc exp run -S train.aux_loss=switched`, or give NAMES"
        )
    return [first, *others]


def workspace(part: str) -> Result:
    """What lies in the folder; InputError unless it is of the parameters and the code that lie there."""
    if due := experiments.due():
        raise InputError(f"{WORKSPACE}: its results are old: dvc repro would run {some(due)}; run it first")
    return in_folder(part)


def in_folder(part: str) -> Result:
    """The results that lie in the folder, whatever they are of; InputError where there are none."""
    file = Path(experiments.SCORES[part])
    if not file.is_file():
        raise InputError(f"{WORKSPACE}: {file}: is missing; run `dvc repro`")
    table = experiments.dice_table(file.read_bytes(), f"{WORKSPACE}: {file}")
    return _result(WORKSPACE, None, paths.PARAMS.read_bytes(), table, part)


def of_commit(name: str, part: str) -> Result:
    """The results of an experiment or a commit; InputError where there is no such one, or they are not in
    DVC's cache."""
    commit = experiments.commit_of(name)
    params = experiments.content(commit, str(paths.PARAMS))
    return _result(name, commit, params, experiments.dice(name, commit, part), part)


def _result(name: str, commit: str | None, params: bytes, table: pd.DataFrame, part: str) -> Result:
    if table.empty:
        raise InputError(f"{name}: {experiments.SCORES[part]} scores no image; choose another PART")
    values = flat(yamlfile.parse(params, f"{name}: {paths.PARAMS}"))
    shown = {key: str(value) for key, value in values if not key.startswith(IGNORED)}
    return Result(name, commit, shown, table)


def alike(one: Result, other: Result) -> bool:
    return one.params == other.params and one.dice.equals(other.dice)


def report(results: Sequence[Result], part: str) -> str:
    """A Markdown table: what each changed, its mean Dice, the difference to the first and what it may say."""
    first, rows = results[0], []
    for result in results:
        gain = difference(result, first) if result is not first else None
        told = [*_spelled(gain, first, result)] if gain else ["", "", ""]
        rows.append([result.name, changes(first, result), f"{result.dice['dice'].mean():.4f}", *told])
    over = "groups" if "group" in first.dice else "images"
    head = ["name", "changed", "Dice", f"minus {first.name}", f"95 % over {over}", "better?"]
    lines = [f"Mean Dice of the images of part {part}.", "", *markdown.table(*_aligned(head, rows)), ""]
    return "\n".join([*lines, *notes(results)]) + "\n"


def _aligned(head: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The cells of a table, each as wide as the widest of its column: it is read in a terminal, too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    first, *others = (
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, *rows)
    )
    return first, others


def notes(results: Sequence[Result]) -> Iterator[str]:
    """What the table does not say by itself."""
    yield "Differences are paired by image; their intervals are for other images of the same kind. Each is of"
    yield "one training: the chance of another seed is not in it (`make effects` runs several)."
    best = [result.name for result in results if result.params.get(CHOSEN, "last") != "last"]
    if best:
        yield f"Chosen on the scored images ({CHOSEN}), so too high by a little: {some(best)}."


def changes(first: Result, other: Result) -> str:
    """The parameters in which `other` differs from `first`, with its values; code where that differs."""
    keys = sorted(first.params.keys() | other.params.keys())
    differing = [key for key in keys if first.params.get(key) != other.params.get(key)]
    words = [f"{key}={other.params.get(key, '(gone)')}" for key in differing]
    words += ["code" if code_differs(first, other) else ""]
    return ", ".join(filter(None, words)) or ("" if first is other else "nothing")


def code_differs(first: Result, other: Result) -> bool:
    one, two = sorted([first.commit, other.commit], key=lambda commit: commit is None)  # a commit comes first
    return one != two and one is not None and experiments.code_changed(one, two)


def difference(result: Result, first: Result) -> Estimate | None:
    """Dice of `result` minus that of `first`, over the images that both scored; None where there are none."""
    common = set(result.dice["id"]) & set(first.dice["id"])
    tables = [
        one.dice[one.dice["id"].isin(common)].assign(model=MODEL, mode=mode, seed=0)
        for mode, one in (("other", result), ("first", first))
    ]
    if not common:
        return None
    return statistics.difference(pd.concat(tables, ignore_index=True), MODEL, "other", "first")


def _spelled(gain: Estimate, first: Result, result: Result) -> Iterator[str]:
    """The difference, its interval, and whether it tells one from the other."""
    scored = {len(first.dice), len(result.dice), gain.images}
    yield f"{gain.mean:+.4f}" + (f" on {gain.images} common images" if len(scored) > 1 else "")
    reach = gain.reach
    yield between(reach)
    same = reach.low == reach.high == 0
    yield "the same" if same else BETTER[statistics.inside(reach, 0.0, float("inf"))]


if __name__ == "__main__":
    run(main)
