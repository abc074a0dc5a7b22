"""One function over many images, in this process or in several; the results keep the order of the items."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, doing: str
) -> list[Result]:
    """`function` of every item, with a progress bar called `doing`; the first error ends the work.

    Processes are spawned, not forked: a fork after a call into spams or OpenMP can hang.
    """
    if workers == 1:
        return list(_watched(map(function, items), len(items), doing))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return list(_watched(pool.map(function, items, chunksize=4), len(items), doing))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _watched(results: Iterable[Result], total: int, doing: str) -> Iterator[Result]:
    return iter(tqdm(results, total=total, desc=doing, disable=None))
