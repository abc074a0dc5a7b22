"""The one error that a user is meant to read, how it lists what is long, and the standard files."""

import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress


class InputError(ValueError):
    """Bad input: the message names the file, row or key, the value found, and the way out."""


def some(names: Iterable[object], most: int = 5) -> str:
    """The first of many names, and how many more there are."""
    words = list(map(str, names))
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def speak_any_language() -> None:
    """Let no word that is printed fail in a locale without its letters: they are then printed as codes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test or a notebook has put there
            stream.reconfigure(errors="backslashreplace")


def open_standard_files() -> None:
    """Open the standard files that the caller has closed: the next file opened would be taken for one."""
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def flush_output(text: str = "") -> None:
    """Print `text` and what waits to be; OSError, which names the standard output, where it takes no more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise
