"""Fault injection: whatever hits a run, the next `dvc repro` ends with the dvc.lock of an undisturbed one.

    python tests/faults.py --kills 50 --seed 0 [--kinds kill full ...] [--stages decode train@0 ...]

A pass goes through the pipeline stage by stage (`dvc repro -s STAGE`) on a small data set; each stage is hit,
then finished, and what it wrote is held against the undisturbed run: its entry of dvc.lock, the bytes on the
disk, no temporary, no process left over. The last line counts; the exit status is 1 when something is lost.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from injected import FAULTS, MOUNTING
from undisturbed import STAGES, NotSurvivedError, Undisturbed, project_at, run_undisturbed, stages_of, up_to

MOST_PASSES = 20  # of kills: some come too late, when the stage has ended


class Fault(NamedTuple):
    """One that was injected."""

    kind: str
    stage: str
    words: str  # what was done
    problem: str  # why it did not survive; empty when it did


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50, help="how many SIGKILLs at random moments")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    settings = parser.parse_args(arguments)
    kinds = settings.kinds
    if MOUNTING & set(kinds) and "FAULTS_NAMESPACE" not in os.environ:
        if may_mount():
            in_own_namespace(arguments)
        print(f"skipped, since this machine lets nobody mount a disk: {', '.join(MOUNTING & set(kinds))}")
        kinds = [kind for kind in kinds if kind not in MOUNTING]
    faults = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for fault in inject(Path(folder), kinds, settings.stages, settings.kills, settings.seed):
            faults.append(fault)
            print(f"{fault.kind:13} {fault.stage:10} {fault.words}", flush=True)
            if fault.problem:
                print(f"  NOT SURVIVED: {fault.problem}", flush=True)
    return report(faults, settings.stages)


def may_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return not subprocess.run(command, check=False, capture_output=True).returncode


def in_own_namespace(arguments: Sequence[str]) -> None:
    """Go on where mounts are seen by nobody else."""
    os.environ["FAULTS_NAMESPACE"] = "own"
    os.execvp("unshare", ["unshare", "-rm", sys.executable, __file__, *arguments])


def inject(
    folder: Path, kinds: Sequence[str], stages: Sequence[str], kills: int, seed: int
) -> Iterator[Fault]:
    """One pass of each kind over the stages; of kills, over those with fewest, until there are enough."""
    undisturbed = run_undisturbed(folder, stages)
    for kind in kinds:
        seeded, hits = random.Random(f"{seed} {kind}"), Counter[str]()
        for number in range(MOST_PASSES if kind == "kill" else 1):
            due = kills - hits.total() if kind == "kill" else len(stages)
            wanted = sorted(stages, key=hits.__getitem__)[:due]
            if wanted:
                for fault in one_pass(kind, folder / f"{kind}-{number}", undisturbed, wanted, seeded):
                    hits[fault.stage] += 1
                    yield fault


def one_pass(
    kind: str, place: Path, undisturbed: Undisturbed, stages: Sequence[str], seeded: random.Random
) -> Iterator[Fault]:
    """Hit each of `stages` once; a fault that missed yields nothing, and one that is not survived ends it."""
    with project_at(place, undisturbed, seeded, small=kind == "full") as project:
        for stage in up_to(stages):
            words, problem = "", ""
            try:
                words = FAULTS[kind](project, stage) if stage in stages else ""
                project.finish(stage)
            except (NotSurvivedError, AssertionError) as broken:
                problem = str(broken) or "no reason"
            if words or problem:
                yield Fault(kind, stage, words, problem)
            if problem:
                return
        if stages_of(project.folder) != {name: undisturbed.lock[name] for name in up_to(stages)}:
            yield Fault(kind, stages[-1], "", "dvc.lock differs at the end of the pass")


def report(faults: Sequence[Fault], stages: Sequence[str]) -> int:
    """A table of kinds by stages, and the counts; the exit status."""
    counts = Counter((fault.kind, fault.stage) for fault in faults)
    print("\n| kind | " + " | ".join(stages) + " |\n|---|" + "--:|" * len(stages))
    for kind in dict.fromkeys(fault.kind for fault in faults):
        print(f"| {kind} | " + " | ".join(str(counts[kind, stage] or "") for stage in stages) + " |")
    lost = [fault for fault in faults if fault.problem]
    for fault in lost:
        print(f"not survived: {fault.kind} in {fault.stage}: {fault.words}")
    print(f"\nfaults: {len(faults)} injected, {len(faults) - len(lost)} survived")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
