"""Is every file in DVC's cache what its name says? Those that are not are removed.

DVC believes in a cached file once it is there: it would bring a damaged one back as an output, and not put
another in its place when the stage runs again. What is gone, it makes again. `make verify-cache` looks at all
files; each stage that starts looks at new ones, since DVC does not wait until they are on the disk: a power
cut may empty them.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from ftu.pipeline import threads

FILES = Path("files/md5")  # where in its cache DVC keeps them
NAME = 30  # hex digits of the MD5 in a file's name; two more are the name of its folder
MARGIN = 1_000_000_000  # ns, by which a file system's clock may be behind


def remove_new_damaged(cache: Path, stamp: Path) -> list[Path]:
    """Remove what is damaged among the files that came into `cache` since the last call, and say which.

    The others are on the disk afterwards. `stamp` is a file whose time is that of the last call; without one,
    files that are there already count as old.
    """
    start = time.time_ns()
    bad = list(damaged(_newer(cache / FILES, stamp.stat().st_mtime_ns - MARGIN))) if stamp.exists() else []
    for path in bad:
        path.unlink(missing_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    os.utime(stamp, ns=(start, start))
    return bad


def damaged(files: Iterable[Path], total: int | None = None) -> Iterator[Path]:
    """Those whose bytes have another MD5 than their path says; a folder is a file, too: a list of files.

    `total` is how many there are, for the progress bar; they are not all held in memory.
    """
    named = (path for path in files if len(path.stem) == NAME)  # the others are still being written
    for path, digest in tqdm(threads.each(_md5, named), total=total, disable=None, delay=1):
        if digest not in (path.parent.name + path.stem, ""):
            yield path


def _newer(folder: Path, since: int) -> Iterator[Path]:
    """The files of a cache that came since a time in ns; a folder's time is that of its youngest file."""
    for inner in folder.glob("??"):
        if inner.stat().st_mtime_ns >= since:
            yield from (path for path in inner.iterdir() if path.stat().st_ctime_ns >= since)


def _md5(path: Path) -> str:
    """Of a file that is on the disk by then; empty when it has gone meanwhile."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "md5").hexdigest()
    return ""
