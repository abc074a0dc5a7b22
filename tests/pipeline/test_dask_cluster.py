"""Dask does what processes do: on a cluster of its own, and on one that somebody else started."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import Project

import ftu.pipeline.workers
import working
from ftu.errors import InputError
from ftu.pipeline.workers import dask_cluster
from ftu.pipeline.workers.pool import Pool
from imports import ROOT

DASK = Path(sys.executable).with_name("dask")
WITHIN = 120  # s, for a scheduler to say where it is
LOCAL = Pool("dask", 2, "")
STAGES = ("decode", "resize", "normalize")
OUTPUTS = ("data/images.csv", "data/masks", "data/resized", "data/normalized", "reports")


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in OUTPUTS
        for path in [folder / name, *sorted((folder / name).rglob("*"))]
        if path.is_file()
    }


@pytest.mark.slow
def test_a_cluster_of_its_own_keeps_the_order_and_says_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    found = LOCAL.each(working.squared, range(50), doing="square")
    assert [result for result, _ in found] == [number * number for number in range(50)]
    assert len({process for _, process in found} - {os.getpid()}) == 2
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_errors_arrive_from_dask_as_from_processes():
    with pytest.raises(InputError) as caught:
        LOCAL.each(working.inspected, [f"{index}.png" for index in range(20)], doing="inspect")
    assert str(caught.value) == "5.png: is damaged; mend it"


@pytest.mark.slow
def test_an_item_whose_worker_dies_is_done_again_or_named(tmp_path, capfd):
    (once := tmp_path / "once").mkdir()
    (always := tmp_path / "always").mkdir()
    found = LOCAL.each(working.killed_at, [once] * 12, range(12), [4] * 12, [1] * 12, doing="square")
    assert found == [number * number for number in range(12)]
    told = capfd.readouterr().err
    assert re.fullmatch(f"(warning: {once}: .*; it runs again, alone\n)+", told)
    marks = [always / str(number) for number in range(12)]
    for mark in marks:
        mark.mkdir()
    with pytest.raises(InputError, match=f"^{marks[4]}: its worker died, and died again"):
        LOCAL.each(working.killed_at, marks, range(12), [4] * 12, [9] * 12, doing="square")


def run_stages(project: Project) -> dict[str, bytes]:
    for stage in STAGES:
        done = project.run(stage)
        assert done.returncode == 0, done.stderr
        assert "distributed" not in done.stderr
    return outputs(project.folder)


@pytest.fixture(scope="module")
def serial(small_sample, new_project) -> dict[str, bytes]:
    """What the per-image stages write in one process."""
    return run_stages(new_project(small_sample, compute={"workers": 1}))


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["process", "dask"])
def test_stages_give_the_same_bytes_in_two_processes_and_on_dask(small_sample, new_project, serial, executor):
    assert len(serial) > 20
    project = new_project(small_sample, compute={"executor": executor, "workers": 2})
    assert run_stages(project) == serial


@pytest.mark.slow
def test_a_stage_whose_workers_are_killed_gives_the_same_bytes(small_sample, new_project, serial):
    """Both are at an image when they are killed: they were given one before they had started."""
    project = new_project(small_sample, compute={"workers": 2})
    for stage in STAGES[:2]:
        assert project.run(stage).returncode == 0
    with subprocess.Popen(
        [sys.executable, ROOT / "stages" / "normalize.py"],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    ) as stage:
        while len(found := spawned_by(stage.pid)) < 2:
            assert stage.poll() is None
        for process in found:
            os.kill(process, signal.SIGKILL)
        _, told = stage.communicate(timeout=WITHIN)
    assert stage.returncode == 0
    assert told.count("its process was ended by SIGKILL; it runs again, alone") == 2
    assert outputs(project.folder) == serial


def spawned_by(parent: int) -> list[int]:
    """The worker processes of a stage."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    found = [int(child) for file in children for child in file.read_text().split()]
    return [one for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_dask_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "ftu.pipeline.workers.dask_cluster")
    monkeypatch.delattr(ftu.pipeline.workers, "dask_cluster")
    with pytest.raises(InputError, match="distributed is not installed; run `uv sync --extra dask`"):
        LOCAL.each(working.squared, [1], doing="square")


