"""The packages that inference needs and Kaggle lacks: wheels, as uv.lock pins them."""

import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.markers import Marker

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
GROUP = "kaggle"  # of pyproject.toml: what inference imports, PREINSTALLED left out
REQUIREMENTS = "requirements.txt"
PLATFORMS = tuple(f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014"))


def pinned(project: Path, python: str) -> list[dict[str, Any]]:
    """What GROUP needs on Python `python` ("3.12") beyond PREINSTALLED, as uv.lock pins it, sorted by name.

    As in a pylock.toml (PEP 751), where markers tell which entries are for which Python.
    """
    command = ["uv", "export", "--frozen", "--quiet", "--only-group", GROUP, "--format", "pylock.toml"]
    command += [word for name in sorted(PREINSTALLED) for word in ("--prune", name)]
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError as error:
        raise InputError("uv is not on the PATH, and packs the wheels; run `make bundle`") from error
    if done.returncode:
        raise InputError(f"uv.lock: uv cannot export it; run `uv lock`\n{done.stderr.strip()}")
    packages = tomllib.loads(done.stdout).get("packages", [])
    return [package for package in packages if _holds(package.get("marker"), python)]


def download(packages: Sequence[dict[str, Any]], folder: Path, python: str) -> None:
    """Fetch the wheels of `packages` for Python `python` on Linux into `folder`, held to the lock's hashes.

    Raises InputError with pip's last words when one cannot be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / REQUIREMENTS
        wanted.write_text("".join(f"{_line(package)}\n" for package in packages), encoding="utf-8")
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
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise InputError(
            f"wheels for Python {python}: pip download failed; go online, or name another\n{last}"
        )


def running_python() -> str:
    """The version of this Python as pip wants it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


# Why we judge markers: pip judges them by the Python that runs it, whatever --python-version says.
# Tried instead: `uv pip compile` resolves again and brings what PREINSTALLED needs; uv has no `pip download`.
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
    hashes = [f"--hash=sha256:{wheel['hashes']['sha256']}" for wheel in package.get("wheels", [])]
    return " ".join([f"{package['name']}=={package['version']}", *hashes])
