"""`make verify-cache` removes what is damaged, names it, and fails in a line where there is no cache."""

import subprocess

import pytest

from dvc_files import store
from ftu.errors import InputError
from ftu_tools.maintenance import verify_cache


@pytest.fixture
def dvc(monkeypatch):
    """Lets `dvc cache dir` end so."""

    def end(status: int, out: str = "", err: str = "") -> None:
        done = subprocess.CompletedProcess("dvc", status, out, err)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return end


def test_what_is_damaged_is_removed_and_named(tmp_path, dvc, capsys):
    whole, empty, folder = store(tmp_path, b"a"), store(tmp_path, b"b"), store(tmp_path, b"[]", ".dir")
    unfinished = whole.with_name("tmp-of-dvc")
    unfinished.write_bytes(b"half")
    empty.write_bytes(b"")
    dvc(0, f"{tmp_path}\n")
    verify_cache.main()
    assert not empty.exists()
    assert whole.exists()
    assert folder.exists()
    assert unfinished.exists()
    out = capsys.readouterr().out
    assert f"removed {empty}: damaged" in out
    assert "4 files of DVC's cache, 1 damaged\nrun `dvc repro`" in out


@pytest.mark.parametrize(
    ("said", "words"), [("a\nnot inside of a DVC repository\n", "not inside"), ("", "status 253")]
)
def test_where_dvc_has_no_cache_its_words_are_told(dvc, said, words):
    dvc(253, "", said)
    with pytest.raises(InputError, match=rf"`dvc cache dir` fails \({words}.*\); run it in a clone"):
        verify_cache.main()
