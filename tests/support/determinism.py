"""`make determinism`: the committed pipeline in two clones, on one and on two workers, to one dvc.lock.

It takes what is committed and the parameters as they are committed, and compares with the committed dvc.lock
too, so that a machine can be held against the one on which that was made.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from imports import ROOT
from project import run, set_params


def main() -> None:
    """Print what was compared; status 1, and the outputs that differ, when the two clones' dvc.lock do."""
    with TemporaryDirectory() as scratch:
        one, two = (lock_of(Path(scratch) / str(workers), workers) for workers in (1, 2))
    print("dvc.lock of 1 and of 2 workers:", "identical" if one == two else differences(one, two))
    print("these and the committed outputs:", differences(one, (ROOT / "dvc.lock").read_text()))
    sys.exit(one != two)


def lock_of(folder: Path, workers: int) -> str:
    """The dvc.lock of a clone in `folder`, whose cache is empty, after a run with so many workers."""
    run(ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    set_params(folder, {"compute": {"workers": workers}})
    run(folder, "dvc", "repro")
    return (folder / "dvc.lock").read_text()


def differences(ours: str, theirs: str) -> str:
    """The outputs that two dvc.lock tell apart, in words."""
    one, two = outputs(ours), outputs(theirs)
    odd = sorted(path for path in one | two if one.get(path) != two.get(path))
    return f"{len(odd)} of {len(one)} differ: {', '.join(odd)}" if odd else f"all {len(one)} are identical"


def outputs(lock: str) -> dict[str, str]:
    """Every output that a dvc.lock names, with its hash."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


if __name__ == "__main__":
    main()
