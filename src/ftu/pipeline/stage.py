"""How a stage script is run: one line for bad input, a clean end when it is told to stop."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from ftu.errors import InputError
from ftu.pipeline import paths
from ftu.pipeline.dvc_cache import remove_new_damaged
from ftu.pipeline.environment import settle
from ftu.pipeline.lifetime import end_with_dvc

_runs: list[list[str]] = []  # the warnings of each run that is under way, the innermost last


def run(main: Callable[[], str | None]) -> None:
    """Run `main`, and say on stderr in a line what it did: the words that it returns, seconds, warnings.

    Bad input ends the process with status 2 and its message on stderr, without a traceback.

    SIGTERM ends it as Ctrl-C does, so that temporary outputs are removed on the way out; so does the end of
    the dvc that started it.
    """
    left_out = settle(main)
    name, start, warned = Path(sys.argv[0]).stem, time.monotonic(), []
    signal.signal(signal.SIGTERM, _stop)
    # Threads that spin long while they wait made training up to ten times slower beside another busy process;
    # threads that never spin make it slower on an idle machine. libgomp reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    _runs.append(warned)
    try:
        warn(left_out)
        if "DVC_STAGE" in os.environ:
            end_with_dvc()
            _check_cache()
        told = main()
    except InputError as error:
        sys.stderr.write(f"{name}: error: {error}\n")
        sys.exit(2)
    finally:
        _runs.pop()
    if told:
        count = f", {len(warned)} warning{'s' * (len(warned) > 1)}" if warned else ""
        sys.stderr.write(f"{name}: {told}, {time.monotonic() - start:.1f} s{count}\n")


def warn(message: str) -> None:
    """Write a warning to stderr, and count it where a run is under way; an empty message is none."""
    if message:
        if _runs:
            _runs[-1].append(message)
        sys.stderr.write(f"warning: {message}\n")


def fold_argument() -> int:
    """The fold that the command line asks for (`--fold K`)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fold", type=int, required=True, help="the fold that is held out")
    return parser.parse_args().fold


def _check_cache() -> None:
    """Let DVC not believe in what a power cut has damaged; a cache that cannot be written stays as it is."""
    with suppress(OSError):
        root = paths.project()
        for path in remove_new_damaged(root / ".dvc/cache", root / ".ftu/verified"):
            warn(f"{path}, of DVC's cache, was damaged and is removed; run `dvc repro` again after this")


def _stop(signum: int, _: FrameType | None) -> None:
    sys.exit(128 + signum)
