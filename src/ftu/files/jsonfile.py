"""JSON for people and for diffs: indented, with a last newline."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftu.errors import InputError
from ftu.files import limits

LARGEST = 2**26  # bytes: thousands of times what any of ours has


def read(path: Path, remedy: str) -> dict:
    """The table of facts at `path`; InputError with the remedy when it is missing, damaged or no table."""
    try:
        facts = json.loads(limits.text(limits.content(path, LARGEST)))
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; {remedy}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({error}); {remedy}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{path}: is damaged (it holds a {type(facts).__name__}, no table); {remedy}")
    return facts


@contextmanager
def facts(path: Path, remedy: str) -> Iterator[dict]:
    """Yield what `read` gives; where the block misses a key, or finds another kind of value, InputError."""
    found = read(path, remedy)
    try:
        yield found
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; {remedy}") from error
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}; {remedy}") from error


def write(path: Path, content: dict) -> None:
    """Write a table of facts."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
