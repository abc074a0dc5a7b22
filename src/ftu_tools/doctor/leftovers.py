"""What earlier and running processes left in a project: locks, leases, unfinished trainings, temporaries."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftu.cache import checksummed
from ftu.errors import InputError, some
from ftu.files import limits
from ftu.pipeline.atomic import in_work
from ftu_tools.doctor.findings import Finding, counted, ok, size, warning
from ftu_tools.doctor.needs import occupied

LARGEST = 2**35  # bytes of a file that is read whole


def running(temporary: Path) -> Iterator[Finding]:
    """Whether a dvc works on the project: then another would wait or fail. `temporary` is .dvc/tmp."""
    held = holders([temporary / "lock"]) or writers(temporary / "rwlock")
    if held:
        yield warning("locks", f"{some(held)} works on this project; wait, or use dvc --wait-for-lock repro")
    else:
        yield ok("locks", "no dvc works on this project")


def writers(rwlock: Path) -> list[str]:
    """The living processes that DVC's list of what is being read and written names."""
    try:
        listed = json.loads(limits.content(rwlock, LARGEST))
    except (OSError, ValueError):  # no dvc has run, or it was killed while it wrote; DVC says that itself
        return []
    entries = [*listed.get("write", {}).values()]
    entries += [entry for several in listed.get("read", {}).values() for entry in several]
    pids = {entry["pid"] for entry in entries if "pid" in entry}
    return [_process(pid) for pid in sorted(pids) if Path(f"/proc/{pid}").exists()]


def trainings(folder: Path) -> Iterator[Finding]:
    """The states of unfinished trainings, which `dvc repro` goes on from."""
    for path in sorted(folder.glob("*.state")):
        if ".tmp-" in path.name:
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        words = f"{path.name}, {size(path.stat().st_size)}, its last whole epoch ended {when}"
        if checksummed.payload(limits.content(path, LARGEST)) is None:
            yield warning("training", f"{words}, is damaged; it will start again, rm {path}")
        elif held := holders([path.with_suffix(".lock")]):
            yield ok("training", f"{words}, and {some(held)} is at it")
        else:
            yield ok(
                "training", f"{words}; dvc repro goes on, with the code, values and data that it began with"
            )


def resized(folder: Path, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """The first image that resize made for another `resize.side`."""
    from ftu.files.png import check_squares

    try:
        check_squares(sorted(folder.rglob("*.png")) if settings["mode"] == "fixed" else [], settings["side"])
    except InputError as problem:
        yield warning("resized", str(problem))


def leases(folder: Path) -> Iterator[Finding]:
    """The cards and folds that are taken."""
    for path in sorted(folder.glob("*")):
        if held := holders([path]):
            yield ok("leases", f"{path.stem} is taken by {some(held)}")


def items(folder: Path) -> Iterator[Finding]:
    """How much the cache of single images holds."""
    count = sum(path.is_file() for path in folder.rglob("*"))
    if count:
        words = f"{counted(count, 'result')} of single images, {size(occupied(folder))}; make prune-cache"
        yield ok("items", words)


def leftovers(root: Path, folders: Sequence[Path]) -> Iterator[Finding]:
    """Temporary outputs of processes that are no more: what they were to become, or what was there before.

    They lie in `root` itself, where those of whole folders are, and at any depth in `folders`.
    """
    places = [*root.glob("*.tmp-*"), *(path for folder in folders for path in folder.rglob("*.tmp-*"))]
    found = [path for path in places if not any(map(in_work, [path, *path.parents]))]
    outermost = [path for path in found if not any(other in path.parents for other in found)]
    if outermost:
        words = f"{some(sorted(map(str, outermost)))}, {size(sum(map(occupied, outermost)))}, of killed runs"
        yield warning("leftovers", f"{words}; dvc repro clears them away when it writes there next")


def holders(paths: Sequence[Path]) -> list[str]:
    """The processes of this machine that have one of the files open: a lock is open while it is held.

    Looking at who has it open, unlike trying the lock, takes it from nobody.
    """
    wanted = {str(path.resolve()) for path in paths if path.exists()}
    found = set()
    for process in Path("/proc").glob("[0-9]*") if wanted else []:
        with suppress(OSError):  # it ended, or is somebody else's
            if any(os.readlink(one) in wanted for one in (process / "fd").iterdir()):
                found.add(int(process.name))
    return [_process(pid) for pid in sorted(found)]


def _process(pid: int) -> str:
    words = ""
    with suppress(OSError):
        words = (
            Path(f"/proc/{pid}/cmdline")
            .read_text(encoding="utf-8", errors="replace")
            .replace("\0", " ")
            .strip()
        )
    return f"process {pid} ({words[:60] or 'ended'})"
