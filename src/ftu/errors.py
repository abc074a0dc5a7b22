"""The one error that a user is meant to read, and how it names what is too long to be listed."""

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message names the file, row or key, the value found, and the way out."""


def some(names: Iterable[object], most: int = 5) -> str:
    """The first of many names, and how many more there are."""
    words = list(map(str, names))
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")
