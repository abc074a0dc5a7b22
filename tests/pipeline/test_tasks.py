"""Laws of tasks on any executor: they end as in a loop, few at a time, and the dead run again, alone."""

import time
from collections import Counter
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.files.index import ImageRow
from ftu.pipeline.workers.tasks import EACH, Engine, WorkerDied, named, results

FATES = st.lists(
    st.tuples(st.sampled_from(["well", "well", "well", "error", "dies once", "dies"]), st.integers(0, 3)),
    max_size=30,
)


class Work:
    """Tasks that end as their fate says, and a count of those that are at it at the same time."""

    def __init__(self, fates: list[tuple[str, int]]) -> None:
        self.fates, self.tries, self.lock = fates, Counter[int](), Lock()
        self.active, self.beside_a_second_try = 0, 0

    def __call__(self, index: int) -> int:
        fate, milliseconds = self.fates[index]
        with self.lock:
            self.tries[index] += 1
            self.active += 1
            again = self.tries[index] > 1
        time.sleep(milliseconds / 1000)
        with self.lock:
            self.active -= 1
            if again:
                self.beside_a_second_try = max(self.beside_a_second_try, self.active)
        if fate == "error":
            raise ZeroDivisionError(index)
        if fate == "dies" or (fate == "dies once" and not again):
            raise WorkerDied("it was killed")
        return index * index


@given(fates=FATES, workers=st.integers(1, 4))
def test_any_fates_end_as_in_a_loop_that_tries_the_dead_once_more(fates, workers):
    work, found, ended = Work(fates), [], None
    with ThreadPoolExecutor(workers) as executor:
        try:
            for result in results(Engine(executor.submit, workers), work, [(i,) for i in range(len(fates))]):
                found.append(result)
        except (InputError, ZeroDivisionError) as error:
            ended = error
    bad = next((i for i, (fate, _) in enumerate(fates) if fate in ("error", "dies")), None)
    assert found == [index * index for index in range(len(fates) if bad is None else bad)]
    if bad is None:
        assert ended is None
    elif fates[bad][0] == "error":
        assert isinstance(ended, ZeroDivisionError)
        assert ended.args == (bad,)
    else:
        assert isinstance(ended, InputError)
        assert str(ended).startswith(f"{bad}: ")
    assert work.beside_a_second_try == 0
    assert all(tries == 1 or fates[index][0].startswith("dies") for index, tries in work.tries.items())


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_is_an_engine(executor):
    with executor(2) as pool:
        assert list(results(Engine(pool.submit, 2), abs, [(-1,), (2,), (0,)])) == [1, 2, 0]


class Watched:
    """An executor that counts what was submitted and is not done."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.executor, self.open, self.most, self.submitted = executor, 0, 0, 0

    def submit(self, function, *row) -> Future:
        self.open, self.submitted = self.open + 1, self.submitted + 1
        self.most = max(self.most, self.open)
        future = self.executor.submit(function, *row)
        future.add_done_callback(lambda _: setattr(self, "open", self.open - 1))
        return future


def test_a_slow_item_holds_up_nothing_but_its_place():
    """The first waits for the last: a window of results in order would wait forever."""
    last = Future[int]()

    def work(index: int) -> int:
        if index == 99:
            last.set_result(0)
        return last.result(60) if index == 0 else index

    with ThreadPoolExecutor(2) as executor:
        watched = Watched(executor)
        rows = [(index,) for index in range(100)]
        assert list(results(Engine(watched.submit, 2), work, rows)) == list(range(100))
        assert watched.most <= 2 * EACH


def test_nothing_starts_after_a_failure():
    with ThreadPoolExecutor(2) as executor:
        watched = Watched(executor)
        with pytest.raises(ZeroDivisionError):
            list(results(Engine(watched.submit, 2), lambda i: 1 // i, [(i,) for i in range(1000)]))
        assert watched.submitted <= 2 * EACH


def test_an_engine_without_workers_is_asked(monkeypatch):
    def nobody() -> None:
        raise InputError("nobody is left")

    monkeypatch.setattr("ftu.pipeline.workers.tasks.PATIENCE", 0.01)
    with pytest.raises(InputError, match="nobody is left"):
        list(results(Engine(lambda *_: Future(), 1, (BrokenExecutor,), nobody), abs, [(1,)]))


def test_an_item_is_called_by_its_id_or_its_first_column():
    row = ImageRow("10044", "train", "prostate", "HPA", 3000, 3000, 0.4)
    assert named((row, Path("x.png"))) == "10044"
    assert named((Path("data/a.png"), 3)) == "data/a.png"
    assert len(named(("word " * 100,))) <= 120
