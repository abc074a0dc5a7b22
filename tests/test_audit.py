"""The audit of pinned packages: what it accepts, what it fails on, and that it says when it was not made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu_tools.maintenance import audit
from imports import ROOT

FOUND = {
    "id": "GHSA-1", "aliases": ["CVE-1"], "summary": "runs what it reads", "fix_versions": ["2.1"],
    "dependency": {"name": "thing", "version": "2.0"},
}  # fmt: skip


def report(*findings: dict) -> dict:
    return {"summary": {"audited_packages": 9}, "vulnerabilities": list(findings), "adverse_statuses": []}


def run(folder: Path, answer: dict | str, *words: str, toml: str = "") -> subprocess.CompletedProcess[str]:
    """Run the audit in `folder`, with a uv that prints `answer`, or that fails with these words."""
    (folder / "audit.toml").write_text(toml)
    if isinstance(answer, dict):
        jsonfile.write(folder / "answer.json", answer)
        code = f"cat {folder}/answer.json; exit {bool(answer['vulnerabilities']):d}"
    else:
        code = f"echo '{answer}' >&2; exit 2"
    (folder / "uv").write_text(f"#!/bin/sh\n{code}\n")
    (folder / "uv").chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-m", "ftu_tools.maintenance.audit", *words],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PATH": path},
    )  # fmt: skip


def test_a_lock_without_findings_passes(tmp_path):
    done = run(tmp_path, report())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "audited: 9 packages, nothing that is not accepted\n"


def test_a_finding_fails_with_the_package_and_the_way_out(tmp_path):
    done = run(tmp_path, report(FOUND))
    assert done.returncode == 2
    for part in ("thing 2.0: GHSA-1: runs what it reads", "fixed in 2.1", "uv lock --upgrade-package thing"):
        assert part in done.stderr


@pytest.mark.parametrize("name", ["GHSA-1", "CVE-1"])
def test_a_finding_that_is_accepted_under_any_of_its_names_is_told_with_its_reason(tmp_path, name):
    done = run(tmp_path, report(FOUND), toml=f'[[accepted]]\nid = "{name}"\nreason = "never called"\n')
    assert done.returncode == 0
    assert "accepted: thing 2.0: GHSA-1: runs what it reads (never called)" in done.stdout


def test_an_exception_that_is_not_needed_any_more_is_told(tmp_path):
    done = run(tmp_path, report(), toml='[[accepted]]\nid = "GHSA-9"\nreason = "x"\n')
    assert done.returncode == 0
    assert "take it out of audit.toml: GHSA-9" in done.stdout


@pytest.mark.parametrize("answer", ["error: dns error", "error: unrecognized subcommand"])
def test_a_database_that_cannot_be_asked_is_told_loudly_and_fails_only_where_it_is_required(tmp_path, answer):
    done = run(tmp_path, answer)
    assert done.returncode == 0
    assert "SKIPPED: no package was audited" in done.stderr
    assert answer in done.stderr
    assert "audited:" not in done.stdout
    assert run(tmp_path, answer, "--required").returncode == 1


def test_without_uv_it_is_told_too():
    found, why = audit.ask(["a-command-that-is-not-there"])
    assert found is None
    assert "No such file" in why


@pytest.mark.parametrize(
    "toml", ["[[accepted]]\nid = 'a'", "[[accepted]]\nid = 'a'\nreason = ' '", "x", "accepted = 3"]
)
def test_an_exception_without_a_reason_is_refused(tmp_path, toml):
    (tmp_path / "audit.toml").write_text(toml)
    with pytest.raises(InputError, match=r"audit\.toml"):
        audit.accepted(tmp_path / "audit.toml")


def test_the_exceptions_of_this_project_have_reasons():
    assert audit.accepted(ROOT / "audit.toml")
