"""What was made of each image, kept by what it was made of: a new or changed image costs one image.

DVC caches whole stages: one image more, and a stage makes all of them again. Here a result is found again by
its key, the hash of the code, of the function with its values, and of the bytes of the files that it reads.
Names of files are no part of a key, nor are the workers. Copies are kept: who edits an output edits no entry.
"""

import errno
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ftu.cache import entries, fingerprint, hashes
from ftu.cache.fingerprint import state
from ftu.files import limits

LARGE = 2**22  # bytes: of a smaller file the hash takes no longer than looking it up
SETTLED = 2 * 10**9  # ns after which a file's times tell a change from the one before


class Item(NamedTuple):
    """What came of one call."""

    result: dict  # what the function returned
    found: bool  # in the cache
    trouble: str  # with an entry, '' if there was none


class Kept(NamedTuple):
    """A function whose results are kept. It can be pickled, and stands in for the function in a `Pool`.

    The function takes `reads` paths of files that it reads, `writes` paths of files that it writes, and
    values; it returns a dict of JSON's types, or None. Neither this nor the files may hang on the paths.
    """

    function: Callable[..., dict | None]
    reads: int
    writes: int
    folder: Path  # of entries
    code: str  # a digest of all code that decides the result
    modules: fingerprint.Modules = ()  # the part of the code that must not change while the stage runs

    def __call__(self, *arguments: object) -> Item:
        """The function's result and files, found or made. Its own exceptions pass, and keep nothing.

        Raises InputError when the code is no longer what it was when the stage began: a process that loads it
        later would compute by the one, and keep the result as what the other makes.
        """
        fingerprint.check(self.modules)
        paths = [Path(str(path)) for path in arguments[: self.reads + self.writes]]
        sources, targets = paths[: self.reads], paths[self.reads :]
        before = [state(path) for path in sources]
        try:
            key = self.key([content(path, self.folder) for path in sources], arguments[len(paths) :])
        except OSError:  # the function has words for a file that cannot be read
            return Item(self.function(*arguments) or {}, False, "")
        payload, trouble = entries.read(self.folder, key)
        if found := payload is not None:
            _unpack(payload, targets)
        else:
            payload = _pack(self.function(*arguments) or {}, targets)
            fingerprint.check(self.modules)
            if before == [state(path) for path in sources]:  # else nobody knows what was read
                trouble = entries.write(self.folder, key, payload) or trouble
        return Item(_result(payload), found, trouble)

    def result(self, *arguments: object) -> dict:
        """Of one call in this process what the function returned; trouble goes to stderr."""
        item = self(*arguments)
        if said := warning([item]):
            sys.stderr.write(f"warning: {said}\n")
        return item.result

    def key(self, contents: Sequence[str], values: Sequence[object]) -> str:
        """The key of one call, from the hashes of the files that it reads and the values."""
        return hashes.of([self.code, self.function, self.writes, contents, values])


def keeper(folder: Path) -> Callable[..., Kept]:
    """Makes `Kept` of (function, reads=, writes=), for the code of this process and entries in `folder`."""
    modules = fingerprint.modules()
    return partial(Kept, folder=folder, code=fingerprint.code(fingerprint.PIXELS, modules), modules=modules)


def content(path: Path, folder: Path) -> str:
    """The hash of a file's bytes, remembered in `folder` for a large file that has not changed since.

    Unchanged means what it means to DVC (the same inode, size and time), and the same time of the inode's own
    change, which nobody can set. A file that has just changed is not remembered: clocks have ticks.
    """
    if path.exists() and (fault := limits.file_fault(path)):
        raise OSError(errno.EINVAL, fault, str(path))  # a pipe would be waited for
    before = state(path)
    if before is None or before.size < LARGE:
        return hashes.sha256(path)
    key = hashes.of(["content", str(path.resolve()), before])
    known = entries.read(folder, key).payload
    if known is not None:
        return known.decode()
    found = hashes.sha256(path)
    if state(path) == before and max(before.modified, before.changed) + SETTLED < time.time_ns():
        entries.write(folder, key, found.encode())
    return found


def count(items: Sequence[Item]) -> str:
    """How many were found, for a stage's line of summary."""
    return f"{sum(item.found for item in items)} from the cache"


def warning(items: Sequence[Item]) -> str:
    """A sentence on entries that could not be used or kept, empty when there are none."""
    troubles = [item.trouble for item in items if item.trouble]
    more = f", and {len(troubles) - 3} more like these" if len(troubles) > 3 else ""
    return f"the item cache: {'; '.join(troubles[:3])}{more}" if troubles else ""


def _pack(result: dict, targets: Sequence[Path]) -> bytes:
    """The payload of an entry: a line of JSON with the result and the sizes of the files, then these."""
    files = [path.read_bytes() if path.exists() else None for path in targets]
    head = {"result": result, "sizes": [None if file is None else len(file) for file in files]}
    return json.dumps(head).encode() + b"\n" + b"".join(filter(None, files))


def _result(payload: bytes) -> dict:
    return json.loads(payload[: payload.index(b"\n")])["result"]


def _unpack(payload: bytes, targets: Sequence[Path]) -> None:
    """Write the files of an entry; one that the function did not write is None."""
    start = payload.index(b"\n") + 1
    for path, size in zip(targets, json.loads(payload[:start])["sizes"], strict=True):
        if size is not None:
            path.write_bytes(payload[start : start + size])
            start += size
