"""A file in DVC's cache whose bytes are not those that its name says is found and removed; no other is."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvc_files import store
from ftu.pipeline import dvc_cache, threads


@given(content=st.binary(min_size=1), at=st.integers(0), suffix=st.sampled_from(["", ".dir"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_bit_is_damage(tmp_path, content, at, suffix):
    path = store(tmp_path, content, suffix)
    assert list(dvc_cache.damaged([path])) == []
    spoilt = bytearray(content)
    spoilt[at % len(spoilt)] ^= 1 << at % 8
    path.write_bytes(spoilt)
    assert list(dvc_cache.damaged([path])) == [path]


def test_a_stage_looks_at_what_has_come_since_the_last_one(tmp_path):
    old, stamp = store(tmp_path, b"old"), tmp_path / "ftu/verified"
    old.write_bytes(b"")
    os.utime(old.parent, ns=(0, 0))
    assert dvc_cache.remove_new_damaged(tmp_path, stamp) == []  # it was there before anyone looked
    whole, empty = store(tmp_path, b"a"), store(tmp_path, b"b")
    empty.write_bytes(b"")
    assert dvc_cache.remove_new_damaged(tmp_path, stamp) == [empty]
    assert (old.exists(), whole.exists(), empty.exists()) == (True, True, False)
    assert dvc_cache.remove_new_damaged(tmp_path, stamp) == []


def test_a_cache_of_any_size_is_looked_at_in_bounded_memory(tmp_path):
    """No more files are asked for than are looked at together."""
    path, asked = store(tmp_path, b"damaged"), []
    path.write_bytes(b"")
    files = (asked.append(number) or path for number in range(10**9))
    assert next(dvc_cache.damaged(files)) == path
    assert len(asked) <= threads.SLICE


@pytest.mark.slow
def test_dvc_names_its_files_as_this_reads_them(tmp_path):
    from commands import Command

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.txt").write_text("a")
    for words in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "add", "-q", "folder"]):
        with Command(tmp_path, *words) as command:
            assert command.end()[0] == 0
    files = sorted((tmp_path / ".dvc/cache/files/md5").glob("??/*"))
    assert len(files) == 2
    assert list(dvc_cache.damaged(files)) == []
