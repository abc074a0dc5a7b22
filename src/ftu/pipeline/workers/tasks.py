"""Tasks on any executor: few at a time, results in order, and what becomes of a task whose worker died."""

import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, TypeVar

from ftu.errors import InputError

Result = TypeVar("Result")
Row = Sequence[object]  # the arguments of one call

EACH = 3  # tasks that are submitted and not done, for each worker: enough to keep it busy
PATIENCE = 10  # s without a result, after which the engine is asked whether it is still there


class WorkerDied(BrokenExecutor):
    """The process that did a task ended before the task did."""


class Engine(NamedTuple):
    """A `concurrent.futures.Executor`, as far as the work on images needs one."""

    submit: Callable[..., Future]  # of a function and its arguments
    workers: int  # tasks that are done at the same time
    died: tuple[type[BaseException], ...] = (BrokenExecutor,)  # what a task raises whose worker died
    check: Callable[[], None] = lambda: None  # raises InputError when nobody is left to work


def results(engine: Engine, function: Callable[..., Result], rows: Sequence[Row]) -> Iterator[Result]:
    """`function` of each row, in the order of the rows, whenever each of them is done.

    At most `EACH` tasks per worker are submitted and not done: a hundred thousand do not wait in memory.
    After a failure no task is started, and the error raised is the one that a loop over the rows would raise.

    A task whose worker died runs once more with nothing beside it, since memory may have run out. Raises
    InputError, which names the item, when its worker dies again.
    """
    left, waiting, running = iter(rows), deque[tuple[Row, Future]](), set[Future]()
    while True:
        for row in islice(left, EACH * engine.workers - len(running)):
            future = engine.submit(function, *row)
            waiting.append((row, future))
            running.add(future)
        if not waiting:
            return
        done, running = _progress(engine, running)
        if any(map(_failed, done)):
            while running:
                _, running = _progress(engine, running)
        while waiting and waiting[0][1].done():
            row, future = waiting.popleft()
            try:
                with noted(row):
                    result = future.result()
            except engine.died as death:
                result = _again(engine, function, row, death)
            yield result


@contextmanager
def noted(row: Row) -> Iterator[None]:
    """Note on an error which item was worked on."""
    try:
        yield
    except Exception as error:
        error.add_note(named(row))
        raise


def named(row: Row) -> str:
    """What an item is called in an error: its first column's id, or that column as text."""
    return textwrap.shorten(str(getattr(row[0], "id", row[0])), 120, placeholder=" ...")


def _again(engine: Engine, function: Callable[..., Result], row: Row, death: BaseException) -> Result:
    sys.stderr.write(f"warning: {named(row)}: {_how(death)}; it runs again, alone\n")
    running = {engine.submit(function, *row)}
    (future,), _ = _progress(engine, running)
    try:
        return future.result()
    except engine.died as error:
        raise InputError(
            f"{named(row)}: its worker died, and died again with nothing beside it: {_how(error)}; systems "
            "kill processes when memory runs out: give the machine more, or take fewer compute.workers; "
            "where there is enough, look whether the file is damaged"
        ) from error


def _how(death: BaseException) -> str:
    return str(death) if isinstance(death, WorkerDied) else "its worker ended"  # others speak of their tasks


def _progress(engine: Engine, running: set[Future]) -> tuple[set[Future], set[Future]]:
    """Wait until some tasks are done: these, and those that are not."""
    while True:
        done, rest = wait(running, PATIENCE, FIRST_COMPLETED)
        if done:
            return done, rest
        engine.check()


def _failed(future: Future) -> bool:
    return future.cancelled() or future.exception() is not None
