"""Bytes behind their own SHA-256, so that what a power cut or a bad disk has damaged is never believed."""

import hashlib
from typing import BinaryIO

SEAL = hashlib.sha256().digest_size  # bytes at the head


def write(file: BinaryIO, payload: bytes | memoryview) -> None:
    """Write the hash of a payload, then the payload."""
    file.write(hashlib.sha256(payload).digest())
    file.write(payload)


def payload(content: bytes) -> bytes | None:
    """What was written, None when these are not, or not all, of its bytes."""
    found = content[SEAL:]
    return found if hashlib.sha256(found).digest() == content[:SEAL] else None
