"""What dvc or a launcher started ends with it, however that goes; a stage started by hand is not watched."""

import signal
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from commands import Command, wait_for
from imports import ROOT

STAGE = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from ftu.pipeline.stage import run
    from ftu.pipeline.atomic import whole_file

    def main():
        with whole_file(Path("out.csv")) as path:
            path.touch()
            time.sleep(600)

    run(main)
""")
SCRIPT = [sys.executable, "stages/slow.py"]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/slow.py").write_text(STAGE)
    return tmp_path


def launcher(folder: Path, command: list[str], stage: str = "DVC_STAGE", **exported: str) -> Command:
    """Does as DVC: gives the stage its name in the environment, and starts it."""
    variables = {"PYTHONPATH": str(ROOT / "src"), stage: "slow"}
    code = f"import os, subprocess; subprocess.run({command}, env=os.environ | {variables})"
    (folder / "dvc").write_text(code)
    return Command(folder, sys.executable, "dvc", **exported)


def writing(folder: Path) -> list[Path]:
    return list(folder.glob("out.tmp-*"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
@pytest.mark.parametrize("command", [SCRIPT, ["sh", "-c", " ".join(SCRIPT) + "; true"]], ids=["", "shell"])
def test_a_stage_ends_with_dvc_and_removes_its_temporaries(folder, how, command):
    with launcher(folder, command) as dvc:
        wait_for(lambda: writing(folder))
        dvc.process.send_signal(how)
        wait_for(lambda: not dvc.processes())
        assert writing(folder) == []
        assert "dvc has ended, and so does the stage that it started" in dvc.end()[1]


@pytest.mark.parametrize("exported", ["slow", "another"])
def test_a_stages_name_in_the_users_own_environment_does_not_mislead(folder, exported):
    with launcher(folder, SCRIPT, DVC_STAGE=exported) as dvc:
        wait_for(lambda: writing(folder))
        stage = dvc.stage()
        assert stage
        with pytest.raises(psutil.TimeoutExpired):
            stage.wait(1)
        dvc.process.kill()
        wait_for(lambda: not dvc.processes())


@pytest.mark.parametrize(
    "name", ["os.getppid = lambda: 0", "Path.read_bytes = refuse", "os.pidfd_open = refuse"]
)
def test_in_a_sandbox_that_hides_other_processes_nothing_is_watched(folder, name):
    refusing = "from pathlib import Path\ndef refuse(path):\n    raise PermissionError(path)\n"
    ended = STAGE.replace("time.sleep(600)", "time.sleep(1)")
    (folder / "stages/slow.py").write_text(f"import os\n{refusing}{name}\n{ended}")
    with launcher(folder, ["sh", "-c", " ".join(SCRIPT) + "; exit $?"]) as dvc:
        assert dvc.end() == (0, "")


def test_a_stage_whose_dvc_is_gone_before_it_looks_ends_at_once(folder):
    late = "touch begun; while [ $PPID = $(ps -o ppid= -p $$) ]; do sleep 0.05; done; " + " ".join(SCRIPT)
    with launcher(folder, ["bash", "-c", late]) as dvc:
        wait_for((folder / "begun").exists)  # before, the shell does not know yet whose child it is
        dvc.process.kill()
        wait_for(lambda: not dvc.processes())
        assert writing(folder) == []
        assert "dvc has ended" in dvc.end()[1]


def test_a_stage_that_was_started_by_hand_goes_on(folder):
    with launcher(folder, SCRIPT, stage="ANOTHER_VARIABLE") as parent:
        wait_for(lambda: writing(folder))
        stage = parent.stage()
        assert stage
        parent.process.kill()
        parent.process.wait()
        with pytest.raises(psutil.TimeoutExpired):
            stage.wait(2)


def test_a_stage_that_does_not_stop_in_time_is_ended(folder):
    deaf = "import signal; import ftu.pipeline.lifetime; ftu.pipeline.lifetime.GRACE = 0.5\n"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); Path('deaf').touch(); time.sleep(600)"
    (folder / "stages/slow.py").write_text(deaf + STAGE.replace("time.sleep(600)", ignore))
    with launcher(folder, SCRIPT) as dvc:
        wait_for((folder / "deaf").exists)
        dvc.process.kill()
        wait_for(lambda: not dvc.processes())


FOLLOWER = textwrap.dedent("""
    import os, time
    from pathlib import Path
    from ftu.pipeline.lifetime import end_with_parent

    def refuse(process):
        raise PermissionError(process)

    parent = os.getppid()
    {}
    end_with_parent(parent)
    Path("out.tmp-0").touch()
    time.sleep(600)
""")
LATE = 'Path("out.tmp-0").touch()\nwhile os.getppid() == parent:\n    time.sleep(0.02)'


@pytest.mark.parametrize("first", ["", "os.pidfd_open = refuse", LATE], ids=["", "no pidfd", "late"])
def test_a_process_ends_with_its_parent(folder, first):
    with launcher(folder, [sys.executable, "-c", FOLLOWER.format(first)], stage="NONE") as parent:
        wait_for(lambda: writing(folder))
        child = next(process for process in parent.processes() if process.pid != parent.process.pid)
        with pytest.raises(psutil.TimeoutExpired):
            child.wait(1)
        parent.process.kill()
        child.wait(60)


DEAF = textwrap.dedent("""
    import ctypes, os, subprocess, sys, time
    from pathlib import Path
    from ftu.pipeline.stage import run

    def in_c():
        lock = ctypes.create_string_buffer(256)
        for _ in range(2):  # the second time waits for ever, and no signal ends that
            ctypes.CDLL(None).pthread_mutex_lock(lock)

    def in_cleanup():
        try:
            time.sleep(600)
        finally:
            time.sleep(600)

    def of_a_child():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), 15)
            time.sleep(1)
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(6)

    def main():
        if {} != of_a_child:
            subprocess.Popen(["sleep", "600"])
        Path("out.tmp-0").touch()
        {}()

    run(main)
""")


@pytest.mark.parametrize("how", ["in_c", "in_cleanup"])
def test_a_stage_that_is_told_to_stop_ends_within_five_seconds_with_all_that_it_started(folder, how):
    (folder / "stages/slow.py").write_text(DEAF.replace("{}", how))
    with Command(folder, *SCRIPT, PYTHONPATH=str(ROOT / "src")) as stage:
        wait_for(lambda: writing(folder))
        time.sleep(0.5)
        start = time.monotonic()
        stage.process.terminate()
        assert stage.process.wait() == 143
        assert time.monotonic() - start < 5 + 5  # of a machine that is busy
        wait_for(lambda: not stage.processes())


def test_a_signal_to_a_forked_child_is_none_to_the_stage(folder):
    (folder / "stages/slow.py").write_text(DEAF.replace("{}", "of_a_child"))
    with Command(folder, *SCRIPT, PYTHONPATH=str(ROOT / "src")) as stage:
        assert stage.end()[0] == 0
