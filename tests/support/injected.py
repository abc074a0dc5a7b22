"""What can happen to a run of a stage: each function does it to a project, and says in words what it did.

A fault that missed, because the stage was faster, says nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from commands import Command, wait_for
from imports import ROOT
from undisturbed import WRITTEN, NotSurvivedError, Project, mount

FAULTY = ROOT / "tests/support/faulty/sitecustomize.py"
DAY = 86400  # s


def kill(project: Project) -> str:
    """SIGKILL to dvc, to the stage, or to one of its workers, at a random moment while that works."""
    span = project.undisturbed.span
    target = project.random.choice(["dvc", "stage", "worker"] if span.workers else ["dvc", "stage"])
    lasts = {"dvc": span.dvc, "stage": span.script, "worker": span.workers}[target]
    return hit(project, target, signal.SIGKILL, project.moment(lasts))


def stop(project: Project) -> str:
    """SIGTERM to dvc alone, at a random moment."""
    return hit(project, "dvc", signal.SIGTERM, project.moment(project.undisturbed.span.script))


def hit(project: Project, target: str, how: signal.Signals, delay: float) -> str:
    command = project.repro()
    wait_for(lambda: (command.workers() if target == "worker" else command.stage()) or command.ended())
    with suppress(subprocess.TimeoutExpired):
        command.process.wait(delay)
    victims = {
        "dvc": lambda: [] if command.ended() else [command.process],
        "stage": lambda: [script for script in [command.stage()] if script],
        "worker": command.workers,
    }[target]()
    if victims:
        with suppress(ProcessLookupError):
            os.kill(project.random.choice(victims).pid, how)
    command.end()
    return f"{how.name} to {target} after {delay:.2f} s" if victims else ""


def power(project: Project, *, when: str) -> str:
    """All processes end at a rename, or dvc has just ended; what was never flushed loses its contents."""
    synced, rename = project.folder.parent / "synced", project.random.randint(1, 2)
    synced.write_text("")
    shutil.copy(FAULTY, project.folder / "src")
    start = time.time()
    command = project.repro(FAULT_POWER=f"{when} {rename}", FAULT_SYNCED=str(synced))
    status, _ = command.end()
    command.kill_all()
    (project.folder / "src" / FAULTY.name).unlink()
    emptied = lose(project, start, set(map(int, synced.read_text().split())))
    if not status:
        verify_cache(project)
    moment = f"{when} rename {rename}" if status else "when dvc had ended"
    return f"power lost {moment}, {emptied} files without contents"


def lose(project: Project, start: float, synced: set[int]) -> int:
    """Empty the outputs, and the files of DVC's cache, that were written since `start` and not flushed."""
    emptied = 0
    for folder in (*WRITTEN, ".ftu", ".dvc/cache/files"):
        for path in (project.folder / folder).rglob("*"):
            facts = path.stat()
            if path.is_file() and facts.st_ctime >= start and facts.st_ino not in synced and facts.st_size:
                mode = facts.st_mode
                path.chmod(0o644)
                os.truncate(path, 0)
                path.chmod(mode)
                emptied += 1
    return emptied


def full(project: Project) -> str:
    """No room, or hardly any, from the moment when the stage's script starts."""
    room = project.random.choice([0, project.random.randrange(1, 1 << 16)])
    command = project.repro()
    script = wait_for(command.stage)
    assert script
    script.suspend()
    ballast = project.folder / ".ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - room))
    script.resume()
    status, output = command.end()
    ballast.unlink()
    return refused(f"disk full but for {room} bytes", status, output)


def read_only(project: Project) -> str:
    """The folders that the stage writes into are on a disk that nobody may write to."""
    folders = sorted({path.relative_to(project.folder).parts[0] for path in project.outs()})
    for name in folders:
        mount("--bind", name, name, folder=project.folder)
        mount("-o", "remount,bind,ro", name, folder=project.folder)
    try:
        status, output = project.repro().end()
    finally:
        for name in folders:
            subprocess.run(["umount", project.folder / name], check=True)
    return refused(f"{', '.join(folders)} read-only", status, output)


def refused(words: str, status: int, output: str) -> str:
    """A stage that meets a disk's refusal says so, without a traceback; one that met none was not hit."""
    if status and "Traceback" in output:
        raise NotSurvivedError(f"{words}: told by a traceback:\n{output}")
    return words if status else ""


def damage(project: Project) -> str:
    """Every cached file of a finished stage has another byte, and the outputs are gone."""
    project.finish()
    damaged = project.objects()
    for path in damaged:
        spoil(path)
    for out in project.outs():
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    verify_cache(project)
    return f"{len(damaged)} damaged files in DVC's cache"


def verify_cache(project: Project) -> None:
    """As `make verify-cache` does: what DVC believes in would come back."""
    with Command(
        project.folder, sys.executable, "-m", "ftu_tools.maintenance.verify_cache", PYTHONPATH="src"
    ) as command:
        assert command.end()[0] == 0


def damage_items(project: Project) -> str:
    """Every cached item has another byte when the stage runs, as if for the first time."""
    project.finish()
    items = [path for path in (project.folder / ".ftu/items").rglob("*") if path.is_file()]
    for path in items:
        spoil(path)
    forget(project)
    return f"{len(items)} damaged items" if items else ""


def spoil(path: Path) -> None:
    """Flip a bit in the middle."""
    mode, content = path.stat().st_mode, bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def forget(project: Project) -> None:
    """Let DVC know nothing of a stage."""
    yaml, path = YAML(), project.folder / "dvc.lock"
    lock = yaml.load(path)
    del lock["stages"][project.stage]
    yaml.dump(lock, path)
    shutil.rmtree(project.folder / ".dvc/cache/runs", ignore_errors=True)


def twice(project: Project) -> str:
    """Two `dvc repro` at once."""
    statuses = [command.end()[0] for command in [project.repro(), project.repro()]]
    return f"two at once, which ended with {statuses}"


def clock(project: Project) -> str:
    """The clock goes back by a day: all files are from the future, and so they stay."""
    tomorrow = time.time() + DAY
    for path in project.folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)
    shutil.copy(FAULTY, project.folder / "src")
    faulty = {"PYTHONPATH": str(FAULTY.parent), "FAULT_CLOCK": str(DAY)}
    status, output = project.repro(**faulty).end()
    (project.folder / "src" / FAULTY.name).unlink()
    if status:
        raise NotSurvivedError(f"failed with a clock that was set back:\n{output}")
    return "clock set back by a day"


FAULTS: dict[str, Callable[[Project], str]] = {
    "kill": kill,
    "stop": stop,
    "power before": partial(power, when="before"),
    "power after": partial(power, when="after"),
    "power later": partial(power, when="later"),
    "full": full,
    "read-only": read_only,
    "cache": damage,
    "items": damage_items,
    "twice": twice,
    "clock": clock,
}
MOUNTING = {"full", "read-only"}
TIMED = {"kill", "stop", "full"}  # these may come too late
