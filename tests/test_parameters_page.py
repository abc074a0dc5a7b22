"""docs/parameters.md: what the classes of parameters say, each key of params.yaml with its meaning."""

import re
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from ftu.pipeline.sections.networks import FAMILIES
from ftu_tools.maintenance import parameters_page
from imports import ROOT

PAGE = (ROOT / parameters_page.PAGE).read_text()
ROWS = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
NAMED = ("thresholds", "shift.pixel_size", "train.organ_weights")  # their keys are names of the data set


def leaves(tree: dict, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and prefix + key not in NAMED:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_page_is_what_the_classes_give():
    assert parameters_page.page() == PAGE, "run `make docs`"


def test_each_key_of_params_yaml_has_its_row_in_its_order():
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    ours, family = list(leaves(params)), params["train"]["model"]["family"]
    fields = {name: each.model_fields for name, each in FAMILIES.items()}
    others = {f"train.model.{key}" for each in fields.values() for key in each if key not in fields[family]}
    rows = dict.fromkeys(key for key, _, _ in ROWS)  # families have keys in common
    assert [key for key in rows if "[]" not in key and key not in others] == ours


def test_each_row_says_what_it_may_be_and_what_it_means():
    assert len(ROWS) == sum(line.startswith("| `") for line in PAGE.splitlines())
    assert [key for key, values, meaning in ROWS if not values or not meaning] == []


def test_what_the_page_leads_to_is_there():
    assert [name for name in re.findall(r"\]\((.*?)\)", PAGE) if not (ROOT / "docs" / name).is_file()] == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "boolean"}, "false, true"),
        ({"type": "string", "pattern": "x"}, "text"),
        ({"type": "string", "const": "a"}, "a"),
        ({"type": "string", "enum": ["a", "b"]}, "a, b"),
        ({"type": "integer", "enum": [1, 3]}, "1, 3"),
        ({"anyOf": [{"type": "number"}, {"type": "boolean"}]}, "number or false, true"),
        (
            {"anyOf": [{"type": "number"}, {"type": "object", "additionalProperties": {"type": "number"}}]},
            "number",
        ),
        ({"type": "integer"}, "whole number"),
        (
            {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32},
            "whole number from 0 below 4294967296",
        ),
        ({"type": "number", "exclusiveMinimum": 0.25, "maximum": 4.0}, "number above 0.25 to 4"),
        ({"type": "array", "items": {"type": "string"}}, "list: text"),
        ({"type": "array", "minItems": 1, "items": {"type": "number"}}, "list of 1 or more: number"),
        ({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}, "list of 2: number"),
        ({"type": "array", "items": {"$ref": "#/$defs/Member"}}, "list"),
        ({"type": "object", "additionalProperties": {"type": "number", "minimum": 1}}, "number from 1"),
    ],
)
def test_a_type_is_told_in_words(schema, words):
    assert parameters_page.values(schema) == words


def test_of_several_classes_at_one_key_each_has_its_rows():
    field = {"type": "string", "description": "Which."}
    whole = {"$defs": {name: {"properties": {name.lower(): field}} for name in ("A", "B")}}
    union = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}
    assert list(parameters_page.rows("x", union, whole)) == [
        "| `x.a` | text | Which. |",
        "| `x.b` | text | Which. |",
    ]
