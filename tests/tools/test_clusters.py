"""The files for clusters give the commands that they should; what they call only writes down its words."""

import os
import subprocess

import pytest
from ruamel.yaml import YAML

from imports import ROOT

CLUSTERS = ROOT / "docs/clusters"
SLURM = {
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_JOB_NODELIST": "node[7-8]",
    "SLURM_NNODES": "2",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_JOB_ID": "99",
    "SKYPILOT_NUM_GPUS_PER_NODE": "4",
}


@pytest.fixture
def called(tmp_path):
    """Runs a script where every command of a cluster is one that only says that it was called; what was."""

    def call(script: str, **variables: str) -> list[str]:
        (tmp_path / "bin").mkdir()
        for name in ("dvc", "srun", "scontrol", "make"):
            words = "node7; echo node8" if name == "scontrol" else f'"{name} $*" >> {tmp_path}/called'
            (tmp_path / "bin" / name).write_text(f"#!/bin/bash\necho {words}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        (tmp_path / ".venv/bin").mkdir(parents=True)
        (tmp_path / ".venv/bin/activate").touch()
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=SLURM | variables | {"PATH": path}, check=True
        )
        return (tmp_path / "called").read_text().splitlines()

    return call


def test_a_task_of_the_array_trains_its_fold(called):
    (command,) = called((CLUSTERS / "folds.sbatch").read_text())
    assert command == "dvc --wait-for-lock repro -s pretrain@3 train@3"


def test_nodes_meet_at_the_first_and_dvc_takes_what_they_trained(called):
    before, first, second = called((CLUSTERS / "nodes.sbatch").read_text(), FOLD="2")
    assert before == "dvc --wait-for-lock repro -s pretrain@2"
    assert first == (
        "srun torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint node7:29400 "
        "--rdzv-id 99 stages/train.py --fold 2"
    )
    assert second == "dvc --wait-for-lock commit --force train@2"


def test_a_cloud_machine_trains_on_all_its_cards_between_two_hand_overs(called):
    task = YAML(typ="safe").load(CLUSTERS / "sky.yaml")
    assert called(task["run"], REMOTE="s3://bucket/ftu") == [
        "dvc remote add --force --default store s3://bucket/ftu",
        "dvc pull --allow-missing",
        "make train-parallel GPUS=0,1,2,3",
        "dvc push",
    ]
