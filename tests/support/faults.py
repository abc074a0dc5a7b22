"""Fault injection: whatever hits a run, the next `dvc repro` ends with the dvc.lock of an undisturbed one.

    python tests/support/faults.py --kills 50 --seed 0 [--kinds kill full ...] [--stages decode train@0 ...]

A small project is run undisturbed, stage by stage (`dvc repro -s STAGE`). Each fault hits a copy of it as it
was before the stage, which is then finished, and held against the undisturbed run: dvc.lock, the bytes of the
outputs, no temporary, no process left over. The last line counts; the exit status is 1 if something is lost.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from injected import FAULTS, MOUNTING, TIMED
from undisturbed import STAGES, NotSurvivedError, Project, project_at, run_undisturbed

HURRIES = 1, 0.5, 0.1, 0  # of the tries of one fault: some come too late


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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves no process behind
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
    """Each kind in each stage; of kills so many, dealt to the stages in turn."""
    undisturbed = run_undisturbed(folder, stages)
    for kind in kinds:
        seeded = random.Random(f"{seed} {kind}")
        due = islice(cycle(stages), kills) if kind == "kill" else stages
        for number, stage in enumerate(due):
            for hurry in HURRIES if kind in TIMED else [1]:
                place = folder / f"{kind} {number}"
                with project_at(place, stage, undisturbed[stage], seeded, small=kind == "full") as project:
                    project.hurry = hurry
                    fault = one(kind, project)
                if fault:
                    yield fault
                    break


def one(kind: str, project: Project) -> Fault | None:
    """Inject one fault; None when it missed, because there was nothing to hit or the stage was faster."""
    words, stage = "", project.stage
    try:
        words = FAULTS[kind](project)
        project.finish()
    except (NotSurvivedError, AssertionError) as error:
        return Fault(kind, stage, words, str(error))
    return Fault(kind, stage, words, "") if words else None


def report(faults: Sequence[Fault], stages: Sequence[str]) -> int:
    """A table of kinds by stages, and the counts; the exit status."""
    counts = Counter((fault.kind, fault.stage) for fault in faults)
    print("\n| kind | " + " | ".join(stages) + " |\n|---|" + "--:|" * len(stages))
    for kind in dict.fromkeys(fault.kind for fault in faults):
        print(f"| {kind} | " + " | ".join(str(counts[kind, stage] or "") for stage in stages) + " |")
    lost = [fault for fault in faults if fault.problem]
    for fault in lost:
        print(f"not survived: {fault.kind} in {fault.stage}: {fault.words}: {in_a_line(fault.problem)}")
    print(f"\nfaults: {len(faults)} injected, {len(faults) - len(lost)} survived")
    return 1 if lost else 0


def in_a_line(problem: str) -> str:
    """The first of its lines and the last: of a traceback, the error."""
    first, *others = problem.strip().splitlines()
    return " ".join([first, *others[-1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
