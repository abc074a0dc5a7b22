"""Which code computes: the modules of ours in use, whether they still are what they were, and libraries."""

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import rasterio

from ftu.cache import hashes
from ftu.errors import InputError

# What the bytes of masks and images hang on besides our own code; GDAL comes with rasterio.
PIXELS = ("numpy", "opencv-python-headless", "rasterio", "gdal", "scipy", "staintools", "spams-bin")
# What says how and where a stage runs, and touches no pixel itself: no result hangs on it.
MACHINERY = "pipeline/"

LIBRARY = Path(__file__).parents[1]  # src/ftu
Modules = tuple[tuple[str, str], ...]  # files of the library by their place in it, and hashes of their bytes


class State(NamedTuple):
    """What changes when a file does."""

    inode: int
    size: int  # bytes
    modified: int  # ns
    changed: int  # ns, of the inode: set by the system alone


def state(path: Path) -> State | None:
    """None where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return State(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def modules() -> Modules:
    """The modules of this package in use, those left out on which no result hangs."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    own = {path for path in map(Path, filter(None, files)) if path.is_relative_to(LIBRARY)}
    places = sorted(path.relative_to(LIBRARY).as_posix() for path in own)
    return tuple(
        (place, hashes.sha256(LIBRARY / place)) for place in places if not place.startswith(MACHINERY)
    )


def code(libraries: Iterable[str], own: Modules) -> str:
    """A hash of what computes: Python, the script, the modules `own`, the versions of `libraries`."""
    return hashes.of([versions(libraries), hashes.sha256(Path(sys.argv[0])), own])


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Of Python and of packages; gdal is the one that rasterio has loaded."""
    found = {name: rasterio.__gdal_version__ if name == "gdal" else version(name) for name in libraries}
    return {"python": sys.version} | found


def check(own: Modules) -> None:
    """Raise InputError when a module is not, or no longer, what `own` says, in the process that asks.

    It hashes once in a process; from then on it looks whether a file has changed, if only in its times.
    """
    if _states(own) != _first_states(own):
        raise _changed()


@cache
def _first_states(own: Modules) -> list[State | None]:
    """Of modules that were what `own` says after that; an error is not remembered."""
    found = _states(own)
    if any(now is None for now in found) or any(
        hashes.sha256(LIBRARY / place) != then for place, then in own
    ):
        raise _changed()
    return found


def _states(own: Modules) -> list[State | None]:
    return [state(path) for path in _files(own)]


@cache
def _files(own: Modules) -> list[Path]:
    return [LIBRARY / place for place, _ in own]


def _changed() -> InputError:
    return InputError("the code changed while the stage runs; run `dvc repro` again")
