"""Outputs are all or nothing: what was there stays until the new is complete, and no rest is left behind."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from ftu.errors import InputError
from ftu.pipeline import atomic
from ftu.pipeline.atomic import in_work, whole_file, whole_files, whole_folder
from imports import ROOT


def tree(folder: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Interrupted(BaseException):
    """As Ctrl-C or SIGTERM: no Exception."""


def write(
    kind, path: Path, content: str, *, error: BaseException | type[BaseException] | None = None
) -> None:
    context: AbstractContextManager[Path] = kind(path)
    with context as temporary:
        target = temporary if kind is whole_file else temporary / "part.txt"
        target.write_text(content)
        assert temporary != path
        assert temporary.parent == (path if kind is whole_files and path.exists() else path.parent)
        assert ".tmp-" in temporary.name  # ignored by git and DVC
        if error:
            raise error


KINDS = pytest.mark.parametrize("kind", [whole_file, whole_folder, whole_files])


def place(kind, folder: Path) -> Path:
    return folder / "data" / ("out.csv" if kind is whole_file else "out")


@KINDS
def test_success_creates_and_then_replaces(tmp_path, kind):
    for content in ("first", "second"):
        write(kind, place(kind, tmp_path), content)
        name = "data/out.csv" if kind is whole_file else "data/out/part.txt"
        files = {name: text for name, text in tree(tmp_path).items() if text is not None}
        assert files == {name: content}


@KINDS
@pytest.mark.parametrize("error", [ValueError, SystemExit, Interrupted])
@pytest.mark.parametrize("old", [True, False])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, kind, error, old):
    path = place(kind, tmp_path)
    path.parent.mkdir()
    if old:
        write(kind, path, "old")
    before = tree(tmp_path)
    with pytest.raises(error):
        write(kind, path, "half", error=error)
    assert tree(tmp_path) == before


@KINDS
def test_leftovers_of_killed_runs_are_removed_and_neighbours_are_not(tmp_path, kind):
    path = place(kind, tmp_path)
    (path.parent / "out.tmp-1").mkdir(parents=True)
    (path.parent / "out.tmp-1" / "half.png").touch()
    (path.parent / "out.tmp-2.csv").touch()
    (path.parent / "another.tmp-3").mkdir()
    (path.parent / "out-other").mkdir()
    write(kind, path, "new")
    assert {each.name for each in path.parent.iterdir()} == {"another.tmp-3", path.name, "out-other"}


def test_a_replaced_folder_keeps_nothing_of_the_old_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dropped.png").touch()
    write(whole_folder, tmp_path / "out", "new")
    assert tree(tmp_path) == {"out": None, "out/part.txt": "new"}


def test_files_move_into_a_folder_that_keeps_its_others(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitignore").write_text("*")
    write(whole_files, tmp_path / "out", "new")
    assert tree(tmp_path) == {"out": None, "out/.gitignore": "*", "out/part.txt": "new"}


def test_neighbours_may_be_written_at_the_same_time(tmp_path):
    for first, second in itertools.permutations(["fold_1", "fold_10"]):
        with whole_folder(tmp_path / first) as one, whole_folder(tmp_path / second) as other:
            (one / "a").touch()
            (other / "b").touch()
        assert set(tree(tmp_path)) >= {f"{first}/a", f"{second}/b"}


# Writes a folder, and hands over between what the test gives in the place of PART.
WRITER = """import os, signal, sys
from pathlib import Path
from ftu.pipeline.atomic import whole_folder
PART
with whole_folder(Path("out")) as folder:
    (folder / "part.txt").write_text("new")
    print("writing", flush=True)
    sys.stdin.read()
"""
KILLED_AT = """replace, left = os.replace, [NUMBER]
def last(*paths):
    left[0] -= 1
    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = last
