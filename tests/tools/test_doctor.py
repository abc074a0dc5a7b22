"""make doctor: what it finds, in a whole project, a fresh clone, and where nearly everything is missing."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from ftu.errors import some
from ftu.files import png
from ftu.pipeline.atomic import whole_file, whole_folder
from ftu.pipeline.params import load_params
from ftu_tools.doctor import doctor, due_stages, leftovers, machine, needs
from ftu_tools.doctor.findings import Finding, counted, error, ok, size, warning
from imports import ROOT
from project import copy_repository, run, set_params

NOBODY = 2**22 + 1  # above the largest process number
PARAMS = load_params(ROOT / "params.yaml").model_dump()
SAMPLE = Path("data/sample")


def changed(section: str, **values: Any) -> dict[str, Any]:
    return PARAMS | {section: PARAMS[section] | values}


def one(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


# ------------------------------------------------------------------ a line


def test_a_line_starts_with_its_level_and_further_lines_are_indented():
    assert str(error("data", "no\nway out")) == "error    data       no\n" + 20 * " " + "way out"


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e9, "2 GB"), (3e12, "3 TB")]
)
def test_sizes_are_for_people(count, words):
    assert size(count) == words


def test_things_are_counted_in_english():
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


FOUND = [
    ok("git", "2.39"),
    warning("memory", "low"),
    error("data", "gone"),
    ok("stages", "dvc repro would run 1 of 2"),
]


def test_errors_come_first_and_what_is_well_is_counted():
    lines = doctor.report(FOUND, verbose=False)
    assert [line.split()[0] for line in lines] == ["error", "warning", "doctor:"]
    assert lines[-1] == "doctor: 1 error, 1 warning, 2 ok (VERBOSE=1 lists them); dvc repro would run 1 of 2"


def test_what_is_well_is_listed_last_where_that_is_asked_for():
    lines = doctor.report(FOUND, verbose=True)
    assert [line.split()[1] for line in lines[:-1]] == ["data", "memory", "git", "stages"]
    assert lines[-1] == "doctor: 1 error, 1 warning, 2 ok; dvc repro would run 1 of 2"


def test_many_names_are_cut_short():
    assert some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert some(["a", "b"], 2) == "a, b"


# ------------------------------------------------------------------ machine


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
    ],
)
def test_the_limit_of_a_container_is_read(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.cpu_limit(tmp_path) == limit


@pytest.mark.parametrize(("text", "limit"), [("max", None), ("8000000000", 8_000_000_000)])
def test_the_memory_of_a_container_is_read(tmp_path, text, limit):
    (tmp_path / "memory.max").write_text(text + "\n")
    assert machine.memory_limit(tmp_path) == limit
    assert machine.memory_limit(tmp_path / "none") is None


def test_workers_that_memory_does_not_hold_are_named(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  2000000 kB\nMemAvailable:  1000000 kB\n")
    params = changed("compute", workers=4)
    assert one(machine.memory(PARAMS, tmp_path / "meminfo")).level == "ok"
    found = one(machine.memory(params, tmp_path / "meminfo"))
    assert found.level == "warning"
    assert "lower compute.workers" in found.words


@pytest.mark.parametrize(
    "files",
    [
        {
            "memory.max": "5000000000",
            "memory.current": "4000000000",
            "memory.stat": "inactive_file 3000000000",
        },
        {
            "memory/memory.limit_in_bytes": "5000000000",
            "memory/memory.usage_in_bytes": "4000000000",
            "memory/memory.stat": "cache 3500000000\ntotal_inactive_file 3000000000\n",
        },
    ],
)
def test_what_a_container_uses_already_is_not_free(tmp_path, files):
    (tmp_path / "meminfo").write_text("MemTotal:  9000000 kB\nMemAvailable:  9000000 kB\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert one(machine.memory(PARAMS, tmp_path / "meminfo", tmp_path)).words == "4 GB free of 5 GB"


def test_more_workers_than_processors_are_named(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine, "cpu_limit", lambda: None)
    assert levels(machine.processors(PARAMS)) == ["ok"]
    _, found = machine.processors(changed("compute", workers=9))
    assert found == Finding(
        "warning", "processors", "compute.workers is 9, which 2 serve slowly; use at most 2"
    )


def tables(folder: Path, **locked: str) -> tuple[Path, Path]:
    lines = [f'[[package]]\nname = "{name}"\nversion = "{number}"\n' for name, number in locked.items()]
    (folder / "uv.lock").write_text("\n".join(lines))
    asked = "".join(f'"{name}>=1",' for name in locked)
    (folder / "pyproject.toml").write_text(f"[project]\ndependencies = [{asked}]\n")
    return folder / "uv.lock", folder / "pyproject.toml"


def test_packages_are_held_against_the_lock(tmp_path):
    here = {name: machine.installed(name) for name in machine.SHOWN}
    assert one(machine.packages(*tables(tmp_path, **here))).level == "ok"
    found = one(machine.packages(*tables(tmp_path, **here | {"numpy": "0.1"})))
    assert (found.level, "numpy" in found.words, "make env" in found.words) == ("warning", True, True)
    found = one(machine.packages(*tables(tmp_path, **here, no_such_thing="1.0")))
    assert found == error("packages", "no_such_thing not installed; make env")
    assert one(machine.packages(tmp_path / "gone", tmp_path / "gone")).level == "error"


CUDA = {"name": "H100", "memory": 80 * 10**9}


@pytest.mark.parametrize(
    ("told", "params", "level", "words"),
    [
        ({"gpus": []}, PARAMS, "ok", "none is asked for"),
        ({"gpus": [CUDA]}, PARAMS, "ok", "H100 (80 GB); train.device is cpu"),
        ({"gpus": []}, changed("predict", device="cuda"), "error", "predict.device is cuda; set it to cpu"),
        ({"gpus": [CUDA]}, changed("train", device="cuda", processes=1), "ok", "H100 (80 GB)"),
        ({"gpus": [CUDA]}, changed("train", device="cuda", processes=4), "warning", "train.processes, 4"),
        ({"failure": "no torch"}, PARAMS, "error", "torch cannot be used (no torch); make env"),
        ({"gpus": []}, None, "ok", "none"),
    ],
)
def test_gpus_are_held_against_the_devices(told, params, level, words):
    found = one(machine.gpus(told, params))
    assert found.level == level
    assert words in found.words


def test_the_last_words_of_a_torch_that_fails_are_told():
    code = "raise ImportError('libcudart.so is missing')"
    failing = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True)
    assert machine.answer(failing) == {"failure": "ImportError: libcudart.so is missing"}


# ------------------------------------------------------------------ data, weights, disk


@pytest.fixture
def project(small_sample, new_project, monkeypatch):
    """A project with a data set of six and two images, the working folder."""
    made = new_project(small_sample)
    monkeypatch.chdir(made.folder)
    return made


def params_of(project) -> dict[str, Any]:
    return load_params(project.folder / "params.yaml").model_dump()


def data(project) -> Finding:
    params = params_of(project)
    rows = needs.rows(params, SAMPLE)
    return one(needs.data(Path(params["data"]["root"]), rows, SAMPLE))


def test_a_whole_data_set_is_counted(project):
    assert data(project) == ok("data", "data/raw: 6 training and 2 test images, tables valid")


def test_missing_images_are_named(project):
    gone = sorted((project.folder / "data/raw/train_images").iterdir())[:2]
    for path in gone:
        path.unlink()
    found = data(project)
    assert found.level == "error"
    assert "2 of 8 images not there" in found.words
    assert all(path.stem in found.words for path in gone)


def test_a_sample_that_is_not_drawn_is_no_error(project):
    project.set(data={"root": "data/sample"})
    assert data(project).level == "ok"
    assert len(needs.rows(params_of(project), SAMPLE)) == 38


def test_a_sample_of_cells_that_is_not_drawn_has_its_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = {"data": {"root": str(SAMPLE)}, "sample": {"kind": "cells", "train": 5, "test": 2}}
    rows = needs.rows(cells, SAMPLE)
    assert [row.set for row in rows] == ["train"] * 5 + ["test"] * 2
    assert {(row.img_height, row.img_width, row.pixel_size) for row in rows} == {(160, 192, 0.006)}


@pytest.mark.parametrize(
    ("weights", "told", "level", "words"),
    [
        ("none", None, "ok", "random"),
        ("gone.pth", None, "error", "gone.pth does not exist"),
        ("params.yaml", None, "ok", "params.yaml, "),
        ("imagenet", {"cached": "", "licence": "apache-2.0"}, "warning", "go online"),
        ("imagenet", {"cached": "/x", "licence": "apache-2.0"}, "ok", "apache-2.0"),
        ("imagenet", {"cached": "/x", "licence": "NVIDIA, non-commercial"}, "warning", "NVIDIA"),
        ("imagenet", None, "warning", "make env"),
    ],
)
def test_first_weights_are_looked_for(project, weights, told, level, words):
    project.set(train={"weights": weights})
    found = one(needs.weights(params_of(project), told))
    assert found.level == level
    assert words in found.words


def test_a_stain_target_that_is_not_there_is_an_error(project):
    assert list(needs.target(params_of(project))) == []
    target = project.params["stain"]["target"] | {"kind": "file", "file": "gone.png"}
    project.set(stain={"target": target})
    assert one(needs.target(params_of(project))).level == "error"


def test_room_counts_every_output_twice(project):
    project.set(split={"run": [0]}, resize={"side": 100})
    params = params_of(project)
    rows = needs.rows(params, SAMPLE)
    native = sum(row.img_height * row.img_width for row in rows if row.set == "train")
    images = 8 * 100 * 100 * (3 + 3 + 2)  # resized, normalised, one map of each
    expected = 2 * (images + 0.01 * native + needs.MODEL) + needs.STATE
    assert needs.room(params, rows) == pytest.approx(expected)
    project.set(split={"run": [0, 1]})
    two = needs.room(params_of(project), rows)
    assert two == pytest.approx(expected + 2 * (2 * 100 * 100 * 2 + needs.MODEL))


@pytest.mark.usefixtures("project")
def test_a_disk_that_is_too_small_or_closed_is_told(monkeypatch):
    assert one(needs.disk(1, [Path("data")])).level == "ok"
    assert one(needs.disk(1e18, [Path("data")])).level == "warning"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert levels(needs.disk(1, [Path("data")])) == ["error", "ok"]


# ------------------------------------------------------------------ remains


def test_unfinished_trainings_are_listed_and_damaged_ones_told(tmp_path):
    payload = b"weights"
    (tmp_path / "fold_0-ab.state").write_bytes(hashlib.sha256(payload).digest() + payload)
    (tmp_path / "fold_1-ab.state").write_bytes(hashlib.sha256(payload).digest() + b"w")
    (tmp_path / f"fold_2-ab.tmp-{NOBODY}.state").write_bytes(b"")
    whole, damaged = leftovers.trainings(tmp_path)
    assert (whole.level, damaged.level) == ("ok", "warning")
    assert "fold_0-ab.state" in whole.words
    assert "is damaged" in damaged.words
    with (tmp_path / "fold_0-ab.lock").open("w"):
        assert f"process {os.getpid()} " in next(leftovers.trainings(tmp_path)).words


def test_images_of_another_side_than_asked_for_are_told(tmp_path):
    def told(**settings: Any) -> list[Finding]:
        return list(leftovers.resized(tmp_path, PARAMS["resize"] | settings))

    assert told() == []
    png.write_image(tmp_path / "1.png", np.zeros((64, 64, 3), np.uint8))
    png.write_mask(tmp_path / "2.png", np.zeros((64, 64), np.uint8))
    assert told(side=64) == told(mode="microns", side=96) == []
    found = one(told(side=96))
    assert found.level == "warning"
    assert "1.png: is 64 x 64 px (height x width) but resize.side is 96; run `dvc repro`" in found.words
    (tmp_path / "1.png").write_text("no picture")
    assert one(told(side=64)).level == "warning"


def test_a_lease_is_told_while_it_is_held(tmp_path):
    (tmp_path / "old-gpu1.lock").touch()
    with (tmp_path / "here-gpu0.lock").open("w"):
        assert one(leftovers.leases(tmp_path)).words.startswith(
            f"here-gpu0 is taken by process {os.getpid()} "
        )
    assert list(leftovers.leases(tmp_path)) == []
    assert list(leftovers.leases(tmp_path / "none")) == []


def test_a_dvc_at_work_is_told(tmp_path):
    assert one(leftovers.running(tmp_path)).level == "ok"
    for pid, level in ((NOBODY, "ok"), (os.getpid(), "warning")):
        entry = {"pid": pid, "cmd": "dvc repro"}
        (tmp_path / "rwlock").write_text(json.dumps({"write": {"a": entry}, "read": {"b": [entry]}}))
        assert one(leftovers.running(tmp_path)).level == level
    (tmp_path / "rwlock").write_text("{")
    assert one(leftovers.running(tmp_path)).level == "ok"
    with (tmp_path / "lock").open("w"):
        assert one(leftovers.running(tmp_path)).level == "warning"


def test_temporaries_of_processes_that_are_no_more_are_told(tmp_path):
    root = tmp_path / "root"
    with whole_folder(tmp_path / "masks") as masks, whole_file(root / "train.csv") as table:
        table.touch()
        (masks / "1.tmp-0123").touch()
        assert list(leftovers.leftovers(root, [tmp_path])) == []
        # ids of processes are used again: this one started at another time
        for name in (f"images.tmp-{os.getpid()}-1.csv", f"masks.tmp-{NOBODY}-12-old/1.tmp-0123"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = one(leftovers.leftovers(root, [tmp_path]))
    assert found.level == "warning"
    for name in (f"images.tmp-{os.getpid()}-1.csv", f"masks.tmp-{NOBODY}-12-old, "):
        assert name in found.words


def test_temporaries_in_the_projects_root_are_told(project, examined):
    (project.folder / f"models.tmp-{NOBODY}-12").mkdir()
    assert f"models.tmp-{NOBODY}-12, " in one(examined(project.folder)["leftovers"]).words


def test_the_cache_of_items_is_measured(tmp_path):
    assert list(leftovers.items(tmp_path)) == []
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "cd").write_bytes(bytes(2000))
    assert "1 result of single images, 2 kB" in one(leftovers.items(tmp_path)).words


# ------------------------------------------------------------------ what would run

SMALL = {
    "first": {"cmd": "cat a > b", "deps": ["a"], "params": ["n"], "outs": ["b"]},
    "second": {"cmd": "cat b > c", "deps": ["b"], "outs": ["c"]},
    "third": {"cmd": "cat c > d", "deps": ["c"], "outs": ["d"]},
}


@pytest.fixture
def pipeline(tmp_path, monkeypatch) -> Path:
    """Three stages in a row, run once."""
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("1")
    (tmp_path / "params.yaml").write_text("n: 1\n")
    YAML(typ="safe").dump({"stages": SMALL}, tmp_path / "dvc.yaml")
    with Repo.init(no_scm=True) as repo:
        repo.reproduce()  # pyright: ignore[reportCallIssue]
    return tmp_path


def test_stages_are_due_for_a_reason_or_follow(pipeline):
    assert due_stages.due(pipeline) == ({}, [], 3)
    lock = (pipeline / "dvc.lock").rename(pipeline / "lock")
    assert list(due_stages.due(pipeline)[0].values()) == [["not in dvc.lock"]] * 3
    lock.rename(pipeline / "dvc.lock")
    assert one(due_stages.stages(pipeline)).words == "dvc repro has nothing to do"
    (pipeline / "params.yaml").write_text("n: 2\n")
    assert due_stages.due(pipeline) == ({"first": ["n modified"]}, ["second", "third"], 3)
    (pipeline / "params.yaml").write_text("n: 1\n")
    (pipeline / "c").unlink()
    changed, following, _ = due_stages.due(pipeline)
    assert (list(changed), following) == (["second", "third"], [])
    YAML(typ="safe").dump(
        {"stages": SMALL | {"third": SMALL["third"] | {"cmd": "cat c >d"}}}, pipeline / "dvc.yaml"
    )
    assert due_stages.due(pipeline)[0]["third"] == ["its command", "c missing"]


def test_a_pipeline_that_cannot_be_read_is_an_error(pipeline):
    (pipeline / "dvc.yaml").write_text("stages: [")
    assert one(due_stages.stages(pipeline)).level == "error"


# ------------------------------------------------------------------ all of it


@pytest.fixture
def examined(monkeypatch) -> Callable[[Path], dict[str, list[Finding]]]:
    """Examines a folder as `make doctor` does, torch left out; the findings by what they are about."""

    def examine(folder: Path) -> dict[str, list[Finding]]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(machine, "ask_torch", lambda _: None)
        monkeypatch.setattr(machine, "answer", lambda _: {"failure": "left out"})
        found: dict[str, list[Finding]] = {}
        for finding in doctor.examine(Path(".")):
            found.setdefault(finding.about, []).append(finding)
        return found

    return examine


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


def test_parameters_that_are_not_valid_stop_only_what_hangs_on_them(project, examined):
    project.set(train={"aux_loss": "swiched"})
    found = examined(project.folder)
    assert one(found["params"]).level == "error"
    assert "aux_loss" in one(found["params"]).words
    assert one(found["stages"]).level == "error"  # no DVC here
    assert "memory" in found
    assert "data" not in found


def test_a_data_set_that_is_not_there_is_told_with_the_way_to_get_it(project, examined):
    project.set(data={"root": "data/absent"})
    found = examined(project.folder)
    assert one(found["data"]).level == "error"
    assert "kaggle competitions download" in one(found["data"]).words
    assert one(found["disk"]).level == "ok"


@pytest.mark.slow
def test_a_fresh_clone_is_well_and_stays_as_it_is_even_without_torch(tmp_path):
    folder, first = tmp_path / "ftu", tmp_path / "first"
    copy_repository(folder)
    first.mkdir()
    (first / "torch.py").write_text("raise ImportError('no torch here')\n")
    before = contents(folder)
    command = ["env", f"PYTHONPATH={first}:src", "python", "-B", "-m", "ftu_tools.doctor.doctor"]
    output = run(folder, *command, "--verbose", status=1)
    assert contents(folder) == before
    lines = output.splitlines()
    assert lines[0] == "error    gpus       torch cannot be used (ImportError: no torch here); make env"
    assert "ok       stages     dvc repro would run 26 of 26" in lines
    assert "Traceback" not in output
    assert " deleted" not in output
    assert lines[-1].startswith("doctor: 1 error, 0 warnings, ")
    assert lines[-1].endswith("; dvc repro would run 26 of 26")
    set_params(folder, {"thresholds": {"HPA": {}}})
    assert "error    params" in run(folder, *command, status=1)


def test_a_folder_that_is_no_repository_is_told_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (found,) = machine.repository(tmp_path)
    assert found.level == "error"
    assert "is no git repository" in found.words
    assert "git init" in found.words
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert list(machine.repository(tmp_path)) == []


def test_a_repository_of_another_user_is_told_with_the_way_out(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (found,) = machine.repository(tmp_path)
    assert f"git config --global --add safe.directory {tmp_path}" in found.words
