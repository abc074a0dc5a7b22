"""Leases: what is lent to one holder at a time, by a lock of the kernel's on a file.

A lease belongs to an open file, not to a process: whoever inherits the descriptor holds it too. It ends when
the last of them has closed it or has ended, however that was, so that no lease is ever stale.
"""

import fcntl
from pathlib import Path
from typing import TextIO


def take(path: Path, *, wait: bool = False) -> TextIO | None:
    """The file at `path`, opened and lent; None while another holds it, unless `wait`.

    The file stays when the lease ends: a lock on a file that somebody removes would be no lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
