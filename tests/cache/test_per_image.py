"""Laws of the item cache: equal ingredients are found again, any other is not, and damage is never served."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ftu.cache import entries, fingerprint, hashes, per_image
from ftu.cache.per_image import Kept
from ftu.errors import InputError
from ftu.pipeline import paths
from ftu_tools.maintenance import prune_cache
from imports import ROOT

called: list[tuple] = []  # the arguments of each call that was not found


def shout(source: Path, target: Path, times: int) -> dict:
    """Reads a file, writes another, returns a dict."""
    called.append((source, target, times))
    text = source.read_bytes().upper() * times
    target.write_bytes(text)
    return {"length": len(text), "share": times / 3}


def change_and_shout(source: Path, target: Path, times: int) -> dict:
    source.write_bytes(source.read_bytes() + b"!")
    return shout(source, target, times)


def refuse(source: Path, *_: object) -> dict:
    raise InputError(f"{source}: no")


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    called.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "items"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    return path


def kept(folder: Path, function=shout, *, reads: int = 1, writes: int = 1, code: str = "code") -> Kept:
    return Kept(function, reads, writes, folder, code)


def entry_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------ keys

FUNCTIONS = [shout, refuse, partial(shout, times=1), partial(shout, times=2)]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


def _sorted(table: dict) -> dict:
    return {name: table[name] for name in sorted(table)}


VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner).map(_sorted), max_leaves=5
)
INGREDIENTS = {
    "code": st.text(),
    "function": st.sampled_from(FUNCTIONS),
    "writes": st.integers(0, 3),
    "contents": st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3),
    "values": st.lists(VALUES, max_size=3),
}


def key_of(ingredients: dict) -> str:
    made = kept(Path(), ingredients["function"], writes=ingredients["writes"], code=ingredients["code"])
    return made.key(ingredients["contents"], ingredients["values"])


@given(st.fixed_dictionaries(INGREDIENTS), st.sampled_from(list(INGREDIENTS)), st.data())
def test_any_other_ingredient_is_another_key_and_equal_ones_are_the_same(ingredients, name, data):
    other = data.draw(INGREDIENTS[name])
    assume(repr(other) != repr(ingredients[name]))
    assert key_of(ingredients | {name: other}) != key_of(ingredients)
    assert key_of(pickle.loads(pickle.dumps(ingredients))) == key_of(ingredients)


ARRAYS = arrays(np.uint8, array_shapes(max_dims=3, max_side=4))


@given(ARRAYS, st.data())
def test_an_array_is_told_by_its_values_type_and_shape(array, data):
    place = tuple(data.draw(st.integers(0, side - 1)) for side in array.shape)
    changed = array.copy()
    changed[place] = 1 if array[place] != 1 else 0
    others = [array, changed, array[None], array.astype(np.float32)]
    assert len({hashes.of(other) for other in others}) == len(others)
    assert hashes.of(array.copy(order="F")) == hashes.of(array)


@pytest.mark.parametrize("value", [Path("a.txt"), lambda: 0, object(), Kept])
def test_what_cannot_be_told_apart_is_refused(value):
    with pytest.raises(TypeError, match="cannot be told"):
        hashes.of([value])


@pytest.fixture
def script(monkeypatch, tmp_path) -> Path:
    path = tmp_path / "script.py"
    path.write_text("one")
    monkeypatch.setattr(sys, "argv", [str(path)])
    return path


def code(folder: Path) -> str:
    return per_image.keeper(folder)(shout, reads=1, writes=1).code


def test_the_code_is_the_script_the_modules_in_use_and_the_libraries(folder, script, monkeypatch):
    """Of a process, and nothing else: a change of any is another key."""
    codes, sha256, version = [code(folder)], hashes.sha256, fingerprint.version
    for name in ("per_image.py", "entries.py", "hashes.py"):
        with monkeypatch.context() as patch:
            patch.setattr(hashes, "sha256", lambda path, of=name: sha256(path) + "." * (path.name == of))
            codes.append(code(folder))
    packages = set(fingerprint.PIXELS) - {"gdal"}
    for library in packages:
        with monkeypatch.context() as patch:
            patch.setattr(
                fingerprint, "version", lambda name, of=library: "0" if name == of else version(name)
            )
            codes.append(code(folder))
    with monkeypatch.context() as patch:
        patch.setattr(rasterio, "__gdal_version__", "0")
        codes.append(code(folder))
    script.write_text("two")
    codes.append(code(folder))
    assert len(set(codes)) == len(codes) == 6 + len(packages)
    script.write_text("one")
    assert code(folder) == codes[0]


@pytest.mark.usefixtures("script")
def test_what_only_runs_things_is_no_part_of_the_code(folder, monkeypatch):
    machinery = sorted((fingerprint.LIBRARY / fingerprint.MACHINERY).rglob("*.py"))
    for path in machinery:
        import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
    before, sha256 = code(folder), hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: sha256(path) + "." * (path in machinery))
    assert code(folder) == before
    assert any(path.name == "tasks.py" for path in machinery)


# ------------------------------------------------------------------ code that changes

CHANGES = textwrap.dedent("""
    import sys
    from pathlib import Path
    from ftu.cache import per_image
    from ftu.files import rle
    from ftu.pipeline.stage import run
    from ftu.pipeline.workers.pool import Pool
    from made import make

    def main():
        keep, module = per_image.keeper(Path("items")), Path(rle.__file__)
        content = module.read_text()
        if when == "before":
            module.write_text(content + "# edited")
        work = keep(make, reads=0, writes=1)
        targets = [Path(f"{number}.txt") for number in range(8)]
        Pool("process", workers, "").each(work, targets, range(8), [str(module)] * 8, doing="make")

    workers, when = int(sys.argv[1]), sys.argv[2]
    if __name__ == "__main__":
        run(main)
