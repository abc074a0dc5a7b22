"""What stands where a file should be, and is none that may be read: it never ends, or is far too large."""

import os
import socket
from pathlib import Path


def put(path: Path, kind: str) -> None:
    """Put a pipe, a device, a folder, a socket or a hole of 200 GB at `path`."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:  # whose path has 107 characters at most
            server.bind(os.path.relpath(path) if len(str(path)) > 100 else str(path))
    else:
        with path.open("wb") as made:
            made.truncate(200 * 10**9)
