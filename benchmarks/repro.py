"""A `dvc repro` with nothing to do, against `dvc status`, which asks the same question and runs nothing.

python benchmarks/repro.py      (after one whole `dvc repro`)
"""

import subprocess

from side_by_side import medians

REPEATS = 3


def dvc(command: str) -> str:
    return subprocess.run(["dvc", command], check=True, capture_output=True, encoding="utf-8").stdout


def main() -> None:
    if "Running stage" in dvc("repro"):
        raise SystemExit("the pipeline had something to do: run `dvc repro` first")
    seconds = medians({name: lambda name=name: dvc(name) for name in ("repro", "status")}, REPEATS)
    repro, status = seconds["repro"], seconds["status"]
    print(f"no-op dvc repro {repro:.2f} s, dvc status {status:.2f} s, ratio {repro / status:.2f}")


if __name__ == "__main__":
    main()