""")
MADE = textwrap.dedent("""
    import sys

    def make(target, number, module):
        target.write_text(str(number))
        if sys.argv[2] == "meanwhile":
            with open(module, "a") as file:
                file.write("# edited")
        return {}
""")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("when", ["before", "meanwhile", "never"])
def test_nothing_is_kept_of_code_that_changes_while_the_stage_runs(tmp_path, workers, when):
    """The entry would be found by the code before, and may hold what the code after it makes."""
    shutil.copytree(ROOT / "src/ftu", tmp_path / "ftu", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "stage.py").write_text(CHANGES)
    (tmp_path / "made.py").write_text(MADE)
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    done = subprocess.run(
        [sys.executable, "stage.py", workers, when], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=environment | {"PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    if when == "never":
        assert (done.returncode, len(entry_files(tmp_path / "items"))) == (0, 8)
    else:
        told = "stage: error: the code changed while the stage runs; run `dvc repro` again\n"
        assert (done.returncode, done.stderr, entry_files(tmp_path / "items")) == (2, told, [])


# ------------------------------------------------------------------ round trip


def write_all(*arguments: Any) -> dict:
    """Writes what it is given, into as many targets; None into none."""
    *targets, result, files = arguments
    called.append(arguments)
    for target, content in zip(targets, files, strict=True):
        if content is not None:
            target.write_bytes(bytes.fromhex(content))
    return result


FILES = st.lists(st.none() | st.binary(max_size=200).map(bytes.hex), max_size=3)


@given(result=st.dictionaries(st.text(), VALUES), files=FILES)
def test_what_is_found_is_what_was_made(result, files):
    called.clear()
    with tempfile.TemporaryDirectory() as scratch:
        work = kept(Path(scratch) / "items", write_all, reads=0, writes=len(files))
        for place in ("first", "again"):
            to = Path(scratch) / place
            to.mkdir()
            made = work(*(to / str(number) for number in range(len(files))), result, files)
            assert made == (result, place == "again", "")
            expected = {str(number): file for number, file in enumerate(files) if file is not None}
            assert {path.name: path.read_bytes().hex() for path in to.iterdir()} == expected
    assert len(called) == 1


def test_names_play_no_part_and_bytes_do(folder, source, tmp_path):
    work, (first, second) = kept(folder), (tmp_path / "1", tmp_path / "2")
    assert work(source, first, 2) == ({"length": 6, "share": 2 / 3}, False, "")
    twin = tmp_path / "elsewhere.txt"
    shutil.copy(source, twin)
    assert work(twin, second, 2).found
    assert second.read_bytes() == first.read_bytes() == b"ABCABC"
    twin.write_bytes(b"abd")
    assert not work(twin, second, 2).found
    assert second.read_bytes() == b"ABDABD"
    assert not work(source, second, 3).found
    assert len(called) == 3


def test_it_can_be_sent_to_another_process(folder, source, tmp_path):
    work = kept(folder, partial(shout, times=2))
    work(source, tmp_path / "1")
    assert pickle.loads(pickle.dumps(work))(source, tmp_path / "2").found


def test_entries_lie_in_the_project_seen_from_where_it_runs(monkeypatch, tmp_path):
    """A worker on another machine, where the disk has another name, takes its own way there."""
    copy = tmp_path / ".dvc/tmp/exps/one"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert paths.items() == Path(".ftu/items")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert not paths.items().is_absolute()
    assert paths.items().resolve() == tmp_path / ".ftu/items"


def test_an_error_passes_and_keeps_nothing(folder, source, tmp_path):
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.txt: no"):
            kept(folder, refuse)(source, tmp_path / "1", 2)
    missing = tmp_path / "gone.txt"
    with pytest.raises(InputError, match=r"gone\.txt: no"):  # in the function's own words
        kept(folder, refuse)(missing, tmp_path / "1", 2)
    assert entry_files(folder) == []


def test_an_edited_output_edits_no_entry(folder, source, tmp_path):
    target = tmp_path / "1"
    for _ in range(2):
        kept(folder)(source, target, 2)
        assert target.read_bytes() == b"ABCABC"
        with target.open("r+b") as file:  # in place, as through a hard link
            file.write(b"x")
    assert len(called) == 1


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, source, tmp_path):
    """Else the entry of the one content would hold what was made of the other."""
    made = kept(folder, change_and_shout)(source, tmp_path / "1", 1)
    assert (made.found, made.trouble) == (False, "")
    source.write_bytes(b"abc")
    assert not kept(folder, change_and_shout)(source, tmp_path / "1", 1).found
    assert entry_files(folder) == []


# ------------------------------------------------------------------ damage, full disks, two runs


@given(seed=st.integers(0, 2**32 - 1), cut=st.booleans())
def test_a_damaged_entry_is_told_of_and_made_again(seed, cut):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder, source, target = (Path(scratch) / name for name in ("items", "a.txt", "1"))
        source.write_bytes(b"abc")
        kept(folder)(source, target, 2)
        (entry,) = entry_files(folder)
        content = bytearray(entry.read_bytes())
        place = int(rng.integers(len(content)))
        content[place] ^= int(rng.integers(1, 256))
        entry.write_bytes(content[:place] if cut else content)
        target.unlink()
        made = kept(folder)(source, target, 2)
        assert (made.result["length"], made.found) == (6, False)
        assert target.read_bytes() == b"ABCABC"
        assert per_image.warning([made]) == f"the item cache: {entry} was damaged and is made again"
        assert kept(folder)(source, target, 2) == (made.result, True, "")


@pytest.fixture(params=["write", "replace"])
def full_disk(request, monkeypatch) -> None:
    """A disk that takes an entry in part only, or not its name."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if request.param == "replace":
        monkeypatch.setattr(os, "replace", fail)
        return
    opened = Path.open

    def open_full(path: Path, mode: str = "r", **settings):
        file = opened(path, mode, **settings)
        if ".tmp-" in path.name:
            return _Full(file)
        return file

    monkeypatch.setattr(Path, "open", open_full)


