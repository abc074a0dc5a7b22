"""One function over many images, on any engine; the results keep the order of the items."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from ftu.errors import InputError
from ftu.pipeline.workers import processes
from ftu.pipeline.workers.tasks import Engine, noted, results

Result = TypeVar("Result")


class Pool(NamedTuple):
    """Where the work on images is done; what comes of it does not depend on it."""

    executor: str  # process or dask
    workers: int  # processes; of `process`, 1 is this one
    scheduler: str  # dask: the address of a running cluster, '': one on this machine

    def each(self, function: Callable[..., Result], *columns: Sequence, doing: str) -> list[Result]:
        """`function` of each row of the columns, as `map` does; the first error ends the work.

        `function` and the rows are pickled. `doing` names the progress bar. Raises ValueError when the
        columns differ in length, and InputError, which names the item, when its worker dies twice.
        """
        rows = list(zip(*columns, strict=True))
        if not rows or (self.executor == "process" and self.workers == 1):
            return list(_watched(here(function, rows), len(rows), doing))
        with self._engine(most=len(rows)) as engine:
            return list(_watched(results(engine, function, rows), len(rows), doing))

    def _engine(self, most: int) -> AbstractContextManager[Engine]:
        if self.executor == "process":
            return processes.processes(min(self.workers, most))
        try:
            from ftu.pipeline.workers import dask_cluster  # takes a second, and distributed is an extra
        except ModuleNotFoundError as error:
            raise InputError(
                f"compute.executor is dask, and {error.name} is not installed; run `uv sync --extra dask` or "
                "set compute.executor to process"
            ) from error
        return dask_cluster.engine(min(self.workers, most), self.scheduler)


def here(function: Callable[..., Result], rows: Iterable[Sequence]) -> Iterator[Result]:
    """`function` of each row, in this process."""
    for row in rows:
        with noted(row):
            result = function(*row)
        yield result


HERE = Pool("process", 1, "")  # this process


def _watched(items: Iterable[Result], total: int, doing: str) -> Iterator[Result]:
    return iter(tqdm(items, total=total, desc=doing, disable=None))
