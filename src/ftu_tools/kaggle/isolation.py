"""A Python environment of given distributions and nothing else, and commands without a network."""

import os
import subprocess
import venv
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ftu.errors import InputError

NAMESPACES = (
    ["unshare", "-rn"],
    ["unshare", "-n"],
)  # as a user, as root: a network of its own, with nothing in it
# Where the system grants no network of its own: Python itself refuses to connect. Weaker: other programs may.
GUARD = """\
import socket
def refuse(*_, **__):
    raise OSError(101, "the network is cut")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
# 192.0.2.1 is reserved for documents (RFC 5737): nobody answers, and a network that is there lets one wait.
PROBE = """\
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except TimeoutError:
    raise SystemExit("there is a network")
except OSError:
    raise SystemExit(0)
raise SystemExit("there is a network")
"""


def new_environment(folder: Path, names: Collection[str]) -> Path:
    """A virtual environment with pip and, linked from this one, the distributions `names` and what they need.

    Returns its python. Raises InputError when this environment lacks one of them.
    """
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    for each in with_dependencies(names):
        _link(each, site)
    return python


def with_dependencies(names: Collection[str]) -> list[Distribution]:
    """The installed distributions of these names, and all that they need, sorted by name."""
    found: dict[str, Distribution] = {}
    pending = [canonicalize_name(name) for name in names]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise InputError(f"{name}: is not installed here; run `make env`") from error
        pending += _needed(found[name])
    return [found[name] for name in sorted(found)]


def cut_network(python: Path) -> list[str]:
    """What to put before a command to run it without a network; empty where the system grants none.

    In that case `python`'s own environment is made to refuse connections. Raises InputError when, tried by
    `python`, a connection is still possible.
    """
    prefix = next((words for words in NAMESPACES if _works([*words, "true"])), [])
    if not prefix:
        (site,) = python.parent.parent.glob("lib/python*/site-packages")
        (site / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    probe = call([*prefix, python, "-c", PROBE])
    if probe.returncode:
        raise InputError(f"the network could not be cut: {probe.stderr.strip()}")
    return prefix


def call(
    command: Sequence[str | Path], folder: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that sees nothing of this environment, of Python's settings or pip's."""
    ours = ("PYTHON", "PIP_", "VIRTUAL_ENV", "UV_", "DVC")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    settings = kept | {"PIP_CONFIG_FILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"} | dict(more or {})
    return subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, encoding="utf-8", check=False
    )


def _needed(each: Distribution) -> list[str]:
    """Names of what a distribution needs here, its own extras left out."""
    wanted = [Requirement(text) for text in each.requires or []]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    extras = [
        Requirement(text).name
        for one in here
        for text in _requires(one.name)
        for extra in one.extras
        if (marker := Requirement(text).marker) and marker.evaluate({"extra": extra})
    ]
    return [canonicalize_name(name) for name in (*(one.name for one in here), *extras)]


def _requires(name: str) -> list[str]:
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:
        return []


def _link(each: Distribution, site: Path) -> None:
    """Link every folder and file that a distribution put into its site-packages; not its commands."""
    tops = {Path(file).parts[0] for file in each.files or []} - {"..", "__pycache__"}
    for top in sorted(tops):
        link = site / top
        if not link.exists() and not top.endswith(".pth"):
            link.symlink_to(Path(str(each.locate_file(top))).resolve())


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