class _Full:
    def __init__(self, file) -> None:
        self.file, self.room = file, 40

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.room -= self.file.write(content[: self.room])
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_fails_no_work_and_leaves_no_half_of_an_entry(folder, source, tmp_path):
    made = kept(folder)(source, tmp_path / "1", 2)
    assert (tmp_path / "1").read_bytes() == b"ABCABC"
    assert not made.found
    assert "cannot be kept (No space left on device)" in per_image.warning([made])
    assert entry_files(folder) == []


def test_a_folder_that_cannot_be_written_fails_no_work(folder, source, tmp_path):
    folder.write_text("a file where the folder should be")
    made = kept(folder)(source, tmp_path / "1", 2)
    assert (tmp_path / "1").read_bytes() == b"ABCABC"
    assert "cannot be kept (" in made.trouble


def test_many_troubles_are_told_in_one_sentence():
    troubled = [per_image.Item({}, False, f"{number} was damaged") for number in range(5)]
    said = "the item cache: 0 was damaged; 1 was damaged; 2 was damaged, and 2 more like these"
    assert per_image.warning([*troubled, per_image.Item({}, True, "")]) == said
    assert per_image.warning([per_image.Item({}, True, "")]) == ""
    assert per_image.count([*troubled, per_image.Item({}, True, "")]) == "1 from the cache"


