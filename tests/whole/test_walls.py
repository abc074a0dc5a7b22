"""The order of the packages: what imports what, how large a folder gets, what no result may hang on."""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from imports import ROOT, named_in_statements
from packages import DOCUMENT, imports, level, package, picture, split

IMPORTS = imports()
del IMPORTS[Path("src/ftu/lockfile.py")]  # for one version: git configurations name it
CROSSINGS = [
    (module, other)
    for module, others in IMPORTS.items()
    for other in others
    if package(module) != package(other)
]


def named(pairs: list[tuple[Path, Path]]) -> list[str]:
    return [f"{module} imports {other}" for module, other in pairs]


@pytest.mark.parametrize("name", sorted({package(module) for module in IMPORTS}))
def test_a_package_has_a_place_in_the_order(name: str) -> None:
    assert level(name) >= 0


def test_packages_import_only_what_is_below_them() -> None:
    assert named([(a, b) for a, b in CROSSINGS if level(package(a)) <= level(package(b))]) == []


def test_a_family_of_networks_is_imported_by_its_name_alone() -> None:
    """So that a stage depends on the family that it uses and on no other."""
    families = level("networks/*")
    assert named([(a, b) for a, b in CROSSINGS if level(package(b)) == families]) == []


def test_only_scripts_and_tools_read_parameters_and_know_paths() -> None:
    theirs = {Path(f"src/ftu/pipeline/{name}.py") for name in ("params", "paths", "stage")}
    readers = [(a, b) for a, b in CROSSINGS if b in theirs and level(package(a)) < level("stages")]
    assert named(readers) == []


def test_no_module_imports_itself_through_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(map(str, error.args[1])))


def test_a_folder_holds_what_one_can_look_over() -> None:
    sizes = Counter(module.parent for module in IMPORTS if module.parts[0] == "src")
    assert [str(folder) for folder, size in sizes.items() if size > 12] == []


def test_package_files_are_empty() -> None:
    """They are part of every stage's deps, and name no place that a module moved to."""
    assert {path.read_bytes() for path in (ROOT / "src").rglob("__init__.py")} == {b""}


# ------------------------------------------------------------------ why no stage depends on src/ftu/pipeline


def test_no_pixel_passes_through_the_pipelines_machinery() -> None:
    machinery = [module for module in IMPORTS if package(module) == "pipeline"]
    assert machinery
    for module in machinery:
        names = named_in_statements(ast.parse((ROOT / module).read_text()))
        computing = {name.split(".")[0] for name in names} & {"numpy", "cv2", "rasterio", "torch"}
        assert not computing, f"{module}: {computing}"


def test_what_makes_pixels_knows_nothing_of_how_a_stage_runs() -> None:
    pure = {"files", "cache", "datasets", "preprocessing"}
    assert named([(a, b) for a, b in CROSSINGS if package(a) in pure and package(b) == "pipeline"]) == []


# ------------------------------------------------------------------ documents


def test_the_committed_picture_is_that_of_the_imports() -> None:
    assert split(DOCUMENT.read_text())[1] == picture(), "make docs"
