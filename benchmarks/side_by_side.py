"""Time several implementations side by side, so that a busy machine slows them all alike."""

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec


def medians(candidates: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds per call of each candidate, run in turn (A B C A B C ...) after one warm-up each."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def installed(packages: dict[str, str]) -> str:
    """The names, with a space between, of those peers whose package is there."""
    return " ".join(name for name, package in packages.items() if find_spec(package))
