"""What a step brings: paired differences of out-of-fold Dice between runs over the same images.

PYTHONPATH=src python benchmarks/gains.py benchmarks/ftu-real/dice/fixed-d4.csv benchmarks/ftu-real/dice/*.csv

Each file is a run's reports/dice.csv; the first is what the others are compared with. Intervals are
percentile bootstraps (95 %) over images, or over groups where the first file has a column `group`: they say
what other images, or patients, of this kind would give, and nothing of another seed of training.
"""

import argparse
from pathlib import Path

import pandas as pd

from ftu_tools.studies.experiments import dice_table
from ftu_tools.studies.statistics import Interval, interval_over_images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    words = parser.parse_args()
    first = read(words.first)
    baseline, over = first["dice"], "groups" if "group" in first else "images"
    print(f"| run | Dice | over {over} | minus {words.first.stem} | over {over} |\n|---|---|---|---|---|")
    for path in [words.first, *words.others]:
        dice = read(path)["dice"]
        if set(dice.index) != set(baseline.index):
            raise SystemExit(f"{path}: scores other images than {words.first}; give runs over the same folds")
        groups = first["group"][dice.index].tolist() if "group" in first else None
        cells = [path.stem, f"{dice.mean():.4f}", spelled(interval_over_images(dice.to_numpy(), groups))]
        if path != words.first:
            gain = dice - baseline[dice.index]
            interval = interval_over_images(gain.to_numpy(), groups)
            cells += [f"{gain.mean():+.4f}", spelled(interval, sign="+")]
        print("| " + " | ".join(cells) + " |" + " |" * (5 - len(cells)))


def read(path: Path) -> pd.DataFrame:
    """reports/dice.csv by image id."""
    return dice_table(path.read_bytes(), str(path)).set_index("id")


def spelled(interval: Interval, sign: str = "") -> str:
    return f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"


if __name__ == "__main__":
    main()
