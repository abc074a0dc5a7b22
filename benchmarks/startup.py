"""What it takes to start each stage: the processor's seconds to import its script, in a process of its own.

PYTHONPATH=src python benchmarks/startup.py

Beside them Python alone, and the libraries that a stage cannot do without. Those that learn or predict import
torch; all others must not.
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

REPEATS = 5
STAGES = Path(__file__).parents[1] / "stages"
LIBRARIES = ("sys", "numpy", "numpy, cv2, pandas, rasterio, pydantic", "torch")


def main() -> None:
    orders = {f"import {names}": f"import {names}" for names in LIBRARIES}
    orders |= {
        f"stage {path.stem}": f"import sys; sys.path.insert(0, {str(STAGES)!r}); import {path.stem}"
        for path in sorted(STAGES.glob("*.py"))
    }
    for order in orders.values():
        seconds(order)  # bytecode is written, files are in the page cache
    rounds = [{name: seconds(order) for name, order in orders.items()} for _ in range(REPEATS)]
    print(f"| | s of a core, median of {REPEATS} |\n|---|---|")
    for name in orders:
        print(f"| {name} | {statistics.median(one[name] for one in rounds):.2f} |")


def seconds(order: str) -> float:
    """Of the processor, user and system, that a fresh interpreter takes for an order."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", order], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
