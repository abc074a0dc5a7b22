"""Is every file in DVC's cache what its name says? `make verify-cache` removes those that are not.

DVC itself believes in a cached file once it is there: it would bring a damaged one back as an output, and not
replace it when the stage runs again. A file that is gone is made again by the next `dvc repro`.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

NAME = 30  # hex digits of the MD5 in a cached file's name; two more are the name of its folder


def main() -> None:
    cache = Path(subprocess.check_output(["dvc", "cache", "dir"], text=True).strip()) / "files" / "md5"
    files = sorted(cache.glob("??/*"))
    bad = list(damaged(files))
    for path in bad:
        path.unlink()
        sys.stdout.write(f"removed {path}: damaged\n")
    sys.stdout.write(f"{len(files)} files of DVC's cache, {len(bad)} damaged\n")
    if bad:
        sys.stdout.write("run `dvc repro`: it makes again what was damaged\n")


def damaged(files: list[Path]) -> Iterator[Path]:
    """Those whose bytes have another MD5 than their path says; a folder is a file, too: a list of files."""
    with ThreadPoolExecutor() as threads:
        digests = threads.map(_md5, files)
        for path, digest in zip(files, tqdm(digests, total=len(files), disable=None), strict=True):
            if len(path.stem) == NAME and path.parent.name + path.stem != digest:
                yield path


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    main()
