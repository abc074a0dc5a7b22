"""Laws of merging dvc.lock: nobody's stage is lost, neither side comes first, and a contradiction is told."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ftu.errors import InputError
from ftu_tools.maintenance import merge_dvc_lock
from imports import ROOT

STAGES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@given(STAGES, STAGES)
def test_where_one_side_changed_nothing_the_other_is_taken(base, changed):
    assert merge_dvc_lock.merge(base, base, changed) == changed
    assert merge_dvc_lock.merge(base, changed, base) == changed
    assert merge_dvc_lock.merge(base, changed, changed) == changed


@given(STAGES, STAGES, STAGES)
def test_sides_are_equal_and_each_keeps_what_it_alone_changed(base, ours, theirs):
    sides = (base, ours, theirs)
    values = [tuple(side.get(name) for side in sides) for name in {*ours, *theirs}]
    odd = [one for before, one, other in values if one != other and before not in (one, other)]
    if odd:
        with pytest.raises(InputError, match="both sides ran"):
            merge_dvc_lock.merge(*sides)
        return
    merged = merge_dvc_lock.merge(*sides)
    assert merged == merge_dvc_lock.merge(base, theirs, ours)
    for name in {*base, *ours, *theirs}:
        changed = [side.get(name) for side in sides[1:] if side.get(name) != base.get(name)]
        assert merged.get(name) == (changed[0] if changed else base.get(name))


def test_two_machines_that_add_their_folds_merge_where_git_alone_would_not(tmp_path):
    def git(*words: str, status: int = 0) -> None:
        done = subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr

    def write(*folds: int) -> None:
        stages = {"split": {"cmd": "x"}} | {f"train@{fold}": {"cmd": f"fold {fold}"} for fold in folds}
        with (tmp_path / "dvc.lock").open("w") as file:
            YAML().dump({"schema": "2.0", "stages": stages}, file)
        git("add", "-A")
        git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "run")

    git("init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    driver = f"env PYTHONPATH={ROOT}/src {sys.executable} -m ftu_tools.maintenance.merge_dvc_lock %O %A %B"
    write()
    git("checkout", "-q", "-b", "machine")
    write(1, 3)
    git("checkout", "-q", "main")
    write(0, 2)
    git("merge", "-q", "--no-commit", "machine", status=1)
    git("merge", "--abort")
    git("config", "merge.dvclock.driver", driver)
    git("merge", "-q", "--no-commit", "machine")
    merged = YAML(typ="safe").load((tmp_path / "dvc.lock").read_text())
    assert list(merged["stages"]) == ["split", "train@0", "train@2", "train@1", "train@3"]
    assert merged["schema"] == "2.0"
