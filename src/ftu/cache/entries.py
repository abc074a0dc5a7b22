"""A folder of entries on disk, each found by a key and checked when it is read.

An entry is one file, its checksum first. It is written to a name of its own and moved into place, so that two
runs may write the same one. What power loss or a bad disk has damaged breaks the seal, so no write waits for
the disk. Reading an entry sets its time, by which the unused are known.
"""

import os
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from ftu.cache import checksummed
from ftu.files import limits

LARGEST = 2**33  # bytes: of an image of the most pixels, and its mask


class Read(NamedTuple):
    """The payload of an entry, None where there is none, and what is wrong with it, '' if nothing."""

    payload: bytes | None
    trouble: str = ""


def place(folder: Path, key: str) -> Path:
    """The file of a key (hex); no folder holds more than a 256th of them."""
    return folder / key[:2] / key[2:]


def read(folder: Path, key: str) -> Read:
    """The entry of a key; one that is damaged is removed."""
    path = place(folder, key)
    try:
        content = limits.content(path, LARGEST)
    except FileNotFoundError:
        return Read(None)
    except OSError as error:
        return Read(None, f"{path} cannot be read ({error.strerror}) and is made again")
    payload = checksummed.payload(content)
    if payload is None:
        _remove(path)
        return Read(None, f"{path} was damaged and is made again")
    _touch(path)
    return Read(payload)


def write(folder: Path, key: str, payload: bytes) -> str:
    """Keep an entry. A cache fails no work: what went wrong is returned, '' if nothing; no half is left."""
    path = place(folder, key)
    temporary = path.with_name(f"{path.name}.tmp-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                checksummed.write(file, payload)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        return f"{path} cannot be kept ({error.strerror})"
    return ""


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # a folder that is shared read-only, or an entry that was pruned meanwhile
        return


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
