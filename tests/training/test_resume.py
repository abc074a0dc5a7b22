"""Laws of the state on disk: whole or not at all, of one run alone, under a key of all that decides it."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftu.cache import fingerprint, hashes
from ftu.errors import InputError
from ftu.pipeline import locks
from ftu.pipeline.params import load_params
from ftu.training import resume
from ftu.training.resume import StateFile, run_key
from imports import ROOT

OLDER: dict[str, Any] = {"rows": [{"epoch": 0, "lr": 0.1}], "weights": torch.arange(4.0), "none": None}
NEWER: dict[str, Any] = {"rows": [], "weights": torch.zeros(4), "none": ()}


@pytest.fixture
def state(tmp_path) -> StateFile:
    """A state file that holds OLDER."""
    file = StateFile(tmp_path / "training" / "fold_0-abc.state", writes=True)
    file.write(OLDER)
    return file


def names(state: StateFile) -> set[str]:
    return {path.name for path in state.path.parent.iterdir()}


def assert_holds(state: StateFile, expected: dict[str, Any]) -> None:
    found = state.read()
    assert found is not None
    assert list(found) == list(expected)
    assert torch.equal(found["weights"], expected["weights"])
    assert [found["rows"], found["none"]] == [expected["rows"], expected["none"]]


# ------------------------------------------------------------------ write, read, remove


def test_what_is_read_is_what_was_written_last(state):
    assert_holds(state, OLDER)
    state.write(NEWER)
    assert_holds(state, NEWER)
    assert names(state) == {state.path.name}


def test_where_nothing_was_written_nothing_is_read(tmp_path):
    file = StateFile(tmp_path / "absent" / "run.state", writes=True)
    assert file.read() is None
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_was_removed_is_no_more(state):
    state.remove()
    assert state.read() is None
    assert names(state) == set()


def test_another_key_is_another_state(state):
    other = StateFile(state.path.with_name("fold_0-def.state"), writes=True)
    assert other.read() is None
    other.write(NEWER)
    assert_holds(state, OLDER)


def test_a_tensor_of_a_gpu_is_read_where_there_is_none(state, monkeypatch):
    seen, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **how: seen.append(how) or load(*given, **how))
    assert_holds(state, OLDER)
    assert seen == [{"map_location": "cpu", "weights_only": True}]


# ------------------------------------------------------------------ damage


def assert_set_aside(state: StateFile, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """`content`, which is damaged, is not read again, and it is not lost."""
    state.path.write_bytes(content)
    capsys.readouterr()
    assert state.read() is None
    aside = state.path.with_suffix(".damaged")
    assert f"warning: {state.path} is damaged" in (said := capsys.readouterr().err)
    assert aside.name in said
    assert aside.read_bytes() == content
    assert not state.path.exists()
    assert state.read() is None
    assert capsys.readouterr().err == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(where=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_byte_that_changed_anywhere_is_damage(state, capsys, where, flip):
    state.write(OLDER)
    content = bytearray(state.path.read_bytes())
    content[where % len(content)] ^= flip
    assert_set_aside(state, bytes(content), capsys)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(0, 10**6))
@pytest.mark.parametrize(
    "change", [lambda content, at: content[:at], lambda content, at: content + bytes(at + 1)]
)
def test_a_file_that_is_cut_off_or_grew_is_damage(state, capsys, change, at):
    state.write(OLDER)
    content = state.path.read_bytes()
    assert_set_aside(state, change(content, at % len(content)), capsys)


def test_an_empty_file_is_damage(state, capsys):
    assert_set_aside(state, b"", capsys)


def test_after_damage_the_run_is_put_away_as_before(state, capsys):
    assert_set_aside(state, b"damaged", capsys)
    state.write(NEWER)
    assert_holds(state, NEWER)


# ------------------------------------------------------------------ a write that fails


class Full:
    """A file on a disk that takes `room` more bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> "Full":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: bytes) -> int:
        self.file.write(content[: self.room])
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(content)
        return len(content)


@pytest.mark.parametrize("room", [0, 10, 32, 500])
def test_a_full_disk_leaves_the_older_state_and_nothing_by_half(state, monkeypatch, room):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda *given, **how: Full(original(*given, **how), room))
    with pytest.raises(InputError, match=rf"{state.path}: .*the disk is full"):
        state.write(NEWER)
    monkeypatch.undo()
    assert names(state) == {state.path.name}
    assert_holds(state, OLDER)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_does_not_reach_the_disk_leaves_the_older_state(state, monkeypatch, failing):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(InputError, match=rf"{state.path}: cannot be written, the disk reports an error"):
        state.write(NEWER)
    monkeypatch.undo()
    assert names(state) == {state.path.name}
    assert_holds(state, OLDER)


def test_a_state_is_on_the_disk_before_it_takes_the_place_of_the_older_one(state, monkeypatch):
    calls, originals = [], {name: getattr(os, name) for name in ("fsync", "replace")}

    def spy(name: str) -> Callable[..., Any]:
        return lambda *given: calls.append(name) or originals[name](*given)

    for name in originals:
        monkeypatch.setattr(os, name, spy(name))
    state.write(NEWER)
    assert calls[:2] == ["fsync", "replace"]


# ------------------------------------------------------------------ one run at a time


