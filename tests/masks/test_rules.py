"""data/rules.json: what is written is read, and what is damaged is named."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.masks import rules
from ftu.masks.cutting import Rule
from ftu.masks.rules import Rules

ORGANS, SOURCES = ["kidney", "lung"], ["HPA", "Hubmap"]
shares = st.floats(0, 1)
sizes = st.floats(0, 1e6)
one_rule = st.builds(Rule, shares, sizes, sizes, shares | st.just(math.nan))
tables = st.fixed_dictionaries(
    {source: st.fixed_dictionaries(dict.fromkeys(ORGANS, one_rule)) for source in SOURCES}
)
PAPER = {"HPA": {"kidney": 0.5, "lung": 0.15}, "Hubmap": {"kidney": 0.4, "lung": 0.1}}


def read(path):
    return rules.read(path, organs=ORGANS, sources=SOURCES)


def known(table) -> dict:
    """The table with None for nan, which equals nothing."""
    return {
        key: tuple(None if v != v else v for v in rule) for s in SOURCES for key, rule in table[s].items()
    }


@pytest.fixture
def path(tmp_path):
    table = rules.from_thresholds(PAPER, smallest_object=10, largest_hole=5, foreground={"lung": 0.25})
    rules.write(
        tmp_path / "data" / "rules.json", Rules("flips", 1.0, {"b": 2.0}, "table", table, {"tta": "-"})
    )
    return tmp_path / "data" / "rules.json"


@given(
    table=tables,
    own=shares,
    member=st.floats(0.01, 10),
    method=st.sampled_from(["table", "otsu", "quantile"]),
)
def test_what_is_written_is_read(tmp_path_factory, table, own, member, method):
    path = tmp_path_factory.mktemp("rules") / "rules.json"
    written = Rules("d4", own, {"b": member}, method, table, {"why": "so"})
    rules.write(path, written)
    found = read(path)
    assert found._replace(table={}) == written._replace(table={})
    assert known(found.table) == known(table)


def test_parameters_alone_give_a_table(path):
    found = read(path)
    assert found.rule("Hubmap", "lung") == Rule(0.1, 10, 5, 0.25)
    assert found.rule("HPA", "kidney")[:3] == (0.5, 10, 5)
    assert math.isnan(found.table["HPA"]["kidney"].foreground)


def test_the_file_is_json_for_anyone(path):
    content = json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    assert content["rules"]["HPA"]["kidney"]["foreground"] is None
    assert [entry.name for entry in path.parent.iterdir()] == ["rules.json"]


@pytest.mark.parametrize(("source", "organ"), [("HPA", "skin"), ("Elsewhere", "lung")])
def test_a_pair_without_a_rule_is_refused(path, source, organ):
    with pytest.raises(
        InputError, match=f"no rule for organ '{organ}' of data source '{source}'.*HPA: kidney lung"
    ):
        read(path).rule(source, organ)


def test_a_quantile_without_a_share_is_refused_and_one_with_it_is_not(path):
    rules_by_quantile = read(path)._replace(method="quantile")
    assert rules_by_quantile.table["HPA"]["lung"].foreground == 0.25
    with pytest.raises(InputError, match=r"quantile needs .* organ 'kidney', .*; use table or otsu"):
        rules_by_quantile.rule("HPA", "kidney")


def set_rule(**facts):
    return lambda content: content["rules"]["HPA"]["lung"].update(facts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_rule(threshold=1.5), r"rules.HPA.lung.threshold is 1.5, which is no number in 0..1"),
        (set_rule(threshold=-0.1), r"rules.HPA.lung.threshold is -0.1"),
        (set_rule(threshold="half"), r"rules.HPA.lung.threshold is 'half'"),
        (set_rule(threshold=True), r"rules.HPA.lung.threshold is True"),
        (set_rule(threshold=math.nan), r"rules.HPA.lung.threshold is nan"),
        (set_rule(largest_hole=math.inf), r"rules.HPA.lung.largest_hole is inf, which is no number"),
        (set_rule(foreground=2), r"rules.HPA.lung.foreground is 2, which is no number in 0..1"),
        (set_rule(smallest_object=-1), r"rules.HPA.lung.smallest_object is -1, which is no number in 0..1e"),
        (lambda content: content["rules"]["HPA"]["lung"].pop("largest_hole"), "has no largest_hole"),
        (lambda content: content["rules"]["HPA"].pop("lung"), "rules.HPA has no rule for lung"),
        (lambda content: content["rules"].pop("Hubmap"), "rules.Hubmap has no rule for kidney, lung"),
        (
            lambda content: content["rules"].update(Other=content["rules"]["HPA"]),
            "rules.Other: Other is not in data.organs or data.sources",
        ),
        (
            lambda content: content["rules"]["HPA"].update(skin=content["rules"]["HPA"]["lung"]),
            "rules.HPA: skin is not in data.organs or data.sources",
        ),
        (lambda content: content.pop("tta"), "has no tta"),
        (lambda content: content.update(tta=3), "tta is 3, which is no name"),
        (lambda content: content.update(own=-1), "a weight is -1"),
        (lambda content: content.update(own=0, members={}), "the weights add up to 0"),
        (
            lambda content: content.update(method="guess"),
            "method is 'guess', not one of table, otsu, quantile",
        ),
        (lambda content: content.update(members=[1]), "list"),
        (lambda content: content.update(rules=3), "int"),
        (lambda content: content["rules"].update(HPA=None), "NoneType"),
        (lambda content: content["rules"]["HPA"].update(lung=0.5), "float"),
    ],
)
def test_a_damaged_file_is_named_with_key_value_and_remedy(path, change, message):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "dvc repro calibrate" in str(error.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    path = tmp_path / "rules.json"
    with pytest.raises(InputError, match=r"rules.json: is missing; run `dvc repro calibrate`"):
        read(path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"rules.json: is damaged"):
        read(path)
    path.write_text("[1]")
    with pytest.raises(InputError, match=r"rules.json: is damaged .it holds a list"):
        read(path)
