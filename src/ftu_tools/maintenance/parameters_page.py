"""docs/parameters.md, written from the classes of parameters: `make docs`.

A class says which values a key may have; the text under its field says what they mean.
"""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from ftu.pipeline import params
from ftu.pipeline.stage import run

PAGE = Path("docs/parameters.md")
HEAD = """\
# Parameters

`make docs` writes this page from src/ftu/pipeline/params.py and the classes beside it. params.yaml is the one
home of every value; profiles/ holds whole alternatives with the same keys. Each stage checks all of them
before it starts."""
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "false, true"}
BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}

Schema = dict[str, Any]  # a JSON schema: what pydantic says of a class or of a value


def page() -> str:
    """The whole page: a heading for each section of params.yaml, under it a row for each key."""
    whole = described(params.Params.model_json_schema())
    lines = [HEAD]
    for name, value in whole["properties"].items():
        about = class_of(value, whole).get("description")
        lines += ["", f"## {name}", *(["", about] if about else [])]
        lines += ["", "| key | values | meaning |", "|---|---|---|", *rows(name, value, whole)]
    return "\n".join([*lines, ""])


def described(whole: Schema) -> Schema:
    """The schema with the text under each field as the description of its value.

    The text is read from the source. pydantic could do so too, at every start of every stage.
    """
    source = Path(params.__file__)
    for path in (source, *(source.parent / "sections").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            found = whole["$defs"].get(node.name, whole) if isinstance(node, ast.ClassDef) else whole
            for field, text in texts_under_fields(node):
                found["properties"][field]["description"] = text
    return whole


def texts_under_fields(node: ast.stmt) -> Iterator[tuple[str, str]]:
    for field, under in pairwise(getattr(node, "body", [])):
        match field, under:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())


def rows(key: str, value: Schema, whole: Schema) -> Iterator[str]:
    """A row for the key, or one for each key of the classes that it stands for."""
    if not any(class_of(each, whole) for each in value.get("anyOf", [value])):
        yield f"| `{key}` | {values(value)} | {value.get('description', '')} |"
    for place, item in ((key, value), (f"{key}[]", value.get("items", {}))):
        for each in item.get("anyOf", [item]):
            for field, part in class_of(each, whole).get("properties", {}).items():
                yield from rows(f"{place}.{field}", part, whole)


def values(value: Schema) -> str:
    """What a key may have, in words: the choices, or the type with its bounds."""
    if choices := value.get("enum", [value["const"]] if "const" in value else []):
        return ", ".join(map(str, choices))
    if "anyOf" in value:  # one number for all names, or one for each, is the same number
        return " or ".join(dict.fromkeys(values(each) for each in value["anyOf"]))
    if value["type"] == "array":
        least, most = value.get("minItems", 0), value.get("maxItems")
        count = f" of {least}" if least == most else f" of {least} or more" if least else ""
        return f"list{count}" + (f": {values(value['items'])}" if "$ref" not in value["items"] else "")
    if value["type"] == "object":  # its keys are names of the data set
        return values(value["additionalProperties"])
    bounds = [f"{word} {value[bound]:.10g}" for bound, word in BOUNDS.items() if bound in value]
    return " ".join([TYPES[value["type"]], *bounds])


def class_of(value: Schema, whole: Schema) -> Schema:
    """The class that stands there; {} where none does."""
    return whole["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    run(main)
