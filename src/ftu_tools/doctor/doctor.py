"""`make doctor`: is there what `dvc repro` needs, what would it run, and what is left of earlier runs?

It looks and changes nothing. Each line is ok, a warning, or an error, which would stop `dvc repro`, with the
way out; after an error the exit status is 1.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ftu.errors import InputError, speak_any_language
from ftu.pipeline import failures, paths
from ftu_tools.doctor import due_stages, leftovers, machine, needs
from ftu_tools.doctor.findings import Finding, error, ok, warning

OUTPUTS = [Path("data"), paths.MODELS, paths.REPORTS, paths.SUBMISSION.parent]


def main() -> None:
    """Print what is found as it is found."""
    sys.dont_write_bytecode = True
    speak_any_language()
    counts = Counter()
    for finding in examine(paths.project()):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        counts[finding.level] += 1
    plural = {level: "" if counts[level] == 1 else "s" for level in ("warning", "error")}
    told = [f"{counts[level]} {level}{ending}" for level, ending in plural.items()]
    sys.stdout.write(f"doctor: {counts['ok']} ok, {', '.join(told)}\n")
    sys.exit(1 if counts["error"] else 0)


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
