"""Facts of ours that a hand or a disk has changed are refused in a line that names the file."""

import pytest

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.probabilities import ensemble, fold_maps
from ftu.probabilities.ensemble import Experiment
from ftu.reports import scores


@pytest.fixture
def path(tmp_path):
    jsonfile.write(tmp_path / "facts.json", {"a": 1})
    return tmp_path / "facts.json"


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda facts: facts["b"], "has no b"),
        (lambda facts: facts["a"]["b"], "not subscriptable"),
        (lambda facts: facts["a"].items(), "no attribute 'items'"),
        (lambda facts: float([facts][facts["a"]]), "index out of range|list"),
        (lambda _: float("x"), "could not convert"),
    ],
)
def test_what_is_not_as_it_was_expected_is_refused_with_the_way_out(path, look, words):
    with (
        pytest.raises(InputError, match=rf"facts\.json: .*({words}).*; do this") as caught,
        jsonfile.facts(path, "do this") as found,
    ):
        look(found)
    assert "\n" not in str(caught.value)


def test_our_own_words_stay(path):
    with pytest.raises(InputError, match=r"^mine$"), jsonfile.facts(path, "do this"):
        raise InputError("mine")


ODD = [7, [1], "x", None, {"x": 7}, {"x": [1]}, {"x": {"folder": 3}}]


@pytest.mark.parametrize("value", ODD)
def test_members_of_another_form_are_refused(tmp_path, value):
    jsonfile.write(tmp_path / ensemble.LIST, {"members": value})
    own = Experiment("own", tmp_path, (0,), 1.0, "flips")
    with pytest.raises(InputError, match=r"members\.json: |the rules weigh"):
        ensemble.ensemble(own, tmp_path, {"x": 1.0})


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_a_checkpoint_that_is_no_name_is_refused(tmp_path, value):
    jsonfile.write(tmp_path / "model.json", {"checkpoint": value, "switch_epoch": 1})
    with pytest.raises(InputError, match=r"model\.json: "):
        fold_maps.selection([tmp_path])


@pytest.mark.parametrize(
    "value", [7, [1], {"all oof": 7}, {"all oof": {"nested": 7}}, {"all oof": {"nested": {"dice": 10**400}}}]
)
def test_estimates_of_another_form_are_refused(tmp_path, value):
    jsonfile.write(tmp_path / "calibration.json", {"estimates": value})
    with (
        pytest.raises(InputError, match=r"calibration\.json: "),
        jsonfile.facts(tmp_path / "calibration.json", "") as facts,
    ):
        scores.nested(facts)
