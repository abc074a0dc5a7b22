"""What Python imports first where a fault is due: the power fails at a rename, or the clock goes back.

Read from the environment: FAULT_POWER, "before 2": at the second rename of a process, before it or after it.
FAULT_SYNCED: a file that lists what was flushed to the disk. FAULT_CLOCK: seconds that the clock is behind.
"""

import os
import signal
import time

_replace, _fsync, _time = os.replace, os.fsync, time.time
_left = int(os.environ.get("FAULT_POWER", "before 0").split()[1])


def replace(source, target, **settings) -> None:
    global _left
    _left -= os.path.abspath(target).startswith(os.getcwd())
    due = "" if _left else os.environ.get("FAULT_POWER", "").split(" ")[0]
    if due == "before":
        os.killpg(0, signal.SIGKILL)
    _replace(source, target, **settings)
    if due == "after":
        os.killpg(0, signal.SIGKILL)


def fsync(descriptor) -> None:
    _fsync(descriptor)
    if "FAULT_SYNCED" in os.environ:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        with open(os.environ["FAULT_SYNCED"], "a") as file:
            file.write(f"{os.fstat(number).st_ino}\n")


os.replace, os.fsync = replace, fsync
time.time = lambda: _time() - float(os.environ.get("FAULT_CLOCK", "0"))
