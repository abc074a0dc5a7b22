"""The fault suite in a shorter form: every kind of fault in one stage; and that it would tell of a loss."""

import random
import re
import subprocess
import sys

import pytest

import faults
from faults import Fault
from imports import ROOT
from injected import FAULTS
from undisturbed import NotSurvivedError, Project, Span, Undisturbed

TOLD = re.compile(r"faults: (\d+) injected, (\d+) survived\n$")


@pytest.mark.slow
def test_one_stage_survives_every_kind_of_fault():
    program = [sys.executable, str(ROOT / "tests/support/faults.py")]
    words = ["--kills", "3", "--seed", "1", "--stages", "decode"]
    done = subprocess.run([*program, *words], text=True, stdout=-1, stderr=subprocess.STDOUT, check=False)
    told = TOLD.search(done.stdout)
    assert told, done.stdout
    assert done.returncode == 0, done.stdout
    assert told[1] == told[2]
    assert int(told[1]) >= len(FAULTS) - 3  # no disk can be mounted, and nothing is cached by item


def test_a_loss_is_listed_and_makes_the_status_1(capsys):
    kept = Fault("kill", "decode", "SIGKILL", "")
    lost = Fault("full", "split", "disk full", "dvc.lock differs")
    assert faults.report([kept], ["decode", "split"]) == 0
    assert capsys.readouterr().out.endswith("\nfaults: 1 injected, 1 survived\n")
    assert faults.report([kept, lost], ["decode", "split"]) == 1
    out = capsys.readouterr().out
    assert out.endswith("\nfaults: 2 injected, 1 survived\n")
    assert "not survived: full in split: disk full: dvc.lock differs\n" in out
    traceback = Fault("full", "sample", "disk full", "told by:\nTraceback\n  File\nError: scanline 56\n")
    faults.report([traceback], ["sample"])
    assert "disk full: told by: Error: scanline 56\n" in capsys.readouterr().out


# A stage that DVC knows by heart, and a dvc that writes what the test says.
DVC = """#!/bin/sh
mkdir -p data && printf '%s' "$BYTES" > data/out.csv && cp "$LOCK" dvc.lock
[ -z "$LEFT" ] || touch data/out.tmp-1.csv
exit $STATUS
"""
LOCK = (
    b"stages:\n  decode:\n    outs:\n    - path: data/out.csv\n      md5: 900150983cd24fb0d6963f7d28e17f72\n"
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """Where `dvc` ends as an undisturbed run does: abc in its one output."""
    (tmp_path / "before").mkdir()
    (tmp_path / "ftu").mkdir()
    (tmp_path / "lock").write_bytes(LOCK)
    undisturbed = Undisturbed(tmp_path / "before", LOCK, Span(1, 1, 0))
    project = Project(tmp_path / "ftu", "decode", undisturbed, random.Random(0))
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/dvc"
    fake.write_text(DVC)
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake.with_name("python")))
    for name, value in {"BYTES": "abc", "LOCK": str(tmp_path / "lock"), "LEFT": "", "STATUS": "0"}.items():
        monkeypatch.setenv(name, value)
    return project


def test_a_run_that_ends_like_the_undisturbed_one_is_whole(project):
    project.finish()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BYTES", "abd", "data/out.csv is not what dvc.lock says"),
        ("LEFT", "a temporary", "left over"),
        ("STATUS", "1", "the next dvc repro failed"),
        ("LOCK", "another", "dvc.lock differs: [+] outs: nothing$"),
    ],
)
def test_a_run_that_ends_otherwise_is_not(project, monkeypatch, tmp_path, name, value, words):
    (tmp_path / "ftu/another").write_bytes(LOCK + b"outs: nothing\n")
    monkeypatch.setenv(name, value)
    with pytest.raises(NotSurvivedError, match=words):
        project.finish()
