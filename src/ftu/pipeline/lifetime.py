"""What another process started ends when that one does, however: else it would go on beside the next run."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from threading import Thread

GRACE = 4  # s, for a stage to remove its temporaries, before it ends at once
NOBODY = 2**31 - 1  # no process has this id


@cache
def end_when_told() -> None:
    """End this process, and all that it has started, when it still runs GRACE after a SIGTERM.

    For the main thread to call.

    Python runs a handler between two steps of its own: while the main thread waits in C++ (for the other
    processes of a training, say) none runs. The byte that the interpreter's own handler writes arrives.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, -1))  # a child's signals are its own

    def watch() -> None:
        while signal.SIGTERM not in os.read(told, 1):
            pass
        time.sleep(GRACE)
        for pid in reversed(_descendants(os.getpid())):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        os._exit(128 + signal.SIGTERM)

    Thread(target=watch, daemon=True).start()


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


def _descendants(pid: int) -> list[int]:
    """The processes that `pid` has started, and those that these have, ancestors first."""
    children: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text(encoding="utf-8").split())
    return children + [deeper for child in children for deeper in _descendants(child)]


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
