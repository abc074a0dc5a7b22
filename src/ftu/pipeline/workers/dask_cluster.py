"""The work on images on Dask: a cluster on this machine for one stage, or one that runs already.

Imported only where parameters ask for Dask: it takes a second, and distributed may not be installed.
"""

import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import cloudpickle
import dask.config
from distributed import Client, KilledWorker, LocalCluster
from distributed.comm.core import CommClosedError

from ftu.cache import fingerprint, hashes
from ftu.errors import InputError, some
from ftu.pipeline import environment
from ftu.pipeline.workers.tasks import Engine

Result = TypeVar("Result")
Submit = Callable[..., Future]

WITHIN = 30  # s, for a scheduler to answer, and for a cluster to have a worker
CONFIG = {
    "distributed.scheduler.allowed-failures": 0,  # tasks.py runs again what a worker died of
    "distributed.nanny.pre-spawn-environ": {},  # it would set variables in this process, too
    "distributed.worker.profile.enabled": False,
}
LOCAL: dict[str, Any] = {
    "threads_per_worker": 1,
    "dashboard_address": "127.0.0.1:0",  # None is port 8787, with a warning where that is taken
    "memory_limit": 0,  # Dask would pause and end workers before memory is short
    "local_directory": tempfile.gettempdir(),
    "security": True,  # else every user of the machine could run code here
    "silence_logs": logging.CRITICAL,
}


@contextmanager
def engine(workers: int, scheduler: str) -> Iterator[Engine]:
    """An engine on the cluster at the address `scheduler`; '': on one of `workers` processes, for this block.

    Raises InputError when there is no such cluster, and when its workers see other files or other code.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    with _running(scheduler, workers) if scheduler else _local(workers) as made:
        yield made


@contextmanager
def _local(workers: int) -> Iterator[Engine]:
    with (
        dask.config.set(CONFIG),
        LocalCluster(n_workers=workers, **LOCAL) as cluster,
        Client(cluster) as client,
        _submitting(client) as submit,
    ):
        yield Engine(submit, workers, (KilledWorker,), partial(_wait_for_worker, client, "on this machine"))


@contextmanager
def _running(scheduler: str, workers: int) -> Iterator[Engine]:
    try:
        client = Client(scheduler, timeout=WITHIN)
    except (OSError, ValueError) as error:
        raise InputError(
            f"compute.scheduler: no Dask scheduler answers at {scheduler}; start one with `dask scheduler`, "
            "or leave it empty for a cluster on this machine"
        ) from error
    with client, _token() as token, _submitting(client) as submit:
        _wait_for_worker(client, scheduler)
        place = Place(scheduler, os.getcwd(), token, code())
        _check_workers(client, place)
        most = max(len(_threads(client)), workers)  # a cluster may grow
        check = partial(_wait_for_worker, client, scheduler)
        try:
            yield Engine(partial(submit, place.do), most, (KilledWorker,), check)
        except (CancelledError, CommClosedError) as error:
            raise InputError(
                f"compute.scheduler: the Dask scheduler at {scheduler} was lost; start it and workers again"
            ) from error


class Place(NamedTuple):
    """The project folder and the code, as they are where the stage runs."""

    scheduler: str
    folder: str
    token: Path  # a file that is there just now, relative to the folder
    code: str

    def check(self) -> None:
        """Raise InputError on a worker that is elsewhere."""
        if not self.token.exists():
            fault = f"works in {os.getcwd()}, which is not the folder of this project or no shared one"
        elif self.code != code():
            fault = "has loaded other code or has other libraries"
        elif found := environment.obeyed():
            fault = f"has {some(found)} in its environment, which would change what is computed; unset that"
        else:
            return environment.close_settings()
        raise InputError(f"compute.scheduler: a worker of {self.scheduler} {fault}; {_way_out(*self[:2])}")

    def do(self, function: Callable[..., Result], *row: object) -> Result:
        """`function` of the row, on a worker: one that joined later is checked, too."""
        self.check()
        return function(*row)


@cache
def code() -> str:
    """A digest of the library's code and of what it computes with, when this process first asked for it.

    A worker lives longer than a stage: it has loaded the code as it was then, whatever the files hold now.
    """
    files = sorted(fingerprint.LIBRARY.rglob("*.py"))
    return hashes.of([fingerprint.versions(fingerprint.PIXELS), [hashes.sha256(path) for path in files]])


@contextmanager
def _token() -> Iterator[Path]:
    folder = Path(".ftu")
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="here.tmp-") as file:
        yield folder / Path(file.name).name


@contextmanager
def _submitting(client: Client) -> Iterator[Submit]:
    """Tasks travel as bytes that workers open: a scheduler opens what it is given, and has not our code."""
    executor = client.get_executor(pure=False)  # equal rows are tasks of their own

    def opened(task: bytes) -> object:  # a function in a function is sent whole, not by its name
        function, row = pickle.loads(task)
        return function(*row)

    def submit(function: Callable, *row: object) -> Future:
        return executor.submit(opened, cloudpickle.dumps((function, row)))

    try:
        yield submit
    finally:
        executor.shutdown(wait=False)


def _wait_for_worker(client: Client, where: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WITHIN)
    except (TimeoutError, ValueError) as error:
        raise InputError(f"compute.scheduler: the Dask cluster {where} has no worker; start some") from error


def _check_workers(client: Client, place: Place) -> None:
    way_out = _way_out(place.scheduler, place.folder)
    answers = cast(dict, client.run(place.check, on_error="return"))
    for address, answer in answers.items():
        if isinstance(answer, InputError):
            raise answer
        if answer is not None:
            raise InputError(
                f"compute.scheduler: the worker {address} cannot import `ftu` ({answer!r}); {way_out}"
            )
    for address, threads in _threads(client).items():
        if threads > 1:
            raise InputError(
                f"compute.scheduler: the worker {address} has {threads} threads, and images are worked on by "
                f"processes of one; {way_out}"
            )


def _threads(client: Client) -> dict[str, int]:
    return cast(dict, client.nthreads())


def _way_out(scheduler: str, folder: str) -> str:
    start = f"PYTHONPATH=src dask worker {scheduler} --nthreads 1 --nworkers N"
    return f"start the workers anew, in a folder that all machines share: cd {folder} && {start}"
