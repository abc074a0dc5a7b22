"""`make release`: files of a commit whose version, changelog, citation and tag agree, and nothing else."""

import hashlib
import json
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ftu_tools.maintenance import release
from imports import ROOT

FILES = {
    "pyproject.toml": '[project]\nname = "toy"\nversion = "1.2.3"\nrequires-python = ">=3.11"\n',
    "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "toy"\nversion = "1.2.3"\n'
    'source = { virtual = "." }\n',
    "CHANGELOG.md": "# Changelog\n\n## 1.2.3 (2026-12-01)\n\n- More.\n\n## 1.2.2 (2026-11-01)\n",
    "CITATION.cff": "version: 1.2.3\ndate-released: 2026-12-01\n",
    ".gitignore": "/dist/\n",
}


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, **changed: str) -> None:
    for name, text in (FILES | {key.replace("_", "."): value for key, value in changed.items()}).items():
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")


@pytest.fixture
def project(tmp_path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def test_what_agrees_is_written_with_its_checksums(project):
    commit(project)
    git(project, "tag", "-a", "v1.2.3", "-m", "toy")
    assert list(release.faults(project)) == []
    source, packages, sums = (project / "dist" / name for name in release.write(project, project / "dist"))
    with tarfile.open(source) as archive:
        assert set(archive.getnames()) == {f"ftu-1.2.3/{name}" for name in FILES} | {"ftu-1.2.3"}
    assert json.loads(packages.read_text())["bomFormat"] == "CycloneDX"
    for line in sums.read_text().splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((project / "dist" / name).read_bytes()).hexdigest()
    assert list(release.faults(project)) == []  # what it writes, git ignores


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"CHANGELOG_md": "## 1.2.3 (unreleased)\n"}, "CHANGELOG.md: begins with '1.2.3 (unreleased)'"),
        ({"CHANGELOG_md": "## 1.2.2 (2026-11-01)\n"}, "write 1.2.3 (YEAR-MONTH-DAY)"),
        ({"CHANGELOG_md": "nothing\n"}, "CHANGELOG.md: begins with None"),
        ({"CITATION_cff": "version: 1.2.2\ndate-released: 2026-11-01\n"}, "CITATION.cff: version is 1.2.2"),
        ({"CITATION_cff": "version: 1.2.3\n"}, "has no date-released"),
    ],
)
def test_what_does_not_agree_is_named(project, changed, words):
    commit(project, **changed)
    git(project, "tag", "v1.2.3")
    (found,) = release.faults(project)
    assert words in found


def test_a_tag_that_lacks_and_a_file_that_is_not_committed_are_named(project):
    commit(project)
    (project / "1e5.txt").touch()
    changed, tag = release.faults(project)
    assert "1e5.txt: not committed" in changed
    assert "git tag --annotate v1.2.3" in tag


def test_this_projects_version_stands_in_each_of_its_files():
    number = release.version(ROOT)
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert heading
    (own,) = (package["version"] for package in locked if package["name"] == "ftu")
    assert (citation["version"], heading[1], own) == (number, number, number)
