"""Train model x auxiliary loss x seed, one DVC experiment each; report them beside the paper's Table 2.

What is finished is not run again; what fails is named at the end, and the rest goes on.
"""

import argparse
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ftu.errors import InputError
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run
from ftu_tools.studies import experiments, grid, switched_aux, table2_report
from ftu_tools.studies.grid import Cell, State

GRIDS = Path(__file__).parent / "grids"
LOGS = Path(".dvc/tmp/table2")


def main() -> None:
    words = arguments()
    models = grid.read_grid(grid_file(words.grid))
    cells = make_cells(words, models)
    params = grid.effective(paths.PARAMS, cells[0].overrides)
    decisive = experiments.decisive(params.data.root)
    experiments.check_committed(decisive)
    if Path(params.data.root) != paths.SAMPLE:  # the first stage draws that one
        experiments.check_visible(params.data.root, params.data.layout)
    finished = experiments.finished(decisive)
    if words.commands:
        missing = [cell for cell in cells if cell.name not in finished]
        print("".join(f"{shlex.join(cell.command('--queue'))}\n" for cell in missing), end="")
        return
    states, interrupted = ({}, False) if words.report else fill(cells, finished)
    finished = experiments.finished(decisive)
    results = [collect(cell, states.get(cell, "not run"), finished) for cell in cells]
    held_out = f"Held-out images of fold {', '.join(map(str, params.split.run))} of {params.split.count}"
    setting = f"{held_out}; params.yaml {f'with {words.set}' if words.set else 'as it is'}."
    report(results, models, f"{setting} {table2_report.checkpoints(params.train)}")
    end(states, interrupted)


def grid_file(name: str) -> Path:
    """The grid called `name` that the project ships, or the file at that path."""
    shipped = GRIDS / f"{name}.yaml"
    return shipped if shipped.is_file() else Path(name)


def make_cells(words: argparse.Namespace, known: dict[str, grid.GridModel]) -> list[Cell]:
    """The cells that the command line asks for, all of it checked."""
    params = load_params(paths.PARAMS)
    models = [name.strip() for name in words.models.split(",") if name.strip()]
    return grid.make_cells(
        paths.PARAMS,
        known,
        models=grid.choose("model", models, list(known)),
        modes=grid.choose("mode", listed(words.modes), switched_aux.Dice._fields),
        seeds=numbers("SEEDS", words.seeds) or [params.train.seed],
        folds=numbers("FOLDS", words.folds) or params.split.run,
        settings=grid.with_last_epoch(split_settings(words.set)),
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", default="", help="names in the grid, separated by commas; all, when empty"
    )
    parser.add_argument("--modes", default="", help="of none, single, switched; all, when empty")
    parser.add_argument("--seeds", default="", help="values of train.seed; that of params.yaml, when empty")
    parser.add_argument("--folds", default="", help="folds to train; split.run of params.yaml, when empty")
    parser.add_argument("--set", default="", help="other parameters, as 'train.epochs=20 resize.side=256'")
    parser.add_argument("--grid", default="table2", help="the models: table2, sample, or a YAML file")
    parser.add_argument(
        "--commands", action="store_true", help="print what would run, as `dvc exp run --queue`"
    )
    parser.add_argument("--report", action="store_true", help="run nothing; report what there is")
    return parser.parse_args()


def split_settings(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"SET: {error}: {text}; quote it as a shell would") from error


def listed(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def numbers(what: str, text: str) -> list[int]:
    """Whole numbers from 0, each once; InputError names one that is not."""
    for word in listed(text):
        if not re.fullmatch(r"\d{1,9}", word):
            raise InputError(f"{what}: {word!r} is not a whole number from 0; write for example {what}='0 1'")
    return list(dict.fromkeys(int(word) for word in listed(text)))


def fill(cells: Sequence[Cell], finished: dict[str, str]) -> tuple[dict[Cell, State], bool]:
    """Run the cells that are not finished, a line for each; Ctrl-C ends it and keeps the states so far."""
    states: dict[Cell, State] = {}

    def train(cell: Cell) -> bool:
        print(f"[{len(states) + 1}/{len(cells)}] {cell}: runs", flush=True)
        start = time.monotonic()
        ended_well = experiments.run(cell.command("--temp"), log_of(cell))
        print(f"    {'done' if ended_well else 'FAILED'} after {time.monotonic() - start:.0f} s", flush=True)
        return ended_well

    try:
        for cell, state in grid.fill(cells, finished, train):
            states[cell] = state
            if state == "cached":
                print(f"[{len(states)}/{len(cells)}] {cell}: is there already ({cell.name})", flush=True)
    except KeyboardInterrupt:
        print("    interrupted; the same command goes on from here", flush=True)
        return states, True
    return states, False


def collect(cell: Cell, state: State, finished: dict[str, str]) -> table2_report.Result:
    """The scores of a cell whose experiment is there; one that ended well without it counts as failed."""
    if commit := finished.get(cell.name):
        return table2_report.Result(cell, "done", experiments.dice(cell.name, commit))
    return table2_report.Result(cell, "failed" if state in table2_report.SCORED else state, None)


def report(results: Sequence[table2_report.Result], models: dict[str, grid.GridModel], setting: str) -> None:
    table = table2_report.tidy(results)
    compared = table2_report.contrasts(table, models)
    words = table2_report.text(table, compared, setting=setting)
    with whole_files(paths.REPORTS) as folder:
        table.to_csv(folder / "table2.csv", index=False)
        (folder / "table2.md").write_text(words, encoding="utf-8")
        table2_report.draw(compared, folder / "table2.png")
    print(f"\n{words}")


def end(states: dict[Cell, State], interrupted: bool) -> None:
    """Name what failed, with its log and the command that runs it alone; the exit status tells it too."""
    failed = [cell for cell, state in states.items() if state == "failed"]
    for cell in failed:
        last = log_of(cell).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        sys.stderr.write(
            f"failed: {cell}\n  log: {log_of(cell)}\n  alone: {shlex.join(cell.command('--temp'))}\n"
        )
        sys.stderr.write("".join(f"  | {line}\n" for line in last))
    if interrupted or failed:
        sys.exit(130 if interrupted else 1)


def log_of(cell: Cell) -> Path:
    return LOGS / f"{cell.name}.log"


if __name__ == "__main__":
    run(main)
