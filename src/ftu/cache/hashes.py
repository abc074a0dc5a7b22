"""The hashes by which files and values are told apart."""

import hashlib
import json
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from types import FunctionType

import numpy as np

from ftu.files import limits


def sha256(path: Path) -> str:
    """The hash of a file's bytes, in hex; OSError where it is no regular file."""
    with limits.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of(value: object) -> str:
    """The hash of a value, in hex: of JSON's types, arrays, dataclasses, functions and their partials.

    Raises TypeError for any other type, a path among them: what lies there could change.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: object) -> object:
    """A value that JSON does not know, in terms that it does."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return ["array", value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, partial):
        return ["partial", value.func, value.args, value.keywords]
    if isinstance(value, FunctionType) and "<" not in value.__qualname__:  # no lambda: they share a name
        return ["function", value.__module__, value.__qualname__]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__qualname__, vars(value)]
    raise TypeError(f"{value!r} cannot be told from others of its kind by what it holds")
