"""Outputs are all or nothing: what was there stays until the new is complete, and no rest is left behind."""

import itertools
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ftu.whole import whole_file, whole_files, whole_folder


def tree(folder: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Interrupted(BaseException):
    """As Ctrl-C or SIGTERM: no Exception."""


def write(kind, path: Path, content: str, *, error: type[BaseException] | None = None) -> None:
    context: AbstractContextManager[Path] = kind(path)
    with context as temporary:
        target = temporary if kind is whole_file else temporary / "part.txt"
        target.write_text(content)
        assert temporary != path
        assert temporary.parent == path.parent  # one file system: the move is atomic
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
