"""Remove what is damaged in DVC's cache, and say how to make it again: `make verify-cache`."""

import subprocess
import sys
from pathlib import Path

from ftu.pipeline import dvc_cache
from ftu.pipeline.stage import run


def main() -> None:
    """The command line."""
    cache = Path(subprocess.check_output(["dvc", "cache", "dir"], encoding="utf-8").strip())
    bad, total = dvc_cache.remove_all_damaged(cache)
    for path in bad:
        sys.stdout.write(f"removed {path}: damaged\n")
    sys.stdout.write(f"{total} files of DVC's cache, {len(bad)} damaged\n")
    if bad:
        sys.stdout.write("run `dvc repro`: it makes again what was damaged\n")


if __name__ == "__main__":
    run(main)
