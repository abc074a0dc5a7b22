"""What an executor costs to start, and for each item.

PYTHONPATH=src python benchmarks/executors.py

CPU seconds of all processes, in a process of its own for each executor, for 1,000 items that do nothing; the
start is what it costs to do ten. The peer is concurrent.futures' ProcessPoolExecutor, which loses all that is
in flight when a worker dies.
"""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

from ftu.pipeline.workers.pool import Pool

ITEMS, FEW, REPEATS = 1000, 10, 3


def nothing(item: int) -> int:
    return item


def run(executor: str, items: int) -> None:
    """Do `items` items of nothing by two workers."""
    if executor == "peer":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(nothing, range(items)))
    else:
        Pool(executor, 2, "").each(nothing, range(items), doing="nothing")


def cpu_seconds(executor: str, items: int) -> float:
    """Of a new process that does `items` items, and of its workers."""
    before = os.times()
    subprocess.run([sys.executable, __file__, executor, str(items)], check=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main() -> None:
    names, sizes = ("process", "peer", "dask"), (FEW, ITEMS)
    turns = [{name: [cpu_seconds(name, size) for size in sizes] for name in names} for _ in range(REPEATS)]
    least = {name: [min(turn[name][k] for turn in turns) for k in (0, 1)] for name in names}
    each = {name: (many - few) / (ITEMS - FEW) * 1e3 for name, (few, many) in least.items()}
    print(f"CPU time of {ITEMS} items that do nothing, two workers, least of {REPEATS}")
    for name in names:
        ratio = each[name] / each["process"]
        print(f"{name:8s} start {least[name][0]:5.2f} s, an item {each[name]:6.3f} ms: {ratio:5.1f} x ours")


if __name__ == "__main__":
    if sys.argv[1:]:
        run(sys.argv[1], int(sys.argv[2]))
    else:
        main()
