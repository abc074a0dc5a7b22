"""What a run says of an error that nobody foresaw, or that the machine makes, and where the rest is."""

import errno
import hashlib
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from ftu.pipeline import paths
from ftu.pipeline.atomic import REFUSALS

FOREIGN, OURS = 2, 70  # exit status: of what the machine refuses, of a fault of the program (sysexits.h)
KEPT = 20  # logs
SHOWN = 300  # characters of an error's own words
# What a system refuses, and the way out; atomic.py has the words for what disks refuse.
WORDS = REFUSALS | {
    errno.ENFILE: "this system may have no more files open; end other programs",  # before its likeness
    errno.EMFILE: "this process may have no more files open; raise `ulimit -n`",
    errno.EPIPE: "what reads its output has ended; let it read on, or write into a file",
    errno.ENOMEM: "there is no memory left; end other programs, or lower compute.workers",
    errno.EAGAIN: "no process or thread can be started; raise `ulimit -u`, or lower compute.workers",
    errno.EACCES: "it is not yours to read or write; change its owner or mode",
    errno.EPERM: "it is not yours to change; change its owner or mode",
    errno.EEXIST: "something else is there already; move it away",
    errno.ENOTDIR: "a file is where a folder should be; move it away",
    errno.ELOOP: "its links lead in a circle; put the file in place of the link",
    errno.ENAMETOOLONG: "its name is too long for this disk; use a shorter one",
}
KILLED = (
    "a worker of train.workers was killed, as systems do when memory runs out; lower train.workers, or set 0"
)
NO_MEMORY = ("can't allocate memory", "Insufficient memory", "bad_alloc")
SHARED = "torch's workers share images through /dev/shm, and it is full; set train.workers: 0, or give the "
SHARED += "container more (`docker run --shm-size=8g`)"
NO_SHARED = ("/torch_", "shared memory", "Bus error", "/dev/shm")


def told(name: str, error: Exception) -> int:
    """Say on stderr, in a line, why the run called `name` ends; the exit status.

    The line holds the kind of error, what was being done to which item (its notes), and the file that has the
    traceback. With FTU_TRACEBACK=1 in the environment, or `python -X dev`, that is printed, too.
    """
    about = "; ".join(note.splitlines()[0] for note in getattr(error, "__notes__", []) if "\n" not in note)
    about = f" ({about})" if about else ""
    whole = "".join(traceback.format_exception(error))
    shows = sys.flags.dev_mode or os.environ.get("FTU_TRACEBACK") == "1"
    if words := in_words(error):
        line, status = f"{name}: error: {words}{about}", FOREIGN
    else:
        said = str(error).strip()
        said = said.splitlines()[-1] if "Traceback" in said else " ".join(said.split())  # of another process
        kind = f"{type(error).__name__}: {said}"
        place = None if shows else _log(name, whole)
        where = f"the traceback is in {place}" if place else "the traceback is above"
        shows |= not place
        line, status = f"{name}: error: {kind[:SHOWN]}{about}: a fault of the program; {where}", OURS
    with suppress(OSError, ValueError):  # the terminal may be gone
        sys.stderr.write(f"{whole if shows else ''}{line}\n")
        sys.stderr.flush()
    _drop_output()
    return status


def in_words(error: BaseException) -> str:
    """What the machine refuses, with the way out; empty for any other error.

    Libraries tell of it in errors of their own, which hold the system's words or are raised from its error.
    """
    text = str(error)
    if isinstance(error, MemoryError) or any(mark in text for mark in NO_MEMORY):
        return WORDS[errno.ENOMEM]
    if any(mark in text for mark in NO_SHARED) and ("DataLoader" in text or "unable to" in text):
        return SHARED
    if "DataLoader worker" in text and ("signal: Killed" in text or "exited unexpectedly" in text):
        return KILLED
    number = error.errno if isinstance(error, OSError) else None
    for each, words in WORDS.items():
        if number == each or (number is None and os.strerror(each) in text):
            name = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
            return f"{name}{words}"
    inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return in_words(inner) if inner else ""


def _drop_output() -> None:
    """Let nothing that is left to be printed fail again when Python ends."""
    for file in filter(None, (sys.stdout, sys.stderr)):  # None where the caller has closed it
        try:
            file.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def _log(name: str, text: str) -> Path | None:
    """Write a traceback to a file named by its content, and keep the newest few; None where none can be."""
    folder = paths.project() / ".ftu" / "logs"
    path = folder / f"{name}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
        logs = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime_ns)
        for log in logs[:-KEPT]:
            log.unlink(missing_ok=True)
    except OSError:
        return None
    return path
