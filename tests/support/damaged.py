"""Reads one image in many damaged forms, in a process with little memory and time; prints what came of each.

Called with READER FILE WAY [COUNT]: READER is a function of ftu by its dotted name, WAY truncate (every
kilobyte, the end left out), header (each bit of all bytes that are no pixels' is flipped, COUNT of them at
most) or flip (COUNT bits anywhere).
"""

import random
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from ftu.errors import InputError

MEMORY, SECONDS = 4 * 2**30, 120  # address space, which the libraries take 2 of; of one core


def damaged(content: bytes, way: str, count: int) -> Iterator[bytes]:
    """The bytes of a file in damaged forms."""
    if way == "truncate":
        yield from (content[:length] for length in range(0, len(content), 1024))
        return
    ends = [*range(min(256, len(content))), *range(max(len(content) - 512, 0), len(content))]
    places = ends if way == "header" else range(len(content))
    bits = [(place, bit) for place in places for bit in range(8)]
    for place, bit in random.Random(0).sample(bits, min(count, len(bits))):
        copy = bytearray(content)
        copy[place] ^= 1 << bit
        yield bytes(copy)


def main(reader: str, path: Path, way: str, count: int) -> None:
    module, name = reader.rsplit(".", 1)
    read, content, found = getattr(import_module(f"ftu.{module}"), name), path.read_bytes(), Counter()
    truth: np.ndarray = read(path)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    for form in damaged(content, way, count):
        path.write_bytes(form)
        try:
            array = read(path)
        except InputError:
            found["refused"] += 1
            continue
        found["same" if np.array_equal(array, truth) else "other"] += 1
        assert (array.ndim, array.dtype) == (truth.ndim, truth.dtype)
    path.write_bytes(content)
    print(*(found[name] for name in ("same", "other", "refused")))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int((*sys.argv, "0")[4]))
