"""The files of a release: `make release` writes them once version, changelog, citation and tag agree.

docs/release.md has the steps before and after.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ftu.cache import hashes
from ftu.errors import InputError, some
from ftu.files import limits, yamlfile
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.stage import run

OUT = Path("dist")
DATE = r"\d{4}-\d\d-\d\d"
SUMS = "SHA256SUMS"
LARGEST = 2**20  # bytes of what is read


def main() -> str:
    """Write the files to dist/; InputError names what does not agree yet."""
    root = Path()
    if found := list(faults(root)):
        raise InputError("no release yet:\n" + "\n".join(found))
    return f"{some(write(root, OUT))} in {OUT}"


def version(root: Path) -> str:
    """The version that pyproject.toml states."""
    return tomllib.loads(_text(root / "pyproject.toml"))["project"]["version"]


def faults(root: Path) -> Iterator[str]:
    """What does not agree with the version, each with the way out."""
    number = version(root)
    heading = re.search(r"^## (.*)$", _text(root / "CHANGELOG.md"), re.MULTILINE)
    if not heading or not re.fullmatch(rf"{re.escape(number)} \({DATE}\)", heading[1]):
        yield f"CHANGELOG.md: begins with {heading and heading[1]!r}; write {number} (YEAR-MONTH-DAY)"
    found = yamlfile.read(root / "CITATION.cff", "fetch it again")
    citation = found if isinstance(found, dict) else {}
    if citation.get("version") != number:
        yield f"CITATION.cff: version is {citation.get('version')}; write {number}"
    if not re.fullmatch(DATE, str(citation.get("date-released", ""))):
        yield "CITATION.cff: has no date-released; write YEAR-MONTH-DAY"
    if changed := _git(root, "status", "--porcelain").splitlines():
        yield f"{some(line[3:] for line in changed)}: not committed; commit, or take it away"
    if f"v{number}" not in _git(root, "tag", "--points-at", "HEAD").split():
        yield f"the last commit has no tag v{number}; git tag --annotate v{number} --message 'ftu {number}'"


def write(root: Path, out: Path) -> list[str]:
    """The source of the last commit, the packages that it is locked to, and the sha256 of both, in `out`."""
    name = f"ftu-{version(root)}"
    with whole_folder(out) as folder:
        source, packages = folder / f"{name}.tar.gz", folder / f"{name}.cyclonedx.json"
        _git(root, "archive", f"--prefix={name}/", f"--output={source.resolve()}", "HEAD")
        export = ["uv", "export", "--quiet", "--frozen", "--no-dev", "--all-extras", "--format=cyclonedx1.5"]
        export += ["--preview-features=sbom-export", f"--output-file={packages.resolve()}"]
        subprocess.run(export, cwd=root, stdout=subprocess.DEVNULL, check=True)
        sums = "".join(f"{hashes.sha256(path)}  {path.name}\n" for path in (source, packages))
        (folder / SUMS).write_text(sums, encoding="utf-8")
    return [source.name, packages.name, SUMS]


def _text(path: Path) -> str:
    return limits.text(limits.content(path, LARGEST))


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, stdout=subprocess.PIPE, stderr=sys.stderr, encoding="utf-8", check=True
    ).stdout


if __name__ == "__main__":
    run(main)
