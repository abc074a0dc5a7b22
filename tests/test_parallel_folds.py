"""The user's own command: five folds, two at a time, end with the dvc.lock of one after the other."""

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from project import commit, copy_repository, run, set_params, stages_run

pytestmark = pytest.mark.slow

TINY = {
    "sample": {"train": 10, "test": 2},
    "resize": {"size": 32},
    "stain": {"backend": "none"},
    "train": {
        "model": {"encoder": "tu-mobilenetv3_small_050", "decoder": "unet", "width": 16, "fuse": "conv1x1"},
        "epochs": 2, "switch_epoch": 1, "threads": 1,
    },
}  # fmt: skip
PARALLEL = ("env", "PYTHONPATH=src", "python", "-m", "ftu.parallel", "--jobs", "2")


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> Path:
    """A copy of the project in which DVC trained fold after fold."""
    folder = tmp_path_factory.mktemp("serial") / "ftu"
    folder.mkdir()
    copy_repository(folder)
    set_params(folder, TINY)
    commit(folder)
    prepared = folder.with_name("prepared")
    subprocess.run(["cp", "-r", folder, prepared], check=True)
    run(folder, "dvc", "repro", "train")
    return folder


def lock(folder: Path) -> dict:
    return YAML(typ="safe").load((folder / "dvc.lock").read_text())


def lines_of(output: str, fold: int) -> list[str]:
    return re.findall(rf"^fold {fold} \| cpu [01] \| (.+)$", output, re.MULTILINE)


def test_five_folds_two_at_a_time_give_the_lock_of_one_by_one_although_one_fails_at_first(serial):
    folder = serial.with_name("prepared")
    (folder / "models/fold_2").write_text("a file in the way")
    output = run(folder, *PARALLEL, status=1)
    assert {"resize", "normalize", "split"} <= set(stages_run(output))
    assert "fold 2 failed" in output
    assert "4 of 5 folds are trained; the same command again trains the others" in output
    for fold in {0, 1, 3, 4}:
        lines = lines_of(output, fold)
        assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
        assert lines[-1].startswith("train: 2 epochs, Dice 0.")
    assert set(lock(serial)["stages"]) - set(lock(folder)["stages"]) == {"train@2"}
    (folder / "models/fold_2").unlink()
    output = run(folder, *PARALLEL)
    assert [fold for fold in range(5) if lines_of(output, fold)] == [2]
    assert "5 folds are trained; `dvc repro` goes on" in output
    assert lock(folder) == lock(serial)
    assert stages_run(run(folder, "dvc", "repro", "train")) == []


def test_what_one_clone_trained_another_takes_from_the_remote(serial, tmp_path):
    """The commands of docs/scaling.md, with a folder for a remote: no git merge, nothing trained again."""
    clone, store = tmp_path / "clone", tmp_path / "store"
    run(serial, "dvc", "remote", "add", "--force", "--default", "store", str(store))
    run(serial, "dvc", "push", "-q", "--run-cache")
    run(tmp_path, "git", "clone", "-q", str(serial), str(clone))  # of the commit before any stage ran
    run(clone, "dvc", "remote", "add", "--force", "--default", "store", str(store))
    run(clone, "dvc", "fetch", "-q", "--run-cache")
    output = run(clone, "dvc", "repro", "--pull", "train")
    assert stages_run(output) == []
    assert output.count("is cached - skipping run") == len(lock(serial)["stages"])
    assert lock(clone) == lock(serial)
    for name in ("weights.safetensors", "history.csv"):
        copy, original = (folder / "models/fold_3" / name for folder in (clone, serial))
        assert copy.read_bytes() == original.read_bytes()
