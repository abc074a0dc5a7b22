"""How much is read of a file, what it may claim before anything is allocated, and what may name one."""

import codecs
import errno
import os
import re
import stat
from io import FileIO
from pathlib import Path

MOST_PIXELS = 2**30  # of an image or a mask: OpenCV reads no larger PNG, and a mask is one
MOST_BYTES = 2**33  # of a file with one: the most pixels of 3 bytes, and overviews beside them
LONGEST_SIDE = 10**6  # px; OpenCV's is 2**20
COARSEST_STRIDE = 32  # px, of the encoders: a side of what they see is a multiple of it
LONGEST_NAME = 100  # characters: file systems take 255 bytes, with our endings and those of temporary files
RESERVED = ".tmp-"  # in the names of unfinished outputs, which git and DVC ignore and the next run removes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def size_fault(height: int, width: int) -> str:
    """What is wrong with a size in px, empty when it is one that is worked on."""
    if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE):
        return f"a side of {height} x {width} px (height x width) is not within 1 to {LONGEST_SIDE}"
    if height * width > MOST_PIXELS:
        return (
            f"{height} x {width} px (height x width) are {height * width}, more than the {MOST_PIXELS} "
            "that an image may have"
        )
    return ""


def name_fault(name: str) -> str:
    """Why `name` may not become part of a path, empty when it may: it is a plain file name of ours."""
    if len(name) > LONGEST_NAME:
        return f"name {name[:40]!r}... has {len(name)} characters; use {LONGEST_NAME} at most"
    if not NAME.fullmatch(name):
        return f"{name!r} is no file name; use letters, digits, . _ -"
    if RESERVED in name:
        return f"{name!r} holds {RESERVED!r}, which marks unfinished files; use another name"
    return ""


def file_fault(path: Path) -> str:
    """What is wrong with what shall be an image's file, '' if nothing, from its inode: nothing is read."""
    try:
        facts = path.stat()
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISREG(facts.st_mode):
        return "no regular file, but a folder, pipe, socket or device"
    return f"{facts.st_size} bytes, more than {MOST_BYTES}" if facts.st_size > MOST_BYTES else ""


def opened(path: Path, most: int | None = None) -> FileIO:
    """The regular file at `path`, open for reading, unbuffered.

    OSError also where it is a pipe, a device or a socket, which may never end, or has more than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else a pipe waits for a writer
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if most is not None and facts.st_size > most:
            raise _too_large(path, facts.st_size)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def content(path: Path, most: int) -> bytes:
    """The bytes of the file at `path`; OSError as `opened` raises it."""
    with opened(path, most) as file:
        parts, size = [], 0
        most = min(most, os.fstat(file.fileno()).st_size + 2**20)
        while part := file.read(2**20):
            parts.append(part)
            size += len(part)
            if size > most:  # it grows, or is one of /proc's, which say that they have none
                raise _too_large(path, size)
    return b"".join(parts)


def _too_large(path: Path, size: int) -> OSError:
    return OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)}: {size} bytes", str(path))


def text(content: bytes) -> str:
    """The text of a file's bytes, which are UTF-8; ValueError says what else they are, and what to do."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # UTF-32's begins alike
        raise ValueError("it is UTF-16 or UTF-32; save it as UTF-8")
    if (place := content.find(b"\0")) >= 0:
        raise ValueError(f"byte {place} is NUL, which no text holds; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} in line {line}"
        raise ValueError(f"{found} is not UTF-8, but perhaps Latin-1; save it as UTF-8") from error
