"""`make audit`: uv itself, and a stand-in for osv.dev that knows something, or nothing, or is broken."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imports import ROOT

LOCK = """\
version = 1
requires-python = ">=3.11"
[[package]]
name = "project"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "thing" }]
[[package]]
name = "thing"
version = "2.0"
source = { registry = "ADDRESS/simple" }
wheels = [{ url = "ADDRESS/thing-2.0-py3-none-any.whl", hash = "sha256:HASH" }]
"""
FOUND = {"id": "GHSA-1", "modified": "2026-01-01T00:00:00Z"}
NOTHING, SOMETHING = {"results": [{}]}, {"results": [{"vulns": [FOUND]}]}
DETAILS = FOUND | {"aliases": ["CVE-1"], "summary": "runs what it reads", "affected": []}


class Osv(BaseHTTPRequestHandler):
    """Answers what is known of packages, and details of a vulnerability, as its server says; is no index."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.server.known)  # pyright: ignore[reportAttributeAccessIssue]

    def do_GET(self) -> None:
        self.answer(self.server.details if "/vulns/" in self.path else None)  # pyright: ignore[reportAttributeAccessIssue]

    def answer(self, content: object) -> None:
        self.send_response(200 if content else 403)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.fixture
def osv() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def audit(
    folder: Path, osv: ThreadingHTTPServer, known: object, *words: str, details: object = DETAILS
) -> subprocess.CompletedProcess[str]:
    """Make the target in a project of one package, whose uv asks `osv`; it answers with these."""
    vars(osv).update(known=known, details=details)
    address = f"http://127.0.0.1:{osv.server_port}"
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "project"\nversion = "0"\ndependencies = ["thing"]\n'
    )
    (folder / "uv.lock").write_text(LOCK.replace("ADDRESS", address).replace("HASH", "0" * 64))
    stand_in(folder, f'exec {shutil.which("uv")} "$@" --no-cache --service-url {address}')
    return make(folder, *words)


def stand_in(folder: Path, script: str) -> None:
    """Put a uv into `folder` which the Makefile prefers."""
    uv = folder / ".uv" / "bin" / "uv"
    uv.parent.mkdir(parents=True, exist_ok=True)
    uv.write_text(f"#!/bin/sh\n{script}\n")
    uv.chmod(0o755)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(folder), "-f", str(ROOT / "Makefile"), "-o", "env", "audit", *words]
    environment = os.environ | {"UV_HTTP_RETRIES": "0"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_lock_without_findings_passes(tmp_path, osv):
    done = audit(tmp_path, osv, NOTHING, "REQUIRED=1")
    assert done.returncode == 0, done.stderr
    assert "no known vulnerabilities" in done.stdout + done.stderr
    assert "SKIPPED" not in done.stderr


def test_a_finding_fails_with_the_package_and_never_as_skipped(tmp_path, osv):
    done = audit(tmp_path, osv, SOMETHING)
    assert done.returncode != 0
    assert "thing 2.0 has 1 known vulnerability" in done.stdout
    assert "GHSA-1: runs what it reads" in done.stdout
    assert "SKIPPED" not in done.stderr


@pytest.mark.parametrize("name", ["GHSA-1", "CVE-1", "GHSA-9 GHSA-1"])
def test_a_finding_is_accepted_under_any_of_its_names(tmp_path, osv, name):
    done = audit(tmp_path, osv, SOMETHING, "REQUIRED=1", f"ACCEPTED={name}")
    assert done.returncode == 0, done.stderr
    assert "SKIPPED" not in done.stderr


def test_an_exception_that_is_not_needed_any_more_is_told(tmp_path, osv):
    assert "`GHSA-9` does not match" in audit(tmp_path, osv, NOTHING, "ACCEPTED=GHSA-9").stderr


@pytest.mark.parametrize(
    ("known", "details"),
    [(None, None), ({}, None), ("a portal", None), (SOMETHING, None), (SOMETHING, {"id": 1})],
)
def test_a_database_that_cannot_be_asked_never_says_that_nothing_is_known(tmp_path, osv, known, details):
    for words, passes in (((), True), (("REQUIRED=1",), False)):
        done = audit(tmp_path, osv, known, *words, details=details)
        assert (done.returncode == 0) == passes
        assert "SKIPPED: no package was audited" in done.stderr
        assert f"127.0.0.1:{osv.server_port}/v1/" in done.stderr  # why
        assert "no known vulnerabilities" not in done.stdout + done.stderr


@pytest.mark.parametrize(("status", "skipped"), [(0, 0), (1, 0), (2, 1), (124, 1), (127, 1)])
def test_what_uv_ends_with_decides(tmp_path, status, skipped):
    stand_in(tmp_path, f"exit {status}")
    done = make(tmp_path)
    assert (done.returncode == 0, done.stderr.count("SKIPPED")) == (status != 1, skipped)


def test_the_exceptions_of_this_project_have_reasons():
    text = (ROOT / "Makefile").read_text()
    (names,) = re.findall(r"^ACCEPTED := (.*)$", text, re.MULTILINE)
    for name in names.split():
        assert re.search(rf"^# {name}: \w+", text, re.MULTILINE), name
