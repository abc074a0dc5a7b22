"""Odd files and environments: each is refused in words, or changes no byte.

    python tests/support/odd.py [tests/odd/pixels.yaml ...] [--jobs 2] [--every 1] [--only WORDS]

tests/odd/NAME.yaml lists cases, tests/odd/NAME.py makes what they name. A case is a line:

    what: what is odd, in words; no two cases of a file have the same
    make: a function of NAME.py, called in a copy of the project as make(folder, **with)
    with: its further arguments
    environment: variables that the commands see besides; {folder} in a value is the project
    shell: what bash does before each command, such as `ulimit -n 9` or `exec >/dev/full`
    mount: folders, each with the options of an empty disk in memory (tmpfs) that lies there for each command
    run: the commands, one after the other: the name of a stage with its arguments, or python's after `-`;
        or the name of a list of them in NAME.py, RUN if nothing is said
    says: words of the message with which the last command fails (status not 0, and nothing is written);
        or of what it prints where `same` is given, too
    same: a glob of files of the project that must have the bytes that they have without the odd thing
    seconds, gigabytes: limits of each command (300, 4)

`project(folder)` of NAME.py lays out the project, once; files that `same` names are those of its RUN.
A case with `mount` is left out, and named, where nobody may mount (`unshare -rm`). The last line counts
(`odd: N tried, N held`), and the exit status is 1 when the two differ.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from imports import ROOT

KEYS = {"what", "make", "with", "environment", "shell", "mount"}
KEYS |= {"run", "says", "same", "seconds", "gigabytes"}
LIMITED = 'ulimit -v "$0"; {} exec "$@"'  # KiB of address space
MOUNTING = ["unshare", "-rm"]  # where mounts are seen by nobody else
PACKAGES = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests/support")])


class Case(NamedTuple):
    """A line of a file, and where it is tried."""

    makers: ModuleType
    line: dict[str, Any]
    project: Path  # laid out and run, without the odd thing


def cases(file: Path, scratch: Path) -> Iterator[Case]:
    """The cases of a file; ValueError for one that is misspelt."""
    sys.path.insert(0, str(file.parent))
    makers = import_module(file.stem)
    project = scratch / file.stem
    project.mkdir()
    makers.project(project)
    lines = YAML(typ="safe").load(file)
    if len({line["what"] for line in lines}) < len(lines):
        raise ValueError(f"{file}: two cases have the same `what`")
    for line in lines:
        makes = hasattr(makers, line.get("make", "project"))
        if set(line) - KEYS or not makes or not {"says", "same"} & set(line):
            raise ValueError(f"{file}: {line} is no case")
    done = Case(makers, {"run": makers.RUN}, project)
    if fault := _run_all(done, project):
        raise ValueError(f"{file}: the project itself fails: {fault}")
    shutil.rmtree(project / ".ftu", ignore_errors=True)
    yield from (Case(makers, line, project) for line in lines)


def fault_of(case: Case) -> str:
    """What does not hold in a case, empty when it holds."""
    line = case.line
    with tempfile.TemporaryDirectory(dir=case.project.parent) as scratch:
        folder = Path(scratch) / "project"
        shutil.copytree(case.project, folder, symlinks=True)
        if "make" in line:
            getattr(case.makers, line["make"])(folder, **line.get("with", {}))
        if fault := _run_all(case, folder):
            return fault
        if "same" not in line:
            return ""
        expected = sorted(path.relative_to(case.project) for path in case.project.glob(line["same"]))
        other = [str(name) for name in expected if _bytes(case.project / name) != _bytes(folder / name)]
        return f"other bytes: {', '.join(other)}" if other else "" if expected else "`same` names no file"


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _run_all(case: Case, folder: Path) -> str:
    run = case.line.get("run", "RUN")
    commands = getattr(case.makers, run) if isinstance(run, str) else run
    refused = "says" in case.line and "same" not in case.line
    for number, command in enumerate(commands, 1):
        last, before = number == len(commands), _contents(folder)
        status, told = _end(case.line, folder, command)
        lines = told.strip().splitlines() or [""]
        if "Traceback" in told or not 0 <= status < 124:
            return f"{command}: status {status}: {' | '.join(lines[-3:])}"
        if (status != 0) != (refused and last):
            return f"{command}: status {status}, and it says: {lines[-1]}"
        message = told[max(told.find("error: "), 0) :] if refused else told
        if last and case.line.get("says", "") not in message:
            return f"{command} says: {lines[-1]}"
        if status and (written := set(_contents(folder).items()) ^ set(before.items())):
            return f"{command} was refused and wrote {', '.join(sorted({name for name, _ in written}))}"
    return ""


def _end(line: dict[str, Any], folder: Path, command: str) -> tuple[int, str]:
    """The status of a command (124 when it took too long) and what it printed."""
    name, *arguments = shlex.split(command)
    words = arguments if name == "-" else [str(ROOT / "stages" / f"{name}.py"), *arguments]
    memory = str(int(line.get("gigabytes", 4) * 2**20))
    variables = {"PYTHONPATH": PACKAGES, "OMP_NUM_THREADS": "1"} | line.get("environment", {})
    given = {key: str(value).replace("{folder}", str(folder)) for key, value in variables.items()}
    for place in line.get("mount", {}):
        (folder / place).mkdir(parents=True, exist_ok=True)
    mounts = [f"mount -t tmpfs -o {how} tmpfs {place} &&" for place, how in line.get("mount", {}).items()]
    shell = LIMITED.format(" ".join([*mounts, line.get("shell", ":") + ";"]))
    process = subprocess.Popen(
        [*(MOUNTING if mounts else []), "bash", "-c", shell, memory, sys.executable, *words],
        cwd=folder, text=True, errors="replace", env=os.environ | given,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        told, _ = process.communicate(timeout=line.get("seconds", 300))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return 124, f"not ended in time; {process.communicate()[0]}"
    return process.returncode, told


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of the project with its size and time, but what saves time."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    stats = {str(name): (folder / name).lstat() for name in names if name.parts[0] != ".ftu"}
    return {name: (found.st_size, found.st_mtime_ns) for name, found in stats.items()}


def mountable(due: list[Case]) -> Iterator[Case]:
    """The cases that this machine can try."""
    may = not subprocess.run([*MOUNTING, "true"], check=False, capture_output=True).returncode
    for case in due:
        if may or "mount" not in case.line:
            yield case
        else:
            print(f"skipped, since nobody may mount here: {case.line['what']}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path, default=sorted((ROOT / "tests/odd").glob("*.yaml")))
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--every", type=int, default=1, help="try every so many-th case")
    parser.add_argument("--only", default="", help="try the cases with these words in `what`")
    settings = parser.parse_args(arguments)
    held = 0
    with tempfile.TemporaryDirectory(prefix="odd-") as scratch, ThreadPoolExecutor(settings.jobs) as pool:
        due = [case for file in settings.files for case in cases(file, Path(scratch))]
        due = [case for case in due if settings.only in case.line["what"]][:: settings.every]
        due = list(mountable(due))
        for case, fault in zip(due, pool.map(fault_of, due), strict=True):
            held += not fault
            print(
                f"NOT HELD {case.line['what']}\n  {fault}" if fault else f"held {case.line['what']}",
                flush=True,
            )
    print(f"odd: {len(due)} tried, {held} held")
    return int(held < len(due))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
