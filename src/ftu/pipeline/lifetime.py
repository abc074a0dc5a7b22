"""What another process started ends when that one does, however: else it would go on beside the next run."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

GRACE = 5  # s, for a stage to remove its temporaries, before it ends at once
NOBODY = 2**31 - 1  # no process has this id


def end_with_parent(parent: int) -> None:
    """End this process at once when `parent`, the process that started it, has ended."""
    _follow(parent, partial(os._exit, 1), is_parent=True)


def end_with_dvc() -> None:
    """Stop this process, as SIGTERM does, once the dvc that started it has ended.

    In a sandbox that hides the processes outside of it nothing is watched: dvc cannot be told from nobody.
    """
    if _sees_its_parent():
        _follow(_dvc(os.environ["DVC_STAGE"]), _stop, is_parent=False)


def _follow(leader: int, end: Callable[[], object], *, is_parent: bool) -> None:
    """Call `end` once the process `leader` has ended."""

    def watch() -> None:
        try:
            select.select([os.pidfd_open(leader)], [], [])
        except ProcessLookupError:  # it has gone already
            pass
        except OSError:  # Linux before 5.3, or a sandbox: nothing but the end of a parent can be seen
            if not is_parent:
                return
            while os.getppid() == leader:
                time.sleep(0.5)
        end()

    Thread(target=watch, daemon=True).start()


def _stop() -> None:
    with suppress(OSError):  # the terminal may be gone, too
        sys.stderr.write("dvc has ended, and so does the stage that it started\n")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def _sees_its_parent() -> bool:
    try:
        return bool(os.getppid() and Path("/proc/self/environ").read_bytes())
    except OSError:
        return False


def _dvc(stage: str) -> int:
    """The nearest ancestor that is no process of `stage`; NOBODY when it is gone.

    Orphans are given to another process, which is in another process group than dvc's commands.
    """
    child, parent = os.getpid(), os.getppid()
    with suppress(ProcessLookupError, FileNotFoundError):
        while _in_stage(parent, stage):
            child, parent = parent, _parent(parent)
        if parent and os.getpgid(parent) == os.getpgid(child):
            return parent
    return NOBODY


def _in_stage(pid: int, stage: str) -> bool:
    """Has it the name that DVC gave to the stage, and is it not dvc, which has what the user exported?"""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except PermissionError:  # another user's
        return False
    is_dvc = b"dvc" in [os.path.basename(word) for word in words[:3]]  # dvc, python dvc, python -m dvc
    return os.fsencode(f"DVC_STAGE={stage}") in variables and not is_dvc


def _parent(pid: int) -> int:
    """Fields of stat follow the program's name, which is in brackets and may hold anything."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
