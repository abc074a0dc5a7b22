"""One function over many items: the same results, in order, in any number of processes; none is lost."""

import os
import signal
import subprocess
import sys

import pytest

import working
from ftu.errors import InputError
from ftu.pipeline.workers.pool import Pool
from ftu.pipeline.workers.processes import Worker
from ftu.pipeline.workers.tasks import WorkerDied
from imports import ROOT
from waiting import group_alive, wait_until

KILLED = "its process was ended by SIGKILL"
WITHIN = 120  # s, for processes to start and to end


def processes(workers: int) -> Pool:
    return Pool("process", workers, "")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_keep_the_order_of_the_items_in_any_number_of_processes(workers):
    items = [7, 3, 3, 0, *range(100, 80, -1)]
    found = processes(workers).each(working.squared, items, doing="square")
    assert [result for result, _ in found] == [item * item for item in items]
    assert (os.getpid() in {process for _, process in found}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_in_order_reaches_the_caller_unchanged(workers):
    with pytest.raises(ZeroDivisionError, match=r"^division by zero"):
        processes(workers).each(working.reciprocal, [1, 2, 0, 4], doing="divide")
    with pytest.raises(InputError, match=r"^5\.png: is") as caught:
        processes(workers).each(working.inspected, [f"{index}.png" for index in range(20)], doing="inspect")
    assert str(caught.value) == "5.png: is damaged; mend it"


def test_one_process_stops_at_the_first_error():
    seen = []
    with pytest.raises(ZeroDivisionError):
        processes(1).each(lambda number: seen.append(number) or 1 / number, [1, 0, 2], doing="divide")
    assert seen == [1, 0]


def test_an_error_that_cannot_be_sent_is_told_in_words():
    with pytest.raises(RuntimeError, match=r"^UnportableError: this and that"):
        processes(2).each(working.unportable, [1, 2], doing="fail")


@pytest.mark.parametrize("executor", ["process", "dask"])
def test_nothing_to_do_starts_nothing(executor):
    assert Pool(executor, 2, "").each(working.squared, [], doing="nothing") == []


def test_columns_of_different_lengths_are_no_rows():
    with pytest.raises(ValueError, match="shorter"):
        processes(2).each(max, [1, 2], [1], doing="compare")


def test_a_result_may_be_large():
    sizes = [3, 5_000_000, 0]
    assert [len(found) for found in processes(2).each(working.large, sizes, doing="make")] == sizes


def test_an_item_whose_worker_dies_once_is_not_lost(tmp_path, capfd):
    found = processes(2).each(
        working.killed_at, [tmp_path] * 12, range(12), [4] * 12, [1] * 12, doing="square"
    )
    assert found == [number * number for number in range(12)]
    assert capfd.readouterr().err == f"warning: {tmp_path}: {KILLED}; it runs again, alone\n"


def test_an_item_whose_worker_dies_again_is_named(tmp_path):
    with pytest.raises(
        InputError, match=f"^{tmp_path}: its worker died, and .* beside it: {KILLED}; .*memory"
    ):
        processes(2).each(working.killed_at, [tmp_path] * 12, range(12), [4] * 12, [9] * 12, doing="square")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_that_dies_between_two_tasks_is_replaced():
    worker = Worker()
    first = worker.do(os.getpid)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(WorkerDied, match=KILLED):
        worker.do(os.getpid)
    second = worker.do(os.getpid)
    assert second not in (first, os.getpid())
    worker.end()
    assert not alive(second)


def test_a_signal_without_a_name_ends_a_worker_as_any_other():
    worker = Worker()
    number = signal.SIGRTMIN + 2
    os.kill(worker.do(os.getpid), number)
    with pytest.raises(WorkerDied, match=f"its process was ended by signal {number}"):
        worker.do(os.getpid)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["process", "dask"])
@pytest.mark.parametrize(
    ("stop", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGKILL, os.kill)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_no_worker_outlives_a_stage_that_is_stopped(tmp_path, interruptible, executor, stop, send):
    """Ctrl-C in a terminal reaches the whole group, the others the stage alone."""
    del interruptible
    stage = subprocess.Popen(
        [sys.executable, ROOT / "tests/support" / "working.py", executor, tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2 or stage.poll() is not None, WITHIN)
        send(stage.pid, stop)
        _, told = stage.communicate(timeout=WITHIN)
        assert stage.returncode == (128 + stop if stop == signal.SIGTERM else -stop)
        wait_until(lambda: not group_alive(stage.pid), WITHIN)
    finally:
        if group_alive(stage.pid):
            os.killpg(stage.pid, signal.SIGKILL)
    assert told.count("Traceback") == (stop == signal.SIGINT)  # the stage's own
    assert len(list(tmp_path.iterdir())) == 2  # nothing was started on the way out


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
