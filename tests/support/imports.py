"""What a stage script imports, followed through the library: what dvc.yaml's deps are held against."""

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = ("ftu.", "ftu_tools.")


def imported_modules(path: Path) -> set[str]:
    """Library files that the script at `path` (relative to ROOT) imports, directly or through others."""
    found: set[str] = set()
    pending = [path]
    while pending:
        for module in _direct(pending.pop()) - found:
            found.add(module)
            pending.append(Path(module))
    return found


def package_of(file: str) -> str:
    """The folder of src/ftu that a library file belongs to, as dvc.yaml names it; of networks, one below."""
    parts = Path(file).parts
    return "/".join(parts[: 4 if parts[2] == "networks" else 3])


def families() -> list[str]:
    """The families of networks, which are imported by name."""
    return sorted(path.parent.name for path in (ROOT / "src/ftu/networks").glob("*/segmenter.py"))


def imported_folders(path: Path, family: str) -> set[str]:
    """The packages of the library that the script at `path` imports, with those of a family of networks."""
    return {package_of(file) for file in _reached(path, [family])} - {"src/ftu/errors.py"}


def imported_packages(path: Path) -> set[str]:
    """The packages outside the library that the script at `path` imports, directly or through the library."""
    files = {str(path)} | _reached(path, families())
    return {name.split(".")[0] for file in files for name in _names(Path(file))} - {"ftu", "ftu_tools"}


def _reached(path: Path, families: Iterable[str]) -> set[str]:
    """The modules that a script imports; where it builds networks, with those of `families`."""
    found = imported_modules(path)
    if "src/ftu/networks/common/build.py" not in found:
        return found
    builders = {f"src/ftu/networks/{family}/segmenter.py" for family in families}
    return found.union(builders, *(imported_modules(Path(builder)) for builder in builders))


def _direct(path: Path) -> set[str]:
    return _library(_names(path))


def imported_by_statement(path: Path) -> set[str]:
    """Library files that the file at `path` itself imports: at its top, in functions, for type checkers."""
    return _library(named_in_statements(ast.parse((ROOT / path).read_text())))


def _library(names: Iterable[str]) -> set[str]:
    files = {"src/" + name.replace(".", "/") + ".py" for name in names if name.startswith(OWN)}
    return {file for file in files if (ROOT / file).is_file()}


def _names(path: Path) -> list[str]:
    """Everything that a file imports, as dotted names."""
    tree = ast.parse((ROOT / path).read_text())
    strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    by_name = [value for value in strings if isinstance(value, str) and value.startswith(OWN)]
    return named_in_statements(tree) + by_name


def named_in_statements(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [
                node.module,
                *(f"{node.module}.{alias.name}" for alias in node.names),
            ]  # each may be one
    return names


def params_sections(path: Path) -> set[str]:
    """The sections of params.yaml that the script at `path` reads: every `params.<section>`."""
    tree = ast.parse((ROOT / path).read_text())
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    return found - {"model_dump"}  # pydantic's own, of sections that stand beside it
