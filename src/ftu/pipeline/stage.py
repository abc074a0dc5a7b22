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

from ftu.errors import InputError, flush_output, open_standard_files, speak_any_language
from ftu.pipeline import failures, paths, uncommitted
from ftu.pipeline.dvc_cache import remove_new_damaged
from ftu.pipeline.environment import settle
from ftu.pipeline.lifetime import end_when_told, end_with_dvc

_runs: list[list[str]] = []  # the warnings of each run that is under way, the innermost last


def run(main: Callable[[], str | None]) -> None:
    """Run `main`, and say on stderr in a line what it did: the words that it returns, seconds, warnings.

    Bad input, and what the machine refuses, end the process with status 2 and a message on stderr; any other
    error with status 70 and a line that says where its traceback is (ftu.pipeline.failures).

    SIGTERM ends it as Ctrl-C does, so that temporary outputs are removed on the way out, and within five
    seconds; so does the end of the dvc that started it.
    """
    left_out = settle(main)
    script, start, warned = Path(sys.argv[0]), time.monotonic(), []
    name = script.parent.name if script.stem == "__main__" else script.stem  # of `python -m PACKAGE`
    open_standard_files()
    signal.signal(signal.SIGTERM, _stop)
    end_when_told()
    # Threads that spin long while they wait made training up to ten times slower beside another busy process;
    # threads that never spin make it slower on an idle machine. libgomp reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    _runs.append(warned)
    speak_any_language()
    try:
        warn(left_out)
        if "DVC_STAGE" in os.environ:
            end_with_dvc()
            _check_cache()
        told = main()
        if told:
            count = f", {len(warned)} warning{'s' * (len(warned) > 1)}" if warned else ""
            sys.stderr.write(f"{name}: {told}, {time.monotonic() - start:.1f} s{count}\n")
        flush_output()
    except InputError as error:
        with suppress(OSError):  # the terminal may be gone
            sys.stderr.write(f"{name}: error: {error}\n")
            if Path(sys.argv[0]).parent.name == "stages" and (left := uncommitted.in_words()):
                sys.stderr.write(f"{left}\n")
        sys.exit(2)
    except UnicodeEncodeError as error:  # of the name of a file: text is UTF-8 everywhere
        sys.stderr.write(
            f"{name}: error: {error.object[:200]!a}: this locale ({error.encoding}) cannot name such a file; "
            "set PYTHONUTF8=1 or LC_ALL=C.UTF-8 in the environment\n"
        )
        sys.exit(2)
    except Exception as error:
        sys.exit(failures.told(name, error))
    finally:
        _runs.pop()


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
