"""Two machines train as one with two processes does, to the byte: here both are this one, over loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT
from unfinished import WITHIN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(new_project) -> Path:
    """A tiny project before train, for two processes and a switched loss."""
    project = new_project(
        sample={"train": 10, "test": 2},
        stain={"backend": "none"},
        resize={"side": 64},
        split={"count": 2, "run": [0]},
        train={
            "model": {
                "family": "encoder_decoder",
                "encoder": "tu-mobilenetv3_small_050", "decoder": "unet", "width": 16, "fuse": "conv1x1",
                "drop_path": 0.0,
            },
            "epochs": 2, "switch_epoch": 1, "aux_loss": "switched", "processes": 2, "threads": 1,
        },
    )  # fmt: skip
    return project.prepared("sample", "decode", "resize", "normalize", "split")


@pytest.fixture
def folder(prepared, tmp_path) -> Path:
    subprocess.run(["cp", "-r", f"{prepared}/.", tmp_path], check=True)
    return tmp_path


def start(folder: Path, *launcher: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *launcher, str(ROOT / "stages/train.py"), "--fold", "0"],
        cwd=folder, text=True, stdout=-1, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def trained(folder: Path, *started: subprocess.Popen[str]) -> dict[str, bytes]:
    for process in started:
        output = process.communicate(timeout=WITHIN)[0]
        assert process.returncode == 0, output
    return {path.name: path.read_bytes() for path in (folder / "models/fold_0").iterdir()}


@pytest.fixture(scope="module")
def one_machine(prepared, tmp_path_factory) -> dict[str, bytes]:
    """What the stage gives that starts its two processes by itself."""
    folder = tmp_path_factory.mktemp("one") / "ftu"
    subprocess.run(["cp", "-r", prepared, folder], check=True)
    return trained(folder, start(folder))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def rendezvous(port: int, _: int) -> list[str]:
    """As docs/scaling.md has it: torchrun's machines meet at an address, and are numbered there."""
    endpoint = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=fold0"]
    return ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *endpoint]


def accelerate(port: int, rank: int) -> list[str]:
    """The same, numbered by whoever starts them; --multi_gpu calls torchrun, also where there is none."""
    machines = ["--num_machines=2", "--num_processes=2", f"--machine_rank={rank}"]
    master = ["--main_process_ip=127.0.0.1", f"--main_process_port={port}"]
    return ["-m", "accelerate.commands.launch", "--multi_gpu", *machines, *master]


@pytest.mark.parametrize("launcher", [rendezvous, accelerate])
def test_two_machines_give_the_bytes_of_two_processes_of_one(one_machine, folder, launcher):
    port = free_port()
    machines = [start(folder, *launcher(port, rank)) for rank in (0, 1)]
    assert trained(folder, *machines) == one_machine
    assert not list((folder / ".ftu/training").iterdir())
