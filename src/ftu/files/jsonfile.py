"""JSON for people and for diffs: indented, with a last newline."""

import json
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


def write(path: Path, content: dict) -> None:
    """Write a table of facts."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
