"""What each change of parameters brings: variants x seeds as DVC experiments, and a table of paired
differences.

A file names the variants, each with its `-S` overrides; the first is what the others are compared with. What
is finished is not run again.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ftu.errors import InputError
from ftu.files import markdown, yamlfile
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run
from ftu_tools.studies import experiments, grid, second_paper_claims, statistics
from ftu_tools.studies.grid import Cell
from ftu_tools.studies.run_table2 import numbers, split_settings
from ftu_tools.studies.statistics import Estimate, Interval

STUDY = "effect"
LOGS = Path(".dvc/tmp/effects")
EXAMPLE = "a name for each variant and its overrides, such as `flips: [predict.tta=flips]`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="YAML: " + EXAMPLE)
    parser.add_argument("--seeds", default="", help="values of train.seed; that of params.yaml, when empty")
    parser.add_argument("--set", default="", help="other parameters, of all variants")
    parser.add_argument(
        "--part", choices=experiments.SCORES, default="oof", help="the images that are compared: test, "
        "those test images that came with a mask"
    )  # fmt: skip
    parser.add_argument(
        "--claims", choices=("", *second_paper_claims.STUDIES), default="", help="the second paper's, "
        "about variants that are called as its rows are"
    )  # fmt: skip
    words = parser.parse_args()
    params = load_params(paths.PARAMS)
    seeds = numbers("SEEDS", words.seeds) or [params.train.seed]
    variants = read_variants(words.file)
    if words.claims:
        second_paper_claims.check(words.claims, variants)
    cells = make_cells(paths.PARAMS, variants, seeds, split_settings(words.set))
    decisive = experiments.decisive(grid.effective(paths.PARAMS, cells[0].overrides).data.root)
    experiments.check_committed(decisive)
    failed = fill(cells, experiments.finished(decisive))
    table = table_of(cells, experiments.finished(decisive), words.part)
    text = report(table, cells[0].mode, missing=failed)
    text += f"\n{second_paper_claims.report(table, words.claims)}" if words.claims else ""
    with whole_files(paths.REPORTS) as folder:
        (folder / "effects.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    if failed:
        sys.exit(f"failed: {', '.join(f'{cell.mode}, seed {cell.seed} ({log_of(cell)})' for cell in failed)}")


def read_variants(path: Path) -> dict[str, list[str]]:
    """The overrides of each variant by its name; InputError names what is wrong."""
    rows = yamlfile.read(path, "EFFECTS names a file of variants")
    if not isinstance(rows, dict) or len(rows) < 2:
        raise InputError(f"{path}: holds fewer than two variants; write {EXAMPLE}")
    for name, overrides in rows.items():
        if not isinstance(overrides, list) or not all(isinstance(one, str) for one in overrides):
            raise InputError(f"{path}: {name}: {overrides!r:.100} is no list of key=value; write {EXAMPLE}")
    return {str(name): overrides for name, overrides in rows.items()}


def make_cells(
    params: Path, variants: Mapping[str, Sequence[str]], seeds: Sequence[int], settings: Sequence[str]
) -> list[Cell]:
    """Every variant with every seed, seed by seed; InputError for what DVC or the parameters refuse."""
    cells = []
    for name, overrides in variants.items():
        if any(one.startswith("train.seed=") for one in (*settings, *overrides)):
            raise InputError(f"variant {name}: train.seed is what SEEDS names; take it out")
    for seed in seeds:
        for name, overrides in variants.items():
            words = (*settings, *overrides, f"train.seed={seed}")
            try:
                digest = grid.digest_of(grid.effective(params, words))
            except InputError as error:
                raise InputError(f"variant {name}: {error}") from error
            cells.append(Cell(STUDY, name, seed, grid.cell_name(STUDY, name, seed, digest), words))
    return cells


def fill(cells: Sequence[Cell], finished: Mapping[str, str]) -> list[Cell]:
    """Run what is not finished, a line for each; returns those that failed."""
    failed: list[Cell] = []

    def train(cell: Cell) -> bool:
        start = time.monotonic()
        ended_well = experiments.run(cell.command("--temp"), log_of(cell))
        print(f"{cell.mode}, seed {cell.seed}: {'done' if ended_well else 'FAILED'} after "
              f"{time.monotonic() - start:.0f} s", flush=True)  # fmt: skip
        return ended_well

    for cell, state in grid.fill(cells, finished, train):
        failed += [cell] if state == "failed" else []
    return failed


def table_of(cells: Sequence[Cell], finished: Mapping[str, str], part: str = "oof") -> pd.DataFrame:
    """model, mode (the variant), seed, id, dice (0..1): a row for each image of each finished cell."""
    parts = [
        experiments.dice(cell.name, finished[cell.name], part).assign(
            model=cell.model, mode=cell.mode, seed=cell.seed
        )
        for cell in cells
        if cell.name in finished
    ]
    if not parts:
        raise InputError(f"no variant has run to its end; the logs are in {LOGS}")
    return pd.concat(parts, ignore_index=True)


def report(table: pd.DataFrame, first: str, *, missing: Sequence[Cell] = ()) -> str:
    """A Markdown table: Dice of each variant, and its difference to the `first`, paired by image and seed;
    then what did not run to its end."""
    over = "groups" if "group" in table else "images"
    rows = []
    for name in dict.fromkeys(table["mode"]):
        score = statistics.score(table, STUDY, name)
        gain = statistics.difference(table, STUDY, name, first) if name != first else None
        assert score
        seeds = ", ".join(f"{seed}: {mean:.4f}" for seed, mean in score.seed_means.items())
        rows.append([name, f"{score.mean:.4f}", seeds, *(spelled(gain) if gain else ["", "", ""])])
    head = ["variant", "Dice", "of each seed", f"minus {first}", f"over {over}", f"over {over} and seeds"]
    lines = markdown.table(head, rows)
    if missing:
        lines += ["", "Failed: " + ", ".join(f"{cell.mode}, seed {cell.seed}" for cell in missing) + "."]
    return "\n".join(lines) + "\n"


def spelled(gain: Estimate) -> list[str]:
    """A difference, its interval over images, and over images and seeds, which takes two seeds."""
    both = between(gain.reach) if len(gain.seed_means) > 1 else "one seed"
    return [f"{gain.mean:+.4f}", between(gain.over_images), both]


def between(interval: Interval) -> str:
    return f"{interval.low:+.4f} to {interval.high:+.4f}" if interval.is_known() else "unknown"


def log_of(cell: Cell) -> Path:
    return LOGS / f"{cell.name}.log"


if __name__ == "__main__":
    run(main)