HOLDER = """
import sys
from pathlib import Path
from ftu.training.resume import StateFile
with StateFile(Path(sys.argv[1]), writes=True).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(state: StateFile) -> None:
    lock = state.path.with_suffix(".lock")
    with pytest.raises(InputError, match=rf"{lock}: another process trains this very run"), state.held():
        pass


def test_a_second_holder_is_refused_and_the_next_is_not(state):
    with state.held():
        refused(StateFile(state.path, writes=True))
    for _ in range(2):
        with state.held():
            assert_holds(state, OLDER)
    assert names(state) == {state.path.name}


def test_a_holder_in_another_process_is_heeded_as_long_as_it_lives(state):
    with held_elsewhere(state.path) as process:
        refused(state)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with state.held():
            assert_holds(state, OLDER)


def test_an_error_lets_go_of_the_state(state):
    def fail() -> None:
        with state.held():
            raise ValueError("in training")

    with pytest.raises(ValueError, match="in training"):
        fail()
    with state.held():
        assert_holds(state, OLDER)


def test_another_run_is_held_beside_it(state):
    other = StateFile(state.path.with_name("fold_1-abc.state"), writes=True)
    with state.held(), other.held():
        assert {path.suffix for path in state.path.parent.iterdir()} == {".state", ".lock"}


def test_a_lock_that_its_holder_removed_in_between_is_no_lock(state, monkeypatch):
    """The one before lets go between this one's opening of the lock and its locking."""
    before, flock = state.held(), locks.fcntl.flock
    before.__enter__()

    def late(*given: Any) -> None:
        monkeypatch.undo()
        before.__exit__(None, None, None)
        flock(*given)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with state.held():
        refused(StateFile(state.path, writes=True))


def test_a_lock_that_was_removed_by_hand_is_no_error_at_the_end(state):
    with state.held():
        state.path.with_suffix(".lock").unlink()


# ------------------------------------------------------------------ of several processes, one writes


def test_a_process_that_does_not_write_never_touches_the_disk(tmp_path):
    file = StateFile(tmp_path / "training" / "run.state", writes=False)
    with file.held():
        file.write(OLDER)
        assert file.read() is None
        file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_write_reads_what_another_wrote_and_leaves_it(state):
    reader = StateFile(state.path, writes=False)
    with state.held(), reader.held():
        reader.write(NEWER)
        reader.remove()
        assert_holds(reader, OLDER)
    assert names(state) == {state.path.name}


# ------------------------------------------------------------------ the key


@pytest.fixture
def script(tmp_path, monkeypatch) -> Path:
    """A copy of the stage script, which is the one that runs."""
    path = tmp_path / "train.py"
    shutil.copy(ROOT / "stages" / "train.py", path)
    monkeypatch.setattr(sys, "argv", [str(path), "--fold", "0"])
    return path


@pytest.fixture
def files(tmp_path) -> list[Path]:
    made = [tmp_path / name for name in ("folds.csv", "1.png", "2.png")]
    for number, path in enumerate(made):
        path.write_text(f"content {number}")
    return made


FACTS: dict[str, Any] = {"fold": 0, "params": load_params(ROOT / "params.yaml").model_dump(include={"train"})}


def test_a_key_is_16_hex_digits_and_the_same_for_the_same_run(script, files):
    key = run_key(files, **FACTS)
    assert len(key) == 16
    assert set(key) <= set("0123456789abcdef")
    assert run_key(files[::-1], **FACTS) == key
    assert run_key(iter(files), **dict(reversed(FACTS.items()))) == key
    for path in (*files, script):
        os.utime(path, (0, 0))
        path.write_bytes(path.read_bytes())
    sys.argv[1:] = ["--fold=0"]
    assert run_key(files, **FACTS) == key


@pytest.mark.usefixtures("script")
def test_the_content_of_every_file_is_part_of_the_key(files):
    keys = {run_key(files, **FACTS)}
    for path in files:
        path.write_text(path.read_text() + ".")
        keys.add(run_key(files, **FACTS))
    keys.add(run_key(files[:2], **FACTS))
    assert len(keys) == len(files) + 2


@pytest.mark.usefixtures("script")
def test_two_files_that_change_places_are_another_run(files):
    before = run_key(files, **FACTS)
    first, second = files[1].read_text(), files[2].read_text()
    files[1].write_text(second)
    files[2].write_text(first)
    assert run_key(files, **FACTS) != before


def changes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tree with one value changed, for each of its values."""
    for name, value in tree.items():
        if isinstance(value, dict):
            for changed in changes(value):
                yield tree | {name: changed}
        else:
            yield tree | {name: [value]}


@pytest.mark.usefixtures("script")
def test_every_parameter_and_the_fold_are_part_of_the_key(files):
    found = [FACTS, *changes(FACTS)]
    assert len(found) > 30
    assert len({run_key(files, **facts) for facts in found}) == len(found)


def test_the_script_is_part_of_the_key(script, files):
    before = run_key(files, **FACTS)
    script.write_text(script.read_text() + "\n")
    assert run_key(files, **FACTS) != before


@pytest.mark.usefixtures("script")
def test_the_modules_in_use_and_the_versions_of_libraries_are_part_of_the_key(files, monkeypatch):
    keys, sha256, version = {run_key(files, **FACTS)}, hashes.sha256, fingerprint.version
    for module in ("resume.py", "checksummed.py"):
        with monkeypatch.context() as patch:
            patch.setattr(
                hashes, "sha256", lambda path, name=module: sha256(path) + "." * (path.name == name)
            )
            keys.add(run_key(files, **FACTS))
    for library in resume.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(
                fingerprint, "version", lambda name, of=library: "0" if name == of else version(name)
            )
            keys.add(run_key(files, **FACTS))
    assert len(keys) == 3 + len(resume.LIBRARIES)


def test_a_run_is_held_where_there_is_no_folder_yet(tmp_path):
    state = StateFile(tmp_path / "new" / "training" / "fold_0.state", writes=True)
    with state.held():
        assert names(state) == {"fold_0.lock"}
    assert names(state) == set()


def test_a_state_is_forgotten_after_what_came_of_it_is_on_the_disk(state, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "sync", lambda: seen.append(state.path.exists()))
    state.remove()
    assert seen == [True]
    assert not state.path.exists()
