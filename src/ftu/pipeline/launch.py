"""Several processes for one run: started here on one machine, or by torchrun or `accelerate launch`."""

import os
import re
import sys
from pathlib import Path

from ftu.errors import InputError, some
from ftu.pipeline.lifetime import end_with_parent
from ftu.pipeline.stage import warn

# What MPI and `accelerate` set, which Accelerate reads, whoever set it and however long ago.
FOREIGN = r"(PMI|OMPI|MV2|ACCELERATE)_\w+|MPI_LOCALN?RANK\w*"
# What torchrun tells each of its processes.
TORCHRUN = r"((LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_\w+)"
LAUNCHER = re.compile(
    r"torchrun|torch\.distributed|accelerate|mpirun|mpiexec|srun|slurmstepd|orted|hydra_pmi"
)


def launch(processes: int) -> None:
    """Return in each of `processes` processes; torchrun starts them where no launcher has.

    What other launchers left in the environment is taken out of it: Accelerate would wait for processes that
    nobody starts. Raises InputError when a launcher started another number of processes than `processes`.
    """
    launched = "RANK" in os.environ and (processes > 1 or _by_launcher())
    left = forget(FOREIGN if launched else f"{FOREIGN}|{TORCHRUN}")
    if left and not launched:
        warn(f"{some(left)}: of another launcher, left out of this training; unset them to be rid of this")
    if launched:
        started = os.environ.get("WORLD_SIZE", "1")
        if started != str(processes):
            raise InputError(
                f"train.processes is {processes}, and the launcher started {started}; make them equal"
            )
        end_with_parent(os.getppid())  # the launcher
    elif processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun says so at length; train.threads decides
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])


def local(processes: int) -> int:
    """How many of the run's processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", processes))


def forget(names: str) -> list[str]:
    """Take the variables whose names match a pattern out of this process's environment; which they were."""
    found = sorted(name for name in os.environ if re.fullmatch(names, name))
    for name in found:
        del os.environ[name]
    return found


def _by_launcher() -> bool:
    """Whether the process that started this one is a launcher; where that cannot be seen, it is none."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return False
    return bool(LAUNCHER.search(words.decode(errors="replace").replace("\0", " ")))
