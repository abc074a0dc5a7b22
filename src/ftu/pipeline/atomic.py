"""Outputs are all or nothing: written beside their place, and moved there when complete and on disk."""

import errno
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from ftu.errors import InputError
from ftu.pipeline import threads

# What a library tells in its own words, and the user reads in ours.
REFUSALS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "your quota of disk space is used up; make room",
    errno.EROFS: "its disk is read-only; make it writable",
    errno.EFBIG: "it is larger than a file may be here (`ulimit -f`); allow larger ones",
    errno.EIO: "the disk reports an error; look into the machine's log, or take another disk",
    errno.ESTALE: "the disk of another machine has gone away; let it be mounted again",
}
PROBE = 1 << 20  # bytes: with less room than this a disk counts as full
# Who writes a temporary: ids of processes are used again, so it also says when that one started.
WRITER = re.compile(r"\.tmp-(?P<pid>\d+)-(?P<started>\d+)(?P<old>-old)?(\.\w+)?$")
AGAIN = "and run `dvc repro` again: it goes on where it was, and nothing is left by half"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; it takes the place of `path` when the block ends well.

    When the block raises, the sibling is removed and what `path` held before is left as it was. Raises
    InputError when the disk is full or read-only, or the folder is not to be written to or has vanished, as
    the other two do.
    """
    temporary = path.with_name(_name(path))
    try:
        with _refusals_in_words(path, path.parent, path.parent):
            _make_room(path)
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling folder; it takes the place of `path` when the block ends well."""
    with _new_folder(path, path) as temporary:
        yield temporary
        _to_disk(temporary)
        _take_place(temporary, path)


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; when the block ends well its files move into `folder`, one by one.

    It is made inside of `folder` where that is there: `folder` may be on a disk of its own.
    """
    with _new_folder(folder, folder / folder.name if folder.is_dir() else folder) as temporary:
        yield temporary
        _to_disk(temporary)
        folder.mkdir(exist_ok=True)
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)


def in_work(temporary: Path) -> bool:
    """Whether the process that a temporary's name tells of still runs."""
    writer = WRITER.search(temporary.name)
    return bool(writer) and _started(int(writer["pid"])) == writer["started"]


@contextmanager
def _new_folder(path: Path, place: Path) -> Iterator[Path]:
    """A temporary beside `place`, for what is told to be `path`."""
    temporary = place.with_name(_name(place))
    try:
        with _refusals_in_words(path, temporary, temporary.parent):
            _make_room(place)
            temporary.mkdir()
            yield temporary
    finally:
        _remove(temporary)


def _take_place(temporary: Path, path: Path) -> None:
    """Move a folder to where an old one may be. At any moment the old or the new one is there, or nothing.

    When this process is killed while nothing is, the next that writes there puts the old one back first.
    """
    old = path.with_name(_name(path, "-old"))
    try:
        if os.path.lexists(path):
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        _put_back(old, path)


def _put_back(old: Path, path: Path) -> None:
    if old.exists() and not os.path.lexists(path):
        os.replace(old, path)
    _remove(old)


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder with all in it, is on the disk.

    DVC trusts what has moved to its place: after a power cut, its cache would hold files without contents.
    """
    inner = path.rglob("*") if path.is_dir() else []
    for _ in threads.each(_sync, chain([path], inner)):
        pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _refusals_in_words(path: Path, needed: Path, around: Path) -> Iterator[None]:
    """Turn what the disk refuses into an InputError that names `path`.

    `needed` is the folder that is written into, `around` the one that temporaries are made in.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        refusal = _refusal(error, needed, around)
        if not refusal:
            raise
        raise InputError(f"{path}: cannot be written, {refusal} {AGAIN}") from error


def _refusal(error: Exception, needed: Path, around: Path) -> str:
    number = error.errno if isinstance(error, OSError) else None
    for each, words in REFUSALS.items():
        if each != errno.EIO and (number == each or os.strerror(each) in str(error)):
            return words
    if not os.path.isdir(needed) and number in (None, errno.ENOENT, errno.ENOTDIR):
        return f"{needed} vanished while it was written to; find out what removes it,"
    if number in (errno.EACCES, errno.EPERM) and not os.access(around, os.W_OK):
        return f"{around} is not yours to write to; change its owner or mode"
    return REFUSALS.get(_probe(around) or number or 0, "")


def _probe(folder: Path) -> int:
    """The errno with which the disk refuses a little more, 0 when it takes it.

    Most libraries that write (GDAL, torch, libpng) say that a write failed, and not why.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno or 0
    return 0


def _make_room(path: Path) -> None:
    """Make the folder around `path`, and clear away what killed processes left beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{glob.escape(path.stem)}.tmp-*"):
        if in_work(leftover):
            continue
        writer = WRITER.search(leftover.name)
        _put_back(leftover, path) if writer and writer["old"] else _remove(leftover)


def _name(path: Path, what: str = "") -> str:
    """Of a temporary beside `path`: it says who writes it, and git and DVC ignore it."""
    return f"{path.stem}.tmp-{os.getpid()}-{_started(os.getpid())}{what}{path.suffix}"


def _started(pid: int) -> str:
    """When a process started, in clock ticks since the machine did; empty when there is none.

    One that has ended, and whose parent has not asked how, is none: in a container nobody may ever ask.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *others = stat.rpartition(")")[2].split()  # the name before may hold spaces and brackets
    return "" if state in "ZX" else others[18]


def _remove(path: Path) -> None:
    """A file, a folder or a link, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
