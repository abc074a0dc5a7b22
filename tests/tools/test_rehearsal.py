"""The rehearsal of a reduced sample, for real: bundle, bare environment, no network, the same bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftu.datasets import competition
from ftu.errors import InputError
from ftu.files import csvfile
from ftu.probabilities import projects
from ftu_tools.kaggle import isolation, pack_experiment, rehearsal
from project import commit, copy_repository, run, set_params

REDUCED = {
    "sample": {"train": 10, "test": 4},
    "resize": {"side": 64},
    "split": {"count": 2, "run": [0, 1]},
    "train": {"epochs": 2, "switch_epoch": 1},
    "postprocess": {"method": "otsu"},  # cuts every map through its middle, however short the training
}


def python(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the project's own library."""
    settings = os.environ | {"PYTHONPATH": str(project / "src")}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=project, env=settings, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_notebook_gives_the_bytes_of_the_pipeline_and_an_experiment_is_packed_by_name(tmp_path):
    project = tmp_path / "ftu"
    copy_repository(project)
    set_params(project, REDUCED)
    run(project, "dvc", "repro")
    made = python(project, "ftu_tools.kaggle.bundle", "--user", "someone")
    assert made.returncode == 0, made.stderr
    assert {path.name for path in (project / "bundle").iterdir()} == {"dataset", "notebook"}
    done = python(project, "ftu_tools.kaggle.rehearsal", "--hidden", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submission.csv: valid, 4 rows" in done.stdout
    assert "submission.csv: valid, 7 rows" in done.stdout
    assert "550 such images" in done.stdout
    assert done.stdout.endswith("the notebook's CSV is the pipeline's, byte by byte: 7 images\n")

    commit(project)
    run(project, "dvc", "exp", "run", "-n", "plain", "-S", "postprocess.method=table")
    run(project, "git", "checkout", "-q", ".")
    found = projects.find("plain", project)
    assert pack_experiment.pack(found, tmp_path / "packed").postprocess.method == "table"
    assert found.commit != run(project, "git", "rev-parse", "HEAD").strip()
    for file in ("fold_0/weights.safetensors", "target.png"):
        assert (tmp_path / "packed" / file).read_bytes() == (
            project / "bundle/dataset/own" / file
        ).read_bytes()


@pytest.mark.slow
def test_a_new_environment_holds_what_is_asked_for_and_is_cut_off(tmp_path):
    found = isolation.new_environment(tmp_path / "environment", {"ruamel.yaml"})
    for name, status in {"ruamel.yaml": 0, "numpy": 1, "dvc": 1, "ftu": 1}.items():
        assert isolation.call([found, "-c", f"import {name}"]).returncode == status, name
    isolation.cut_network(found)  # raises when a connection is possible


def test_the_guard_refuses_connections():
    code = isolation.GUARD + isolation.PROBE
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_is_noticed():
    answers = "import socket\nsocket.create_connection = lambda *_, **__: None\n"
    done = subprocess.run([sys.executable, "-c", answers + isolation.PROBE], capture_output=True, check=False)
    assert b"there is a network" in done.stderr


def test_what_a_distribution_needs_comes_with_it():
    names = {each.name.lower() for each in isolation.with_dependencies({"pandas", "accelerate"})}
    assert {"pandas", "numpy", "python-dateutil", "six", "accelerate", "torch", "sympy"} <= names
    assert not names & {"dvc", "albumentations", "hypothesis"}
    with pytest.raises(InputError, match="no-such-package: is not installed"):
        isolation.with_dependencies({"no-such-package"})


def test_nothing_of_this_environment_is_handed_on(monkeypatch):
    for name in ("PYTHONPATH", "PIP_FIND_LINKS", "VIRTUAL_ENV", "DVC_ROOT"):
        monkeypatch.setenv(name, "here")
    seen = isolation.call(["env"]).stdout
    assert "here" not in {line.partition("=")[2] for line in seen.splitlines()}


def test_the_hidden_test_set_is_larger_and_holds_the_visible_one(small_sample, tmp_path):
    folder = rehearsal.lay_out(small_sample, tmp_path / "hidden", hidden=3)
    visible, train = (csvfile.read_csv(small_sample / f"{part}.csv") for part in ("test", "train"))
    test = csvfile.read_csv(folder / "test.csv")
    assert test["id"].tolist() == [*visible["id"], *("hidden-" + train["id"][:3])]
    assert list(test.columns) == list(visible.columns)
    everything = ["HPA", "Hubmap"], sorted(set(train["organ"]) | set(visible["organ"]))
    competition.read_both(folder, sources=everything[0], organs=everything[1])  # no id stands in both
    for name in test["id"]:
        assert (folder / "test_images" / f"{name}.tiff").is_file()
    alone = rehearsal.lay_out(small_sample, tmp_path / "visible", hidden=0)
    assert csvfile.read_csv(alone / "test.csv")["id"].tolist() == visible["id"].tolist()


def test_a_difference_is_named(tmp_path):
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    theirs.write_text("id,rle\n1,1 1\n2,\n")
    shutil.copyfile(theirs, ours)
    assert rehearsal.compare(ours, theirs) == 2
    ours.write_text("id,rle\n1,1 2\n3,\n")
    with pytest.raises(InputError, match="3 of 2 rows are not the pipeline's: 1, 3, 2"):
        rehearsal.compare(ours, theirs)
    ours.write_text("id,rle\r\n1,1 1\r\n2,\r\n")
    with pytest.raises(InputError, match="the bytes of the CSV are not"):
        rehearsal.compare(ours, theirs)
