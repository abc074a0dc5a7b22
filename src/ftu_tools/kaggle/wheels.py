"""The packages that inference needs and Kaggle lacks: wheels, as uv.lock pins them."""

import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from ftu.errors import InputError

# What the images of Kaggle's notebooks hold, of all that inference imports and of what that needs itself:
# https://github.com/Kaggle/docker-python, which builds on https://github.com/googlecolab/backend-info
# (pip-freeze.txt), as of August 2026. rasterio and timm are there too, but in versions of their own, whose
# resampling and layers need not be those that a model was trained with: they travel.
PREINSTALLED = frozenset(
    {
        "attrs",
        "certifi",
        "click",
        "huggingface-hub",
        "numpy",
        "opencv-python-headless",
        "packaging",
        "pandas",
        "pillow",
        "pydantic",
        "pyparsing",
        "pyyaml",
        "safetensors",
        "scipy",
        "torch",
        "torchvision",
        "tqdm",
    }
)
REQUIREMENTS = "requirements.txt"
PLATFORMS = tuple(f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014"))

Lock = list[dict[str, Any]]


def distributions(modules: Iterable[str]) -> list[str]:
    """The installed distributions that hold these modules; the standard library's are in none."""
    known = packages_distributions()
    third_party = set(modules) - sys.stdlib_module_names
    if unknown := sorted(third_party - set(known)):
        raise InputError(f"{', '.join(unknown)}: imported by inference, and not installed; run `make env`")
    return sorted({canonicalize_name(name) for module in third_party for name in known[module]})


def read_lock(path: Path) -> Lock:
    """The packages of uv.lock."""
    try:
        return tomllib.loads(path.read_text())["package"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a lock of uv ({error}); run `uv lock`") from error


def pinned(lock: Lock, names: Sequence[str], python: str) -> list[dict[str, Any]]:
    """What `names` need on Python `python` ("3.12") beyond PREINSTALLED, they included, sorted by name."""
    chosen: dict[str, dict[str, Any]] = {}
    pending = [name for name in names if name not in PREINSTALLED]
    while pending:
        name = pending.pop()
        if name in chosen:
            continue
        chosen[name] = _locked(lock, name, python)
        needed = [each for each in chosen[name].get("dependencies", []) if _holds(each.get("marker"), python)]
        pending += [each["name"] for each in needed if each["name"] not in PREINSTALLED]
    return [chosen[name] for name in sorted(chosen)]


def download(packages: Sequence[dict[str, Any]], folder: Path, python: str) -> None:
    """Fetch the wheels of `packages` for Python `python` on Linux into `folder`, held to the lock's hashes.

    Raises InputError with pip's last words when one cannot be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / REQUIREMENTS
        wanted.write_text("".join(f"{_line(package)}\n" for package in packages))
        venv.create(Path(scratch) / "pip", with_pip=True)  # uv's environments have none
        target = ["--python-version", python, "--implementation", "cp"]
        target += [word for platform in PLATFORMS for word in ("--platform", platform)]
        command = [
            f"{scratch}/pip/bin/python",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--require-hashes",
            "--no-deps",
        ]
        command += ["--only-binary=:all:", "--dest", str(folder), *target, "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise InputError(
            f"wheels for Python {python}: pip download failed; go online, or name another\n{last}"
        )


def running_python() -> str:
    """The version of this Python as pip wants it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _locked(lock: Lock, name: str, python: str) -> dict[str, Any]:
    """The entry of one package; where uv pinned several versions, the one for this Python."""
    for package in lock:
        markers = package.get("resolution-markers", [])
        if package["name"] == name and (not markers or any(_holds(marker, python) for marker in markers)):
            return package
    raise InputError(f"uv.lock: has no {name} for Python {python}; run `uv lock`, or name another Python")


def _holds(marker: str | None, python: str) -> bool:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
    }
    return marker is None or Marker(marker).evaluate({**environment, "extra": ""})


def _line(package: dict[str, Any]) -> str:
    hashes = [f"--hash={wheel['hash']}" for wheel in package.get("wheels", [])]
    return " ".join([f"{package['name']}=={package['version']}", *hashes])
