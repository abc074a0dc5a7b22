"""Files as DVC keeps them in its cache."""

import hashlib
from pathlib import Path


def store(cache: Path, content: bytes, suffix: str = "") -> Path:
    """Put a file there under the name of its content, and say where."""
    digest = hashlib.md5(content).hexdigest()
    path = cache / "files/md5" / digest[:2] / f"{digest[2:]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
