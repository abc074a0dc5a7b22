"""Forget what the item cache has not used for some days: `make prune-cache DAYS=30`."""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

from ftu.errors import InputError
from ftu.pipeline import paths
from ftu.pipeline.stage import run

DAY = 86400  # s


class Pruned(NamedTuple):
    """What was removed, and what there was."""

    entries: int
    size: int  # bytes
    before: int  # entries


def prune(folder: Path, days: float) -> Pruned:
    """Remove the files under `folder` that were neither written nor read for so many days; 0 removes all.

    It may run beside stages: what it takes from them they make again. Raises InputError for less than 0.
    """
    if not days >= 0:
        raise InputError(f"DAYS: {days:g} is no number of days; give 0 for all entries, or more")
    files = [path for path in folder.glob("*/*") if path.is_file()]
    removed = [_removed(path, time.time() - days * DAY) for path in files]
    sizes = [size for size in removed if size is not None]
    return Pruned(len(sizes), sum(sizes), len(files))


def _removed(path: Path, limit: float) -> int | None:
    """The size of a file that was older than `limit` (s) and is gone now; None when it stays."""
    try:
        found = path.stat()
        if found.st_mtime > limit:
            return None
        path.unlink()
    except FileNotFoundError:  # another process was faster
        return None
    return found.st_size


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.maintenance.prune_cache", description=__doc__)
    parser.add_argument("--days", type=float, default=30, help="keep what was used since; 0: nothing")
    days = parser.parse_args().days
    pruned = prune(paths.items(), days)
    sys.stdout.write(
        f"{paths.items()}: freed {pruned.size / 1e6:.1f} MB, {pruned.entries} of {pruned.before} entries, "
        f"which nothing had used for {days:g} days\n"
    )


if __name__ == "__main__":
    run(main)
