"""JSON for people and for diffs: indented, with a last newline."""

import json
from pathlib import Path


def write(path: Path, content: dict) -> None:
    """Write a table of facts."""
    path.write_text(json.dumps(content, indent=2) + "\n")
