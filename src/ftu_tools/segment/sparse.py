"""Arrays in files that take room on the disk only where something is written."""

import os

import numpy as np


def reserve(array: np.memmap, first: int, stop: int) -> None:
    """Let the disk hold rows [first, stop) of a mapped file, counted along all axes but the last.

    Raises OSError where there is no room: to write through the mapping would end the process, without a word.
    """
    width = array.strides[-2]
    with open(str(array.filename), "r+b") as file:
        os.posix_fallocate(file.fileno(), array.offset + first * width, (stop - first) * width)
