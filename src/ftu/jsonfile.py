"""JSON for people and for diffs: indented, with a last newline."""

import json
from pathlib import Path

from ftu.errors import InputError


def read(path: Path, remedy: str) -> dict:
    """The table of facts at `path`; InputError with the remedy when it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: is missing; {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); {remedy}") from error


def write(path: Path, content: dict) -> None:
    """Write a table of facts."""
    path.write_text(json.dumps(content, indent=2) + "\n")
