"""What the name of an image says: a value by a regular expression, and a name that may become a file's.

What parameters call a column or a pattern is a pattern where it has a bracket.
"""

import hashlib
import re
import unicodedata

import pandas as pd

from ftu.errors import InputError, some
from ftu.files import limits

KEPT = 60  # characters of a name that cannot be an id as it is


def is_pattern(told: str) -> bool:
    return "(" in told


def fault(told: str) -> str:
    """What is wrong with the name of a column or a pattern, '' if nothing."""
    if not is_pattern(told):
        return "" if told.strip() else "names no column and is no regular expression"
    try:
        brackets = re.compile(told).groups
    except re.error as error:
        return f"{told!r} is no regular expression ({error})"
    return "" if brackets == 1 else f"{told!r} has {brackets} brackets that capture; it takes one"


def with_told(table: pd.DataFrame, told: str) -> pd.DataFrame:
    """The table with a column called `told`: its own, or what the pattern finds in `name`, or else `id`.

    Raises InputError for names in which it finds nothing.
    """
    if not is_pattern(told):
        return table
    names = list(table["name" if "name" in table else "id"])
    found = [re.search(told, name) for name in names]
    if nothing := [name for name, match in zip(names, found, strict=True) if not match]:
        raise InputError(
            f"{told!r} finds nothing in the name of {len(nothing)} of {len(names)} images: {some(nothing)}; "
            "correct data.group or data.z, or the names"
        )
    return table.assign(**{told: [match[1] or "" for match in found if match]})


def without(name: str, told: str) -> str:
    """A name without what a pattern finds in it: of a slice, that of its volume."""
    return re.sub(told, "", name, count=1)


def composed(name: str) -> str:
    """The name with its accents as one letter each: some systems write e and an accent."""
    return unicodedata.normalize("NFC", name)


def as_id(name: str) -> str:
    """The name where it may be part of a path as it is; or else what can stay of it, and a hash of it."""
    if not limits.name_fault(name):
        return name
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", letters).strip("_-")[:KEPT]
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
