"""For tests of processes: what is waited for, and whether any of a group is left."""

import os
import time
from collections.abc import Callable


def wait_until(true: Callable[[], object], within: float) -> None:
    """Return when `true` says so; fail after `within` s."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
