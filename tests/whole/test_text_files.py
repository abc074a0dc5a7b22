"""Text is UTF-8 wherever the machine's locale stands, and tables are read by the one strict reader."""

import ast
from collections.abc import Iterator
from pathlib import Path

from project import ROOT

OURS = sorted(path for part in ("src", "stages", "benchmarks") for path in (ROOT / part).rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The last name of everything that a file calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            named = node.func
            yield getattr(named, "attr", None) or getattr(named, "id", ""), node


def leaves_the_encoding_to_the_locale(name: str, call: ast.Call) -> bool:
    """Whether a call reads or writes text without saying in which encoding."""
    said = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    if "encoding" in said or None in said:  # None: **options
        return False
    if name in ("read_text", "write_text"):
        return True
    if name == "open":
        mode = said.get(
            "mode", next((each.value for each in call.args if isinstance(each, ast.Constant)), "r")
        )
        plain = isinstance(call.func, ast.Attribute) or isinstance(mode, str)
        return plain and "b" not in str(mode) and not is_of_another(call)
    return bool(said.get("text") or said.get("universal_newlines"))


def is_of_another(call: ast.Call) -> bool:
    """os.open, rasterio.open, PIL's: what opens no text file."""
    value = getattr(call.func, "value", None)
    return isinstance(value, ast.Name) and value.id in {"os", "rasterio", "Image", "safetensors", "self"}


def test_no_text_depends_on_the_locale():
    for path in OURS:
        found = [call.lineno for name, call in calls(path) if leaves_the_encoding_to_the_locale(name, call)]
        assert not found, f'{path}: lines {found}: say encoding="utf-8"'


def test_tables_are_read_by_the_strict_reader_alone():
    """pandas takes an id called NA for none, renames columns, and fills rows that were cut."""
    for path in OURS:
        for name, call in calls(path):
            owner = getattr(getattr(call.func, "value", None), "id", "")
            assert not (name in ("read_csv", "read_table") and owner in ("pd", "pandas")), (path, call.lineno)
