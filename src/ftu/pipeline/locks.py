"""Leases: what is lent to one holder at a time, by a lock of the kernel's on a file.

A lease belongs to an open file, not to a process: whoever inherits the descriptor holds it too. It ends when
the last of them has closed it or has ended, however that was, so that no lease is ever stale.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO


def take(path: Path, *, wait: bool = False) -> TextIO | None:
    """The file at `path`, opened and lent; None while another holds it, unless `wait`.

    The file stays when the lease ends, unless its holder has removed it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()  # the holder before removed it between the two steps: a lock on it would be no lock
    return take(path, wait=wait)
