"""A user's command in a session of its own, and the processes that run in it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

WITHIN = 900  # s, for whatever is waited for: the machine may be busy
Found = TypeVar("Found")


def wait_for(find: Callable[[], Found]) -> Found:
    """What `find` gives as soon as that is something."""
    end = time.monotonic() + WITHIN
    while not (found := find()):
        assert time.monotonic() < end, f"nothing came within {WITHIN} s"
        time.sleep(0.02)
    return found


class Command:
    """`dvc ...`, say, run in `folder`; as a context, all that is left of it is killed at the end."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTHONPATH"))}
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe would wait for orphans
        self.process = subprocess.Popen(
            words, cwd=folder, env=kept | {"PATH": path} | variables,
            stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        self.output.close()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> tuple[int, str]:
        """The status with which the command ends, and what it and its processes have said."""
        status = self.process.wait(WITHIN)
        self.output.seek(0)
        return status, self.output.read()

    def processes(self) -> list[psutil.Process]:
        """All living processes of the session."""
        found = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(pid) == self.process.pid:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    def stage(self) -> psutil.Process | None:
        """The process of a stage script: the first, since its forked workers have its command line."""
        return next(iter(sorted(filter(_is_stage, self.processes()), key=psutil.Process.create_time)), None)

    def workers(self) -> list[psutil.Process]:
        """The processes that the stage has started to work for it."""
        stage = self.stage()
        with suppress(psutil.NoSuchProcess):
            return [child for child in stage.children() if _works(child)] if stage else []
        return []

    def kill_all(self) -> None:
        """Kill the whole session at once, as when the power fails."""
        while left := self.processes():
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        self.process.wait(WITHIN)


def _is_stage(process: psutil.Process) -> bool:
    return any(word.startswith("stages/") for word in _words(process))


def _works(process: psutil.Process) -> bool:
    return not any("resource_tracker" in word for word in _words(process))


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []
