"""The user's own command: five folds, two at a time, end with the dvc.lock of one after the other."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from project import commit, copy_repository, run, set_params, stages_run

pytestmark = pytest.mark.slow

TINY = {
    "sample": {"train": 10, "test": 2},
    "resize": {"side": 32},
    "stain": {"backend": "none"},
    "train": {
        "model": {
            "family": "encoder_decoder", "encoder": "tu-mobilenetv3_small_050",
            "decoder": "unet", "width": 16, "fuse": "conv1x1", "drop_path": 0.0,
        },
        "epochs": 2, "switch_epoch": 1, "threads": 1,
    },
}  # fmt: skip
DRIVER = "env PYTHONPATH=src python -m ftu_tools.maintenance.merge_dvc_lock %O %A %B"
PARALLEL = ("env", "PYTHONPATH=src", "python", "-m", "ftu_tools.maintenance.train_parallel", "--jobs", "2")


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> Path:
    """A copy of the project in which DVC trained fold after fold."""
    folder = tmp_path_factory.mktemp("serial") / "ftu"
    folder.mkdir()
    copy_repository(folder)
    set_params(folder, TINY)
    commit(folder)
    subprocess.run(["cp", "-r", folder, folder.with_name("untouched")], check=True)
    run(folder, "dvc", "repro", "train")
    return folder


def lock(folder: Path) -> dict:
    return YAML(typ="safe").load((folder / "dvc.lock").read_text())


def lines_of(output: str, fold: int) -> list[str]:
    return re.findall(rf"^fold {fold} \| cpu [01] \| (.+)$", output, re.MULTILINE)


def test_five_folds_two_at_a_time_give_the_lock_of_one_by_one_although_one_fails_at_first(serial):
    folder = serial.with_name("untouched")
    (folder / "models/fold_2").write_text("a file in the way")
    output = run(folder, *PARALLEL, status=1)
    assert {"resize", "normalize", "split"} <= set(stages_run(output))
    assert "fold 2 failed" in output
    assert "4 of 5 folds are trained; the same command again trains the others" in output
    for fold in {0, 1, 3, 4}:
        lines = lines_of(output, fold)
        assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
        assert any(line.startswith("train: 2 epochs, Dice 0.") for line in lines)
    assert any("ERROR" in line for line in lines_of(output, 2))
    assert set(lock(serial)["stages"]) - set(lock(folder)["stages"]) == {"train@2"}
    (folder / "models/fold_2").unlink()
    with ThreadPoolExecutor() as two:  # launchers at once
        outputs = list(two.map(lambda _: run(folder, *PARALLEL), range(2)))
    assert [line for output in outputs for line in stages_run(output)] == ["train@2"]
    assert all("5 folds are trained; `dvc repro` goes on" in output for output in outputs)
    assert lock(folder) == lock(serial)
    assert stages_run(run(folder, "dvc", "repro", "train")) == []


def machine(folder: Path, origin: Path, store: Path) -> Path:
    """A clone, with a remote of DVC's and the merge driver of docs/scaling.md."""
    run(origin, "git", "clone", "-q", str(origin), str(folder))
    for key, value in (("user.name", "t"), ("user.email", "t@example.org"), ("merge.dvclock.driver", DRIVER)):
        run(folder, "git", "config", key, value)
    run(folder, "dvc", "remote", "add", "--default", "--local", "store", str(store))
    return folder


def commit_folds(folder: Path, serial: Path, folds: set[int]) -> None:
    """What a machine commits that has trained `folds`: their entries, histories and scores."""
    stages = lock(serial)["stages"]
    others = {f"train@{fold}" for fold in range(5) if fold not in folds}
    kept = {name: entry for name, entry in stages.items() if name not in others}
    with (folder / "dvc.lock").open("w") as file:
        YAML().dump(lock(serial) | {"stages": kept}, file)
    for fold in folds:
        shutil.copytree(serial / f"models/fold_{fold}", folder / f"models/fold_{fold}")
        (folder / f"models/fold_{fold}/weights.safetensors").unlink()
    commit(folder)


def test_two_machines_hand_their_folds_over(serial, tmp_path):
    """The commands of docs/scaling.md, with a folder for a remote; each has trained some of the folds."""
    store = tmp_path / "store"
    run(serial, "dvc", "remote", "add", "--default", "--local", "store", str(store))
    run(serial, "dvc", "push", "-q")
    first = machine(tmp_path / "first", serial, store)
    commit_folds(first, serial, set())
    second = machine(tmp_path / "second", first, store)
    commit_folds(second, serial, {1, 3})
    commit_folds(first, serial, {0, 2, 4})
    run(first, "git", "pull", "-q", "--no-rebase", "--no-edit", str(second))
    run(first, "dvc", "pull", "-q", "--allow-missing")
    assert stages_run(run(first, "dvc", "repro", "train")) == []
    assert lock(first) == lock(serial)
    for name in ("weights.safetensors", "history.csv"):
        copy, original = (folder / "models/fold_3" / name for folder in (first, serial))
        assert copy.read_bytes() == original.read_bytes()
