"""What an unfinished training has on disk, seen from outside."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

from ftu.training.resume import StateFile

WITHIN = 240  # s


def states(folder: Path) -> list[Path]:
    found = (folder / ".ftu/training").glob("*.state")
    return [path for path in found if ".tmp-" not in path.name]


def whole_epochs(folder: Path) -> int:
    """How many epochs the state of an unfinished training holds."""
    found = [StateFile(path, writes=False).read() for path in states(folder)]
    return len(found[0]["rows"]) if found and found[0] else 0


def wait_for_epochs(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Return when `count` states have been written: each is a file that takes the place of the last one."""
    end, seen = time.monotonic() + WITHIN, set[tuple[int, int]]()
    while len(seen) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        for path in states(folder):
            with suppress(FileNotFoundError):  # it has ended meanwhile
                facts = path.stat()  # once: it may be replaced between two
                seen.add((facts.st_ino, facts.st_mtime_ns))
        time.sleep(0.002)
