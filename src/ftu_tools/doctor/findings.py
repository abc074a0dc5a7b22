"""What an examination of the machine and the project finds, a line each."""

from typing import Literal, NamedTuple, get_args

Level = Literal["error", "warning", "ok"]  # error: `dvc repro` would fail
LEVELS: tuple[Level, ...] = get_args(Level)  # the worst first


class Finding(NamedTuple):
    """A level, what it is about, and words; those of a warning or an error say the way out."""

    level: Level
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.about:<10} " + self.words.strip().replace("\n", "\n" + 20 * " ")


def ok(about: str, words: str) -> Finding:
    """Nothing to do."""
    return Finding("ok", about, words)


def warning(about: str, words: str) -> Finding:
    """Worth a look; `dvc repro` runs."""
    return Finding("warning", about, words)


def error(about: str, words: str) -> Finding:
    """What stops `dvc repro`."""
    return Finding("error", about, words)


def size(count: float) -> str:
    """A number of bytes for people, in powers of 1000 as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def counted(count: int, noun: str) -> str:
    """A number of things: 1 error, 2 errors."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