def test_a_worker_in_another_folder_or_with_other_code_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    token = Path("here")
    token.touch()
    place = dask_cluster.Place("tcp://10.0.0.1:8786", "/project", token, dask_cluster.code())
    assert place.do(pow, 2, 3) == 8
    with pytest.raises(InputError, match=r"other code or has other libraries.*cd /project && PYTHONPATH=src"):
        place._replace(code="other").do(pow, 2, 3)
    token.unlink()
    with pytest.raises(InputError, match=f"works in {tmp_path}, which is not"):
        place.do(pow, 2, 3)


# Clusters that somebody else started


def test_a_worker_whose_environment_would_decide_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GDAL_CONFIG_FILE", "mine")
    place = dask_cluster.Place("tcp://a:1", str(tmp_path), tmp_path, dask_cluster.code())
    with pytest.raises(InputError, match=r"has GDAL_CONFIG_FILE in its environment.*unset that; start"):
        place.check()
    monkeypatch.delenv("GDAL_CONFIG_FILE")
    place.check()
    assert os.environ["GDAL_CONFIG_FILE"] == os.devnull  # else ~/.gdal/gdalrc


@contextmanager
def ended(*command: str | Path, cwd: Path, path: Path | None) -> Iterator[None]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment | ({"PYTHONPATH": str(path)} if path else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory) -> Iterator[str]:
    """The address of a scheduler without workers."""
    folder = tmp_path_factory.mktemp("scheduler")
    place = folder / "scheduler.json"
    words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", place)
    with ended(DASK, "scheduler", *words, cwd=folder, path=None):
        end = time.monotonic() + WITHIN
        while not place.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        yield json.loads(place.read_text())["address"]


@contextmanager
def worker(scheduler: str, cwd: Path, *, path: Path | None, threads: int = 1) -> Iterator[None]:
    words = ("--nthreads", str(threads), "--no-dashboard", "--local-directory", "/tmp")
    with ended(DASK, "worker", scheduler, *words, cwd=cwd, path=path):
        yield


@pytest.mark.slow
def test_a_running_cluster_gives_the_same_bytes(small_sample, new_project, serial, scheduler):
    project = new_project(small_sample, compute={"executor": "dask", "scheduler": scheduler})
    with ExitStack() as team:
        for _ in range(2):
            team.enter_context(worker(scheduler, project.folder, path=ROOT / "src"))
        assert run_stages(project) == serial
    assert list((project.folder / ".ftu").glob("*.tmp-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "path", "threads", "fault"),
    [
        ("elsewhere", "src", 1, "works in {elsewhere}, which is not the folder of this project"),
        ("project", "other", 1, "has loaded other code or has other libraries"),
        ("project", None, 1, "cannot import `ftu` .*No module named"),
        ("project", "src", 2, "has 2 threads"),
    ],
)
def test_a_cluster_that_would_work_elsewhere_is_refused(
    tmp_path, monkeypatch, scheduler, where, path, threads, fault
):
    places = {name: tmp_path / name for name in ("project", "elsewhere")}
    for place in places.values():
        place.mkdir()
    other = shutil.copytree(ROOT / "src", tmp_path / "other")
    with (other / "ftu" / "files" / "rle.py").open("a") as file:
        file.write("# changed\n")
    source = {"src": ROOT / "src", "other": other, None: None}[path]
    monkeypatch.chdir(places["project"])
    with (
        worker(scheduler, places[where], path=source, threads=threads),
        pytest.raises(
            InputError, match=fault.format(**places) + f".*cd {places['project']} && PYTHONPATH=src"
        ),
    ):
        Pool("dask", 1, scheduler).each(abs, [1, 2], doing="work")


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_or_has_no_workers_is_told(monkeypatch, tmp_path, scheduler):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dask_cluster, "WITHIN", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(InputError, match=f"^compute.scheduler: no Dask scheduler answers at {address}"):
            Pool("dask", 1, address).each(abs, [1, 2], doing="work")
    with pytest.raises(InputError, match=f"^compute.scheduler: the Dask cluster {scheduler} has no worker"):
        Pool("dask", 1, scheduler).each(abs, [1, 2], doing="work")
