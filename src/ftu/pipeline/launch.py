"""Several processes for one run: started here on one machine, or by torchrun or `accelerate launch`."""

import os
import sys

from ftu.errors import InputError
from ftu.pipeline.lifetime import end_with_parent


def launch(processes: int) -> None:
    """Return in each of `processes` processes; torchrun starts them where no launcher has.

    Raises InputError when a launcher started another number of processes than `processes` says.
    """
    if "RANK" in os.environ:
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