def test_two_runs_may_make_the_same_at_once(folder):
    """Each reader finds nothing or the whole, each writer succeeds, and one entry is left."""
    payload = os.urandom(2**18)

    def run(_: int) -> tuple[str, bytes | None]:
        return entries.write(folder, "abcd", payload), entries.read(folder, "abcd").payload

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(64))) == {("", payload)}
    assert entry_files(folder) == [entries.place(folder, "abcd")]


# ------------------------------------------------------------------ the hashes of large files


@pytest.fixture
def hashed(monkeypatch) -> list[Path]:
    """The files that are hashed; all count as large, and as settled."""
    seen, sha256 = [], hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda path: seen.append(path) or sha256(path))
    monkeypatch.setattr(per_image, "LARGE", 0)
    later = time.time_ns() + 10 * per_image.SETTLED
    monkeypatch.setattr(time, "time_ns", lambda: later)
    return seen


def test_a_large_file_is_hashed_once(folder, source, hashed):
    assert {per_image.content(source, folder) for _ in range(3)} == {hashes.sha256(source)}
    assert hashed == [source, source]  # of which the last is the line above
    moved = source.rename(source.with_name("b.txt"))
    per_image.content(moved, folder)
    assert hashed[2:] == [moved]


def test_a_change_is_seen_even_when_size_and_time_stay(folder, source, hashed):
    before, state = per_image.content(source, folder), source.stat()
    while source.stat().st_ctime_ns == state.st_ctime_ns:  # until the clock of the file system ticks
        source.write_bytes(b"abd")
        os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (source.stat().st_size, source.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert per_image.content(source, folder) not in ("", before)
    assert len(hashed) == 2


def test_a_file_that_has_just_changed_is_not_remembered(folder, source, hashed, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: source.stat().st_ctime_ns + per_image.SETTLED)
    for _ in range(2):
        per_image.content(source, folder)
    assert len(hashed) == 2
    assert entry_files(folder) == []


def test_a_small_file_is_not_worth_remembering(folder, source):
    per_image.content(source, folder)
    assert entry_files(folder) == []


# ------------------------------------------------------------------ pruning


def age(path: Path, days: float) -> None:
    used = time.time() - days * prune_cache.DAY
    os.utime(path, (used, used))


@pytest.fixture
def aged(folder) -> list[Path]:
    """Entries 0 to 9, written so many days and an hour ago; the last one by half, in a killed run."""
    for number in range(10):
        entries.write(folder, f"{number:02d}ff", b"x" * number)
    paths = [entries.place(folder, f"{number:02d}ff") for number in range(10)]
    paths[9] = paths[9].rename(paths[9].with_name("ff.tmp-123"))
    for number, path in enumerate(paths):
        age(path, number + 1 / 24)
    return paths


def test_what_was_not_used_for_so_many_days_is_removed(folder, aged):
    assert entries.read(folder, "08ff").payload == b"x" * 8  # which uses it
    assert prune_cache.prune(folder, 6) == (3, 3 * 32 + 6 + 7 + 9, 10)
    assert entry_files(folder) == sorted([*aged[:6], aged[8]])
    assert prune_cache.prune(folder, 0) == (7, 7 * 32 + sum(range(6)) + 8, 7)
    assert entry_files(folder) == []
    assert prune_cache.prune(folder / "absent", 0) == (0, 0, 0)


@pytest.mark.parametrize("days", [-1, float("nan")])
def test_a_number_of_days_that_is_none_is_refused(folder, aged, days):
    with pytest.raises(InputError, match=r"DAYS: .* is no number of days"):
        prune_cache.prune(folder, days)
    assert len(entry_files(folder)) == len(aged)
