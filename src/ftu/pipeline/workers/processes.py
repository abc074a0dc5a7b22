"""Worker processes on this machine, each with a pipe of its own: it is known what a dead one was doing."""

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from ftu.pipeline.lifetime import end_with_parent
from ftu.pipeline.workers.tasks import Engine, WorkerDied

Result = TypeVar("Result")

_resting: list["Worker"] = []  # between two blocks


@contextmanager
def processes(workers: int) -> Iterator[Engine]:
    """An engine of `workers` processes, which start when there is work, and end at the first error.

    They are kept for the next block, since a start takes a second, and end with this process.

    A `ProcessPoolExecutor` would fail every task of all workers when one of them dies, and its workers share
    a queue, whose lock a dead one may hold. Here a thread for each process hands it one task after another.
    """
    team = [_resting.pop(0) if _resting else Worker() for _ in range(workers)]
    idle = SimpleQueue[Worker]()
    for worker in team:
        idle.put(worker)
    threads = ThreadPoolExecutor(workers)
    try:
        yield Engine(partial(threads.submit, _do, idle), workers)
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in team:
            worker.end()
        threads.shutdown(wait=True)
        raise
    threads.shutdown()
    _resting.extend(team)


class Worker:
    """A process that does one task after another, and is replaced when it dies."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._ended, self._lock = False, Lock()  # between starting and ending

    def do(self, function: Callable[..., Result], *row: object) -> Result:
        """`function` of the row, computed by the process; errors arrive as it raised them.

        Raises WorkerDied when the process ends before the task does.
        """
        task = pickle.dumps((function, row))
        if self._process is None:
            self._start()
        try:
            self._pipe.send_bytes(task)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerDied(self._bury()) from error
        error, result = pickle.loads(answer)
        if error:
            raise error
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            self._ended, process = True, self._process
        if process:
            process.kill()
            process.join()

    def _start(self) -> None:
        # Spawned, not forked: a fork after a call into spams or OpenMP can hang.
        context = multiprocessing.get_context("spawn")
        with self._lock:
            if self._ended:
                raise WorkerDied("the work was ended")
            self._pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()  # so that the pipe ends with the process
            self._process = process

    def _bury(self) -> str:
        """Forget the process; how it ended, in words."""
        assert self._process
        self._process.join()
        self._pipe.close()
        status, self._process = self._process.exitcode, None
        if status is not None and status < 0:
            return f"its process was ended by {_signal(-status)}"
        return f"its process ended with status {status}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for programs' own use
        return f"signal {number}"


def _do(idle: SimpleQueue[Worker], function: Callable[..., Result], *row: object) -> Result:
    worker = idle.get()
    try:
        return worker.do(function, *row)
    finally:
        idle.put(worker)


def _serve(pipe: Connection) -> None:
    """The life of a worker process: (function, row) in, (error, result) out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    stage = multiprocessing.parent_process()
    assert stage
    assert stage.pid
    end_with_parent(stage.pid)  # else it would finish its task first
    while True:
        try:
            task = pipe.recv_bytes()
        except EOFError:
            return
        try:
            function, row = pickle.loads(task)
            answer = pickle.dumps((None, function(*row)))
        except Exception as error:  # whatever it is, it is raised again where the results are awaited
            answer = pickle.dumps((_portable(error), None))
        pipe.send_bytes(answer)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; one of another type where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error's own code runs here, and raises what it likes
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(traceback.format_exc())
    return error