"""


def writer(folder: Path, part: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.replace("PART", part)], cwd=folder, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_a_temporary_that_another_process_writes_stays_until_that_process_has_ended(tmp_path):
    with writer(tmp_path) as other:
        assert other.stdout
        assert other.stdout.readline() == "writing\n"
        write(whole_folder, tmp_path / "out", "mine")
        (temporary,) = tmp_path.glob("out.tmp-*")
        other.kill()
        other.wait()
        assert temporary.exists()
    write(whole_folder, tmp_path / "out", "mine again")
    assert tree(tmp_path) == {"out": None, "out/part.txt": "mine again"}


@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_at_a_rename_leaves_the_old_folder_which_comes_back_before_the_next_is_written(
    tmp_path, rename
):
    write(whole_folder, tmp_path / "out", "old")
    other = writer(tmp_path, KILLED_AT.replace("NUMBER", str(rename)))
    other.communicate("")
    assert other.returncode == -signal.SIGKILL
    assert (tmp_path / "out").exists() == (rename == 1)
    with pytest.raises(Interrupted):
        write(whole_folder, tmp_path / "out", "half", error=Interrupted)
    assert tree(tmp_path) == {"out": None, "out/part.txt": "old"}


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    write(whole_folder, tmp_path / "out", "old")
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if (source / "part.txt").read_text() == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match="the disk reports an error"):
        write(whole_folder, tmp_path / "out", "new")
    assert tree(tmp_path) == {"out": None, "out/part.txt": "old"}


@KINDS
def test_what_takes_its_place_is_on_the_disk(tmp_path, kind, monkeypatch):
    synced, replace, fsync = set(), os.replace, os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def check(source: Path, target: Path) -> None:
        assert {each.stat().st_ino for each in [source, *source.rglob("*")]} <= synced
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", check)
    write(kind, place(kind, tmp_path), "new")
    assert synced


def test_files_wait_for_the_disk_together(tmp_path, monkeypatch):
    """One by one, a network disk takes minutes for some thousands."""
    together = threading.Barrier(4, timeout=30)
    monkeypatch.setattr(os, "fsync", lambda _: together.wait())
    with whole_folder(tmp_path / "out") as folder:
        for name in "abc":
            (folder / name).touch()


@KINDS
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full; make room"),
        (RuntimeError("libx: No space left on device (28)"), "the disk is full; make room"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "its disk is read-only"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "quota"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "is not yours to write to"),
    ],
)
def test_what_the_disk_refuses_is_said_in_words(tmp_path, kind, error, words, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=words) as told:
        write(kind, place(kind, tmp_path), "half", error=error)
    assert str(told.value).startswith(f"{place(kind, tmp_path)}: cannot be written")
    assert "run `dvc repro` again" in str(told.value)


@KINDS
def test_a_folder_that_vanishes_is_said_in_words(tmp_path, kind):
    def write_nowhere() -> None:
        with kind(place(kind, tmp_path)) as temporary:
            shutil.rmtree(tmp_path / "data")
            (temporary if kind is whole_file else temporary / "a").write_text("new")

    with pytest.raises(InputError, match="vanished while it was written to"):
        write_nowhere()


@KINDS
@pytest.mark.parametrize(
    "error",
    [
        ValueError("an image"),
        FileNotFoundError(errno.ENOENT, "an image"),
        PermissionError(errno.EACCES, "an image"),
    ],
)
def test_other_errors_stay_as_they_are(tmp_path, kind, error):
    with pytest.raises(type(error), match="an image"):
        write(kind, place(kind, tmp_path), "half", error=error)


@KINDS
def test_a_disk_that_lets_nothing_be_made_or_removed_is_said_in_words(tmp_path, kind, monkeypatch):
    place(kind, tmp_path).parent.mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "unlink", "open"):  # also of a name that is not there
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(InputError, match="its disk is read-only"):
        write(kind, place(kind, tmp_path), "new")


@KINDS
def test_a_library_that_does_not_say_why_is_asked_of_the_disk(tmp_path, kind, monkeypatch):
    """GDAL says "Write error at scanline 56"; whether there is room, the disk knows."""

    class Full:
        def write(self, content: bytes) -> None:
            raise OSError(errno.ENOSPC, f"no room for {len(content)}")

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(RuntimeError, match="scanline 56"):
        write(kind, place(kind, tmp_path), "half", error=RuntimeError("scanline 56"))
    asked = []
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **at: asked.append(at["dir"]) or Full())
    with pytest.raises(InputError, match="the disk is full; make room"):
        write(kind, place(kind, tmp_path), "half", error=RuntimeError("scanline 56"))
    assert asked == [place(kind, tmp_path).parent]
    assert tree(tmp_path) == {"data": None}


def limited(script: str, folder: Path, most: int) -> str:
    """What a script says that may write no file larger than that."""
    preamble = f"import resource, signal, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", preamble + script]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    ).stderr


WRITERS = {
    "rasterio": "from ftu.files import gdal\n"
    "how = {'height': 999, 'width': 99, 'count': 3, 'dtype': 'uint8'}\n"
    "with gdal.opened(path, 'w', driver='GTiff', **how) as tiff: tiff.write(noise(3, 999, 99))",
    "cv2": "from ftu.files import png\npng.write_image(path, noise(999, 999, 3))",
    "pandas": "import pandas as pd\npd.DataFrame(noise(99, 9999)).to_csv(path)",
    "json": "import json\nwith path.open('w') as file: json.dump(noise(99, 9999).tolist(), file)",
    "safetensors": "from safetensors.numpy import save_file\nsave_file({'a': noise(999, 999)}, path)",
    "matplotlib": "from matplotlib.figure import Figure\nfigure = Figure((9, 9))\n"
    "figure.subplots().imshow(noise(999, 999))\nfigure.savefig(path, dpi=300)",
}
NOISE = """import numpy as np
from pathlib import Path
from ftu.pipeline.atomic import whole_file
def noise(*shape): return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
with whole_file(Path("out.SUFFIX")) as path:
"""
SUFFIXES = {"rasterio": "tif", "pandas": "csv", "json": "json", "safetensors": "safetensors"}


@pytest.mark.parametrize("library", WRITERS)
def test_whatever_library_writes_what_stops_it_is_said_in_words(tmp_path, library):
    """A limit on files stands for a disk: both make a write fail in the middle."""
    script = NOISE.replace("SUFFIX", SUFFIXES.get(library, "png"))
    script += "".join(f"    {line}\n" for line in WRITERS[library].splitlines())
    said = limited(script, tmp_path, 100_000).splitlines()[-1]
    assert said.startswith("ftu.errors.InputError: out.")
    assert "cannot be written, it is larger than a file may be here (`ulimit -f`)" in said
    assert not list(tmp_path.iterdir())


def test_a_writer_whose_end_nobody_asked_for_has_ended(tmp_path):
    """In a container whose first process asks for no ends, they stay in the table of processes."""
    with writer(tmp_path) as other:
        assert other.stdout
        assert other.stdout.readline() == "writing\n"
        (temporary,) = tmp_path.iterdir()
        assert in_work(temporary)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{other.pid}/stat").exists()
        assert not in_work(temporary)
        write(whole_folder, tmp_path / "out", "mine")
        assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_who_writes_is_told_by_pid_and_start_whatever_its_name_and_size(tmp_path):
    """A number that is in use again is another process: the times differ."""
    script = (
        "import sys\nprint('named', flush=True)\nfull = bytearray(100_000_000)\nfull[::4096] = b'1' * 24415"
    )
    script += "\nprint('grown', flush=True)\nsys.stdin.read()"
    program = tmp_path / "a) 1 (b"
    program.symlink_to(sys.executable)
    environment = os.environ | {"PYTHONHOME": sys.base_prefix}
    with subprocess.Popen(
        [program, "-c", script], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "named\n"
        assert ") 1 (" in Path(f"/proc/{process.pid}/comm").read_text()
        before = atomic._started(process.pid)
        assert process.stdout.readline() == "grown\n"
        assert atomic._started(process.pid) == before
        ticks = os.sysconf("SC_CLK_TCK")
        assert int(before) / ticks == pytest.approx(psutil.Process(process.pid).create_time() - boot(), abs=1)
        now = tmp_path / f"out.tmp-{process.pid}-{before}"
        again = tmp_path / f"out.tmp-{process.pid}-{int(before) - 1}"
        assert in_work(now)
        assert not in_work(again)


def boot() -> float:
    return psutil.boot_time()


def test_a_place_two_folders_deep_is_made(tmp_path):
    write(whole_file, tmp_path / "a/b/out.csv", "new")
    assert (tmp_path / "a/b/out.csv").read_text() == "new"


def test_leftovers_of_a_name_with_brackets_are_found(tmp_path):
    for name in ("out[x].tmp-1", "outx.tmp-1"):
        (tmp_path / name).mkdir()
    write(whole_folder, tmp_path / "out[x]", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"out[x]", "outx.tmp-1"}


def test_a_rest_that_cannot_be_removed_stops_no_writing(tmp_path, monkeypatch):
    (tmp_path / "out.tmp-1" / "inner").mkdir(parents=True)
    (tmp_path / "out.tmp-2").touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for name in ("rmdir", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    write(whole_folder, tmp_path / "out", "new")
    monkeypatch.undo()
    assert (tmp_path / "out/part.txt").read_text() == "new"


@KINDS
def test_bad_input_inside_is_told_as_it_is(tmp_path, kind):
    """Though the disk is full, too."""
    error = InputError(f"a table: {os.strerror(errno.ENOSPC)}")
    with pytest.raises(InputError) as told:
        write(kind, place(kind, tmp_path), "half", error=error)
    assert told.value is error


@KINDS
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_folder_of_another_owner_is_said_in_words(tmp_path, kind, number, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="is not yours to write to"):
        write(kind, place(kind, tmp_path), "half", error=OSError(number, os.strerror(number)))


def test_a_folder_that_became_a_file_has_vanished(tmp_path):
    def spoilt() -> None:
        with whole_file(tmp_path / "data/out.csv") as path:
            shutil.rmtree(tmp_path / "data")
            (tmp_path / "data").touch()
            path.write_text("new")

    with pytest.raises(InputError, match="vanished while it was written to"):
        spoilt()
