"""One function over many images, in this process or in several; the results keep the order of the items."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from threading import Thread
from typing import TypeVar

from tqdm import tqdm

Result = TypeVar("Result")


def each(function: Callable[..., Result], *columns: Sequence, workers: int, doing: str) -> list[Result]:
    """`function` of each row of the columns, as `map` does; the first error ends the work.

    `doing` names the progress bar. Raises ValueError when the columns differ in length.

    Processes are spawned, not forked: a fork after a call into spams or OpenMP can hang.
    """
    rows = list(zip(*columns, strict=True))
    if workers == 1:
        return list(_watched(starmap(function, rows), len(rows), doing))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            return list(_watched(pool.map(function, *columns, chunksize=4), len(rows), doing))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """Let a worker end when the stage is killed: else it waits for work forever."""
    parent = multiprocessing.parent_process()
    assert parent
    Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _watched(results: Iterable[Result], total: int, doing: str) -> Iterator[Result]:
    return iter(tqdm(results, total=total, desc=doing, disable=None))
