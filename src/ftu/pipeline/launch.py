"""Several processes for one run: started here on one machine, or by torchrun or `accelerate launch`."""

import os
import sys
import time
from threading import Thread

from ftu.errors import InputError


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
        _end_with_parent()
    elif processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun says so at length; train.threads decides
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])


def local(processes: int) -> int:
    """How many of the run's processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", processes))


def _end_with_parent() -> None:
    """End this process when the launcher is killed: else it would train on, beside the run that follows."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
