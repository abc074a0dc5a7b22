"""One function over many files in threads, which wait for the disk together."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 32
SLICE = 1024  # items that are in memory at a time


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Each item and what the function makes of it, in order; the first error ends the work."""
    left = iter(items)
    with ThreadPoolExecutor(THREADS) as threads:
        while some := list(islice(left, SLICE)):
            yield from zip(some, threads.map(function, some), strict=True)
