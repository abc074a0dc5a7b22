"""`make doctor`: is there what `dvc repro` needs, what would it run, and what is left of earlier runs?

It looks and changes nothing. Each line is an error, which would stop `dvc repro`, or a warning, with the way
out, or ok; after an error the exit status is 1.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ftu.errors import InputError, speak_any_language
from ftu.pipeline import failures, paths
from ftu_tools.doctor import due_stages, leftovers, machine, needs
from ftu_tools.doctor.findings import LEVELS, Finding, counted, error, ok, warning

OUTPUTS = [Path("data"), paths.MODELS, paths.REPORTS, paths.SUBMISSION.parent]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.doctor.doctor", description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is well, too")
    verbose = parser.parse_args().verbose
    sys.dont_write_bytecode = True
    speak_any_language()
    findings = list(examine(paths.project()))
    sys.stdout.write("".join(f"{line}\n" for line in report(findings, verbose=verbose)))
    sys.exit(1 if any(finding.level == "error" for finding in findings) else 0)


def report(findings: Iterable[Finding], *, verbose: bool) -> list[str]:
    """A line for each finding, errors first and what is well last, if at all; and one that counts them."""
    by_level: dict[str, list[Finding]] = {level: [] for level in LEVELS}
    for finding in findings:
        by_level[finding.level].append(finding)
    shown = [each for level in LEVELS for each in by_level[level] if verbose or level != "ok"]
    told = [counted(len(by_level[level]), level) for level in ("error", "warning")]
    hidden = " (VERBOSE=1 lists them)" if by_level["ok"] and not verbose else ""
    due = [each.words for each in by_level["ok"] if each.about == "stages"][:1]
    last = "; ".join([f"doctor: {', '.join(told)}, {len(by_level['ok'])} ok{hidden}", *due])
    return [*map(str, shown), last]


def examine(project: Path) -> Iterator[Finding]:
    """The machine, then what the parameters ask for, then the state of the project."""
    params, about_params = read_params()
    asked = machine.ask_torch(
        fetched_encoder(params)
    )  # which takes seconds: it thinks while others are asked
    yield from found("python", machine.python)
    yield from found("packages", partial(machine.packages, Path("uv.lock"), Path("pyproject.toml")))
    yield from found("tools", machine.tools)
    yield from found("git", partial(machine.repository, project))
    yield from found("processors", partial(machine.processors, params))
    yield from found("memory", partial(machine.memory, params))
    yield about_params
    yield from found("params", left_params)
    if params:
        yield from found("data", partial(data_and_disk, params))
        yield from found("target", partial(needs.target, params))
        yield from found("resized", partial(leftovers.resized, paths.RESIZED, params["resize"]))
    own = project / ".ftu"
    yield from found("stages", partial(due_stages.stages, project))
    yield from found("locks", partial(leftovers.running, project / ".dvc" / "tmp"))
    yield from found("training", partial(leftovers.trainings, own / "training"))
    yield from found("leases", partial(leftovers.leases, own / "leases"))
    yield from found("items", partial(leftovers.items, own / "items"))
    yield from found("leftovers", partial(leftovers.leftovers, Path(), [*OUTPUTS, own / "training"]))
    told = machine.answer(asked)
    yield from found("gpus", partial(machine.gpus, told, params))
    if params:
        yield from found("weights", partial(needs.weights, params, told.get("imagenet")))


def found(about: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds; where it cannot go on, why."""
    try:
        yield from check()
    except InputError as problem:
        yield error(about, str(problem))
    except ImportError as problem:
        yield error(about, f"the package {problem.name} cannot be imported ({problem}); make env")
    except OSError as problem:
        yield error(about, f"cannot be looked at ({problem}); look whose files these are")
    except Exception as problem:  # the other checks go on
        kind = f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
        yield error(about, f"could not be looked at ({kind}), a fault of the program; report it")


def read_params() -> tuple[dict[str, Any] | None, Finding]:
    """The parameters, none where they are not valid; and what there is to say of them."""
    try:
        from ftu.pipeline.params import load_params

        params = load_params(paths.PARAMS).model_dump()
    except InputError as problem:
        return None, error("params", f"{problem}\nWhat hangs on parameters was not looked at.")
    except ImportError as problem:
        return None, error("params", f"the package {problem.name} cannot be imported; make env")
    return params, ok("params", f"{paths.PARAMS} is valid")


def left_params() -> Iterator[Finding]:
    """What params.yaml has that the last commit has not."""
    from ftu.pipeline import uncommitted  # which reads YAML by a package

    if words := uncommitted.in_words():
        yield warning("params", words)


def fetched_encoder(params: dict[str, Any] | None) -> str:
    """The encoder whose ImageNet weights the parameters ask for, empty when they ask for none."""
    return params["train"]["model"]["encoder"] if params and params["train"]["weights"] == "imagenet" else ""


def data_and_disk(params: dict[str, Any]) -> Iterator[Finding]:
    """The data set, and room for what comes of it."""
    rows = []
    try:
        rows = needs.rows(params, paths.SAMPLE)
        yield from needs.data(Path(params["data"]["root"]), rows, paths.SAMPLE)
    except InputError as problem:
        yield error("data", str(problem))
    yield from needs.disk(needs.room(params, rows), OUTPUTS)


if __name__ == "__main__":
    try:
        main()
    except Exception as fault:
        sys.exit(failures.told("doctor", fault))
