"""Remove what is damaged in DVC's cache, of all files there: `make verify-cache`."""

import subprocess
import sys
from pathlib import Path

from ftu.errors import InputError
from ftu.pipeline.dvc_cache import FILES, damaged
from ftu.pipeline.stage import run


def main() -> None:
    """Say what was removed, and how many files there are."""
    files = sorted((cache() / FILES).glob("??/*"))
    bad = list(damaged(files, len(files)))
    for path in bad:
        path.unlink()
        sys.stdout.write(f"removed {path}: damaged\n")
    sys.stdout.write(f"{len(files)} files of DVC's cache, {len(bad)} damaged\n")
    if bad:
        sys.stdout.write("run `dvc repro`: it makes again what was damaged\n")


def cache() -> Path:
    """The folder of DVC's cache; InputError, in DVC's words, where there is none."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise InputError(f"`dvc cache dir` fails ({said}); run it in a clone of the project")
    return Path(done.stdout.strip())


if __name__ == "__main__":
    run(main)
