"""What is seen of stages: the line that each ends with, and what shows on a terminal alone."""

import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

SHAPE = 50, 120  # lines and columns

# The last line of a stage: STAGE: WORDS, SECONDS s, WARNINGS, where the words count what was worked on.
ITEMS = r"(?:\d+|no) (?:images|epochs|other experiments)"
SUMMARY = re.compile(rf"^([a-z]+): (?:.*\W)?{ITEMS}\b.*, \d+\.\d s(?:, 1 warning|, \d+ warnings)?$", re.M)


def shown(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    """All that a command writes to the terminal that it is run on; it has to succeed."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, SHAPE)
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=follower, stderr=follower)
    os.close(follower)
    parts: list[bytes] = []
    while part := _read(leader):
        parts.append(part)
    os.close(leader)
    output = b"".join(parts).decode(errors="replace")
    assert process.wait() == 0, output
    return output


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 1 << 16)
    except OSError:  # the last process has closed its end
        return b""
