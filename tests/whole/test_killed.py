"""A killed stage leaves older outputs as they were and nothing by half, and it can run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imports import ROOT
from waiting import group_alive, wait_until

pytestmark = pytest.mark.slow

WITHIN = 120  # s, for a temporary to appear, and for a process that was told to end
# The script, its output, a file of that, and what shows that it is being written: train does so in a moment.
STAGES = {
    "normalize": ("normalize.py", Path("data/normalized"), "qc.csv", "*.tmp-*/train/*.png"),
    "train": ("train.py --fold 0", Path("models/fold_0"), "model.json", "*.tmp-*"),
}


@pytest.fixture(scope="module")
def prepared(new_project):
    """A project before normalize and, of normalised images that are not normalised, before train."""
    project = new_project(
        sample={"train": 30, "test": 8},
        compute={"workers": 2},
        resize={"side": 256},
        split={"count": 2, "run": [0]},
        train={"epochs": 2, "switch_epoch": 1, "batch_size": 15},
    )
    return project.prepared("sample", "decode", "resize", "split")


@pytest.fixture
def folder(prepared, tmp_path) -> Path:
    """A copy with an older output of each stage."""
    subprocess.run(["cp", "-r", f"{prepared}/.", tmp_path], check=True)
    for _, output, name, _ in STAGES.values():
        (tmp_path / output).mkdir(parents=True)
        (tmp_path / output / name).write_text("older")
    normalized = tmp_path / "data/normalized"
    (normalized / "train").symlink_to(tmp_path / "data/resized/train")
    (normalized / "histogram.json").write_text('{"levels": []}')
    return tmp_path


@contextmanager
def started(folder: Path, script: str) -> Iterator[subprocess.Popen]:
    """A stage script in a process group of its own, all of which is ended on the way out."""
    process = subprocess.Popen(
        [sys.executable, *f"{ROOT}/stages/{script}".split(" ")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if group_alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def temporaries(output: Path) -> list[Path]:
    return list(output.parent.glob("*.tmp-*"))


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=lambda stop: stop.name)
@pytest.mark.parametrize(("script", "place", "name", "sign"), STAGES.values(), ids=STAGES)
def test_a_killed_stage_leaves_what_was_there_and_can_run_again(folder, script, place, name, sign, stop):
    output = folder / place
    older = contents(output)
    with started(folder, script) as process:
        wait_until(lambda: any(output.parent.glob(sign)) or process.poll() is not None, WITHIN)
        process.send_signal(stop)
        status = process.wait(WITHIN)
        assert status == (128 + stop if stop == signal.SIGTERM else -stop)  # it had not ended by itself
        assert contents(output) == older
        assert bool(temporaries(output)) == (stop == signal.SIGKILL)
        with started(folder, script) as again:
            assert again.wait(WITHIN) == 0
        assert temporaries(output) == []
        assert contents(output)[name] != b"older"
        # no worker outlives the one that it worked for
        wait_until(lambda: not group_alive(process.pid), WITHIN)
