"""A training that was stopped goes on after its last whole epoch, and ends as one that never stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from imports import ROOT
from project import commit, copy_repository, run, set_params
from unfinished import WITHIN, states, wait_for_epochs, whole_epochs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

SWITCH, EPOCHS = 8, 20
OUTPUTS = ("weights.safetensors", "model.json", "history.csv", "metrics.json")
TRAIN = {
    "model": {
        "family": "encoder_decoder",
        "encoder": "tu-mobilenetv3_small_050",
        "decoder": "daformer",
        "width": 16,
        "fuse": "conv1x1",
        "drop_path": 0.0,
    },
    "epochs": EPOCHS,
    "switch_epoch": SWITCH,
    "aux_loss": "switched",
    "restart_at_switch": True,
    "ema": 0.9,
    "clip": 1.0,
    "checkpoint": "best_after_switch",
    "workers": 1,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A copy of the project, run up to the folds."""
    folder = tmp_path_factory.mktemp("stopped") / "ftu"
    folder.mkdir()
    copy_repository(folder)
    changes = {"sample": {"train": 10, "test": 2}, "resize": {"side": 64}, "split": {"count": 2, "run": [0]}}
    set_params(folder, changes | {"train": TRAIN})
    commit(folder)
    run(folder, "dvc", "repro", "split", "normalize")
    return folder


def copied(prepared: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-r", f"{prepared}/.", folder], check=True)
    return folder


def command(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """A command in a process group of its own, the environment activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        words, cwd=cwd, env=os.environ | {"PATH": path, "PYTHONPATH": "src"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def train(folder: Path) -> subprocess.Popen[str]:
    return command(sys.executable, "stages/train.py", "--fold", "0", cwd=folder)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    output = process.communicate(timeout=WITHIN)[0]
    assert process.returncode == status, output
    return output


def kill_after(epochs: int, process: subprocess.Popen[str], folder: Path) -> Path:
    """Kill a command and all that runs under it at once, as when the power fails; the state that is left."""
    wait_for_epochs(folder, epochs, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WITHIN)
    (state,) = states(folder)
    return state


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "models/fold_0" / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory) -> Path:
    folder = copied(prepared, tmp_path_factory.mktemp("uninterrupted"))
    finish(command("dvc", "repro", "train", cwd=folder))
    return folder


def test_a_finished_run_leaves_no_state(uninterrupted):
    assert list((uninterrupted / ".ftu/training").iterdir()) == []


@pytest.mark.parametrize("epochs", [SWITCH - 3, SWITCH, SWITCH + 3])
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda stop: stop.name)
def test_a_killed_stage_goes_on_after_its_last_whole_epoch(prepared, uninterrupted, tmp_path, epochs, stop):
    if stop != signal.SIGKILL and epochs != SWITCH:
        pytest.skip("how it is stopped and when are independent")
    folder = copied(prepared, tmp_path)
    process = train(folder)
    wait_for_epochs(folder, epochs, process)
    process.send_signal(stop)
    process.communicate(timeout=WITHIN)
    assert process.returncode != 0
    assert epochs <= whole_epochs(folder) < EPOCHS
    finish(train(folder))
    assert results(folder) == results(uninterrupted)
    assert states(folder) == []


def test_dvc_repro_ends_with_the_lock_of_a_run_that_never_stopped(prepared, uninterrupted, tmp_path):
    folder = copied(prepared, tmp_path)
    kill_after(SWITCH, command("dvc", "repro", "train", cwd=folder), folder)
    finish(command("dvc", "repro", "train", cwd=folder))
    assert (folder / "dvc.lock").read_bytes() == (uninterrupted / "dvc.lock").read_bytes()
    assert results(folder) == results(uninterrupted)


def test_an_experiment_that_dvc_runs_in_a_copy_goes_on_in_the_next_copy(prepared, uninterrupted, tmp_path):
    folder = copied(prepared, tmp_path)
    kill_after(SWITCH, command("dvc", "exp", "run", "--temp", "-n", "first", "train", cwd=folder), folder)
    finish(command("dvc", "exp", "run", "--temp", "-n", "second", "train", cwd=folder))
    assert states(folder) == []
    refs = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (second,) = [ref for ref in refs if ref.endswith("/second")]
    both = run(folder, "git", "show", f"{second}:dvc.lock"), (uninterrupted / "dvc.lock").read_text()
    second_lock, first_lock = (YAML(typ="safe").load(text) for text in both)
    assert second_lock == first_lock  # stages may stand in another order


def test_another_parameter_starts_another_run_and_leaves_the_first_to_go_on(
    prepared, uninterrupted, tmp_path
):
    folder = copied(prepared, tmp_path)
    first = kill_after(1, train(folder), folder)
    set_params(folder, {"train": {"lr": 1e-3, "epochs": 12}})
    finish(train(folder))
    assert states(folder) == [first]
    assert results(folder)["history.csv"].count(b"\n") == 1 + 12
    set_params(folder, {"train": {"lr": 2e-3, "epochs": EPOCHS}})
    finish(train(folder))
    assert results(folder) == results(uninterrupted)


def test_a_damaged_state_is_named_and_set_aside(prepared, uninterrupted, tmp_path):
    folder = copied(prepared, tmp_path)
    state = kill_after(1, train(folder), folder)
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert f"{state.relative_to(folder)} is damaged and was set aside" in finish(train(folder))
    assert state.with_suffix(".damaged").read_bytes() == content
    assert results(folder) == results(uninterrupted)


def test_one_run_is_not_trained_twice_at_once(prepared, tmp_path):
    folder = copied(prepared, tmp_path)
    process = train(folder)
    wait_for_epochs(folder, 1, process)
    process.send_signal(signal.SIGSTOP)
    assert "another process trains this very run" in finish(train(folder), status=2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WITHIN)


FULL_DISK = """
set -u
mount -t tmpfs -o size=32m tmpfs .ftu || exit 99
python stages/train.py --fold 0 &
until [ -n "$(ls .ftu/training/*.state 2>/dev/null)" ]; do sleep 0.05; done
dd if=/dev/zero of=.ftu/ballast bs=1M 2>/dev/null
wait $!
echo "status $?"
ls models .ftu/training
rm .ftu/ballast
python stages/train.py --fold 0
echo "status $?"
ls -A .ftu/training
"""


def test_a_full_disk_stops_the_stage_in_words_and_loses_nothing(prepared, uninterrupted, tmp_path):
    if subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    folder = copied(prepared, tmp_path / "ftu")
    (folder / ".ftu").mkdir(exist_ok=True)
    output = finish(command("unshare", "-rm", "bash", "-c", FULL_DISK, cwd=folder))
    first, between, last = output.split("status ")
    assert "train: error: .ftu/training/fold_0-" in first
    assert "the disk is full; make room and run `dvc repro` again" in first
    assert between.startswith("2\n")
    assert ".state" in between
    assert "tmp-" not in between
    assert "fold_0\n" not in between
    assert last == "0\n", output
    assert results(folder) == results(uninterrupted)


def test_the_repository_ignores_states():
    assert subprocess.run(["git", "check-ignore", "-q", ".ftu/training/x.state"], cwd=ROOT).returncode == 0
