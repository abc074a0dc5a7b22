"""The packages of src, by their imports; run as a script, it draws them into docs/architecture.md."""

from collections import defaultdict
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from imports import ROOT, imported_by_statement, package_of

# A package imports what stands above it here. A star is many packages, of which none imports another.
LEVELS = (
    "errors",
    "files",
    "cache",
    "pipeline",
    "datasets",
    "preprocessing",
    "networks/common",
    "networks/*",
    "training",
    "probabilities",
    "prediction",
    "masks",
    "calibration",
    "reports",
    "stages",
    "ftu_tools/trained",
    "ftu_tools/*",
)
# The first two are imported by nearly all, stages import nearly all, the last only redirects.
UNDRAWN = ("errors", "files", "stages", "lockfile")
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- packages: make docs draws them -->\n", "<!-- packages: end -->\n"


def modules() -> list[Path]:
    """The files of library, tools and stages, relative to ROOT; package files, which are empty, left out."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    return sorted(file.relative_to(ROOT) for file in files if file.name != "__init__.py")


def package(module: Path) -> str:
    """src/ftu/training/losses/terms.py: training; src/ftu/networks/unet/blocks.py: networks/unet;
    src/ftu/errors.py: errors; src/ftu_tools/kaggle/infer.py: ftu_tools/kaggle; stages/train.py: stages.
    """
    if module.parts[0] == "stages":
        return "stages"
    return package_of(str(module)).removeprefix("src/").removeprefix("ftu/").removesuffix(".py")


def level(name: str) -> int:
    """The place of a package in LEVELS; ValueError where it has none."""
    return LEVELS.index(name if name in LEVELS else f"{name.split('/')[0]}/*")


def imports() -> dict[Path, set[Path]]:
    """Of each module, those that it imports itself, by statements."""
    return {module: {Path(file) for file in imported_by_statement(module)} for module in modules()}


def picture() -> str:
    """The packages as a mermaid graph: an arrow where one imports another and does not already lead there."""
    edges: dict[str, set[str]] = defaultdict(set)
    for module, imported in imports().items():
        edges[package(module)] |= {package(each) for each in imported} - {package(module)}
    drawn = {name: edges[name] - set(UNDRAWN) for name in edges if name not in UNDRAWN}
    lines = [
        f"    {name} --> {other}" for name, others in _reduced(drawn).items() for other in sorted(others)
    ]
    return "\n".join(["```mermaid", "flowchart TD", *sorted(lines), "```", ""])


def _reduced(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the edges of an acyclic graph that longer ways replace."""
    below: dict[str, set[str]] = {}
    for name in TopologicalSorter(edges).static_order():
        below[name] = edges[name].union(*(below[other] for other in edges[name]))
    return {name: others - set().union(*(below[other] for other in others)) for name, others in edges.items()}


def split(text: str) -> tuple[str, str, str]:
    """A document: what is before the picture, the picture, what is after it."""
    before, rest = text.split(BEGIN)
    drawn, after = rest.split(END)
    return before + BEGIN, drawn, END + after


if __name__ == "__main__":
    before, _, after = split(DOCUMENT.read_text())
    DOCUMENT.write_text(before + picture() + after)
