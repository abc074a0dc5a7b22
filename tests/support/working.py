"""What workers are given to do in tests; as a script, a stage whose workers never finish."""

import os
import signal
import sys
import time
from pathlib import Path

from ftu.errors import InputError
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def reciprocal(number: int) -> float:
    return 1 / number


def inspected(name: str) -> str:
    if name in ("5.png", "15.png"):
        raise InputError(f"{name}: is damaged; mend it")
    return name


def killed_at(mark: Path, number: int, deadly: int, times: int) -> int:
    """End this process by SIGKILL at the number `deadly`, the first `times` times; `mark` counts them."""
    if number == deadly and len(tried := sorted(mark.glob("try-*"))) < times:
        (mark / f"try-{len(tried)}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


class UnportableError(Exception):
    """An error that cannot be pickled and read again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def unportable(_: int) -> None:
    raise UnportableError("this", "that")


def large(size: int) -> bytes:
    return b"7" * size


def endless(folder: Path, index: int) -> None:
    (folder / f"{index}.started").touch()
    time.sleep(600)


def main() -> None:
    executor, folder = sys.argv[1], Path(sys.argv[2])
    Pool(executor, 2, "").each(endless, [folder] * 100, range(100), doing="wait")


if __name__ == "__main__":
    run(main)
