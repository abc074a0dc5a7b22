"""One function over many items: the same results in the same order, in one process or in two."""

import os

import pytest

from ftu.workers import Pool


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def reciprocal(number: int) -> float:
    return 1 / number


def test_results_keep_the_order_of_the_items_in_any_number_of_processes():
    items = [7, 3, 3, 0, *range(100, 80, -1)]
    alone = Pool("process", 1, "").each(squared, items, doing="square")
    together = Pool("process", 2, "").each(squared, items, doing="square")
    assert [result for result, _ in alone] == [item * item for item in items]
    assert [result for result, _ in together] == [item * item for item in items]
    assert {process for _, process in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, process in together}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(ZeroDivisionError):
        Pool("process", workers, "").each(reciprocal, [1, 2, 0, 4], doing="divide")


def test_one_process_stops_at_the_first_error():
    seen = []
    with pytest.raises(ZeroDivisionError):
        Pool("process", 1, "").each(
            lambda number: seen.append(number) or 1 / number, [1, 0, 2], doing="divide"
        )
    assert seen == [1, 0]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_to_do_is_done(workers):
    assert Pool("process", workers, "").each(squared, [], doing="nothing") == []
