"""One function over many images, on any executor; the results keep the order of the items."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from threading import Thread
from typing import NamedTuple, TypeVar

from tqdm import tqdm

Result = TypeVar("Result")


class Pool(NamedTuple):
    """Where the work on images is done; what comes of it does not depend on it."""

    executor: str  # process or dask
    workers: int  # processes; 1: this one
    scheduler: str  # dask: the address of a running cluster, '': one on this machine

    def each(self, function: Callable[..., Result], *columns: Sequence, doing: str) -> list[Result]:
        """`function` of each row of the columns, as `map` does; the first error ends the work.

        `doing` names the progress bar. Raises ValueError when the columns differ in length.

        Processes are spawned, not forked: a fork after a call into spams or OpenMP can hang.
        """
        rows = list(zip(*columns, strict=True))
        if self.workers == 1:
            return list(_watched(starmap(function, rows), len(rows), doing))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, mp_context=context, initializer=_end_with_parent) as pool:
            try:
                return list(_watched(pool.map(function, *columns, chunksize=4), len(rows), doing))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


HERE = Pool("process", 1, "")  # this process


def _end_with_parent() -> None:
    """Let a worker end when the stage is killed: else it waits for work forever."""
    parent = multiprocessing.parent_process()
    assert parent
    Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _watched(results: Iterable[Result], total: int, doing: str) -> Iterator[Result]:
    return iter(tqdm(results, total=total, desc=doing, disable=None))
