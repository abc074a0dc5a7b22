"""Several processes train as one does: the same losses, across the switch, and none is left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toy
from ftu.errors import InputError
from ftu.pipeline import launch
from ftu.pipeline.params import load_params
from imports import ROOT
from unfinished import WITHIN, wait_for_epochs, whole_epochs

EPOCHS = 20
SCRIPT = ROOT / "tests/support/batch_free.py"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def trained(folder: Path, count: int, accumulate: int) -> dict[str, Any]:
    toy.write_squares(folder)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(SCRIPT), str(folder), str(accumulate)],
        env=environment(), capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, Any]:
    return trained(tmp_path_factory.mktemp("alone"), 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "accumulate"), [(2, 1), (2, 2), (1, 4)])
def test_processes_and_rounds_share_a_step_without_changing_it(alone, tmp_path, count, accumulate):
    shared = trained(tmp_path, count, accumulate)
    assert (alone["processes"], shared["processes"]) == (1, count)
    assert [row["active_block"] for row in shared["rows"]] == [2, 2, 1, 1]
    for row, expected in zip(shared["rows"], alone["rows"], strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(shared["heads"][0], alone["heads"][0], atol=1e-4)
    assert shared["heads"][2:] == alone["heads"][2:]  # no term, no gradient, no decay


@pytest.fixture
def folder(new_project) -> Path:
    """A project before train, for two processes and a switched loss."""
    project = new_project(
        sample={"train": 10, "test": 2},
        stain={"backend": "none"},
        resize={"side": 64},
        split={"count": 2, "run": [0]},
        train={
            "model": {
                "family": "encoder_decoder",
                "encoder": "tu-mobilenetv3_small_050", "decoder": "daformer", "width": 16, "fuse": "aspp",
                "drop_path": 0.0,
            },
            "epochs": EPOCHS, "switch_epoch": EPOCHS // 2, "aux_loss": "switched",
            "processes": 2, "threads": 1,
        },
    )  # fmt: skip
    return project.prepared("sample", "decode", "resize", "normalize", "split")


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "stages/train.py"), "--fold", "0"],
        cwd=folder, env=environment(), text=True, stdout=-1, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "models/fold_0").iterdir()}


@pytest.mark.slow
def test_the_stage_crosses_the_switch_in_two_processes_and_goes_on_after_a_kill(folder):
    first = start(folder)
    output = first.communicate(timeout=WITHIN)[0]
    assert first.returncode == 0, output
    expected = results(folder)
    blocks = [line.split(",")[2] for line in expected["history.csv"].decode().splitlines()[1:]]
    assert blocks == ["2"] * 10 + ["1"] * 10

    killed = start(folder)
    wait_for_epochs(folder, 4, killed)
    killed.send_signal(signal.SIGKILL)  # the launcher alone: its processes have to notice
    killed.communicate(timeout=WITHIN)  # ends when the last of them has closed its output
    assert 4 <= whole_epochs(folder) < EPOCHS
    again = start(folder)
    output = again.communicate(timeout=WITHIN)[0]
    assert again.returncode == 0, output
    assert results(folder) == expected


def test_one_process_is_not_launched(monkeypatch):
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("launched"))
    monkeypatch.delenv("RANK", raising=False)
    launch.launch(1)


def test_several_are_launched_by_torchrun_with_the_arguments_of_the_stage(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "--fold", "3"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else it stays set for what later tests start
    monkeypatch.delenv("RANK", raising=False)
    launch.launch(4)
    ((program, words),) = calls
    assert program == words[0] == sys.executable
    assert words[-4:] == ["--nproc-per-node=4", "stages/train.py", "--fold", "3"]


def test_a_launcher_of_another_number_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"train\.processes is 2, and the launcher started 3"):
        launch.launch(2)


def test_the_processes_of_this_machine_are_those_that_the_launcher_started_here(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert launch.local(4) == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert launch.local(4) == 2


def test_the_committed_parameters_are_for_one_process():
    assert load_params(ROOT / "params.yaml").train.processes == 1


LEFT = {
    "PMI_SIZE": "2", "PMI_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_RANK": "1",
    "MPI_LOCALRANKID": "0", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "0", "ROLE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517",
    "TORCHELASTIC_RUN_ID": "none", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_USE_CPU": "yes",
}  # fmt: skip


def test_what_a_launcher_left_behind_is_no_launcher(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", LEFT | {"PATH": "x", "OMP_NUM_THREADS": "1", "RANKS": "3"})
    launch.launch(1)
    assert os.environ == {"PATH": "x", "OMP_NUM_THREADS": "1", "RANKS": "3"}
    assert capsys.readouterr().err == (
        "warning: ACCELERATE_USE_CPU, ACCELERATE_USE_DEEPSPEED, GROUP_RANK, LOCAL_RANK, LOCAL_WORLD_SIZE and "
        "11 more: of another launcher, left out of this training; unset them to be rid of this\n"
    )


def test_a_process_of_torchrun_keeps_what_torchrun_says_and_loses_the_rest(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", dict(LEFT))
    monkeypatch.setattr(launch, "end_with_parent", lambda _: None)
    launch.launch(2)
    assert {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ)
    assert not [name for name in os.environ if name.startswith(("PMI", "OMPI", "MV2", "MPI", "ACCELERATE"))]
    assert capsys.readouterr().err == ""


def test_a_launcher_that_runs_is_no_leftover(tmp_path):
    (tmp_path / "stage.py").write_text("from ftu.pipeline import launch; launch.launch(1)")
    (tmp_path / "torchrun").write_text("import subprocess, sys; subprocess.run([sys.executable, 'stage.py'])")
    variables = environment() | {"RANK": "0", "WORLD_SIZE": "2"}
    command = [sys.executable, "torchrun"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert "train.processes is 1, and the launcher started 2" in done.stderr
