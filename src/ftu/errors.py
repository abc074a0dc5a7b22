"""The one error that a user is meant to read, how it names what is too long to be listed, and its letters."""

import io
import sys
from collections.abc import Iterable


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
