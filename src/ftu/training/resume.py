"""The state of an unfinished training on disk, so that a run that was stopped goes on where it was.

A state belongs to one key, a hash of all that decides what the run computes; another key is another file.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ftu.cache import checksummed, fingerprint, hashes
from ftu.errors import InputError
from ftu.files import limits
from ftu.pipeline import locks
from ftu.pipeline.atomic import whole_file

LARGEST = 2**35  # bytes: a dozen times those of the largest network
LIBRARIES = (
    "torch", "timm", "segmentation-models-pytorch", "accelerate", "numpy", "albumentations", "albucore",
    "opencv-python-headless",
)  # fmt: skip


def run_key(files: Iterable[Path], **facts: object) -> str:
    """16 hex digits for the contents of `files`, the modules in use, the libraries' versions, and `facts`."""
    contents = {str(path): hashes.sha256(path) for path in sorted(files)}
    return hashes.of([fingerprint.code(LIBRARIES, fingerprint.modules()), contents, facts])[:16]


class StateFile:
    """Reads, writes and removes one state. A write is whole or not at all, also when power fails."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        """Of the processes of a run, all read and one `writes`."""
        self.path, self.writes = path, writes

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep another run from the same state; InputError when one is at it."""
        if not self.writes:
            yield
            return
        path = self.path.with_suffix(".lock")
        lock = locks.take(path)
        if not lock:
            raise InputError(f"{path}: another process trains this very run; wait until it ends, or end it")
        with lock:
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def read(self) -> dict[str, Any] | None:
        """The state, None when there is none. A damaged file is set aside, with a warning that names it."""
        if not self.path.exists():
            return None
        try:
            payload = checksummed.payload(limits.content(self.path, LARGEST))
        except OSError as error:
            raise InputError(
                f"{self.path}: the state of a training cannot be read ({error.strerror}); remove it"
            ) from error
        if payload is not None:
            return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        aside = self.path.with_suffix(".damaged")
        os.replace(self.path, aside)
        sys.stderr.write(
            f"warning: {self.path} is damaged and was set aside as {aside.name}; training starts again\n"
        )
        return None

    def write(self, state: Mapping[str, Any]) -> None:
        """Put `state` (tensors and plain values) in place of the one before."""
        if not self.writes:
            return
        content = io.BytesIO()
        torch.save(dict(state), content)
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            checksummed.write(file, content.getbuffer())

    def remove(self) -> None:
        """Forget the run, once what came of it is on disk."""
        if not self.writes:
            return
        os.sync()
        self.path.unlink(missing_ok=True)
