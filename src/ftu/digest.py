"""The hash by which files are told apart."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
