"""Which epoch the networks of an experiment's folds are of, as their model.json says."""

import pytest

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.probabilities.fold_maps import Selection, selection


def models(folder, *facts):
    for fold, each in enumerate(facts):
        (folder / f"fold_{fold}").mkdir()
        jsonfile.write(folder / f"fold_{fold}" / "model.json", each)
    return [folder / f"fold_{fold}" for fold in range(len(facts))]


@pytest.mark.parametrize(("rule", "first"), [("last", 0), ("best", 0), ("best_after_switch", 6)])
def test_the_rule_of_all_models_and_the_first_epoch_that_it_looked_at(tmp_path, rule, first):
    facts = {"checkpoint": rule, "switch_epoch": 6}
    assert selection(models(tmp_path, facts | {"epoch": 7}, facts | {"epoch": 9})) == Selection(
        rule, first, False
    )


@pytest.mark.parametrize("rule", ["last", "best"])
def test_the_switch_is_asked_for_where_it_matters_alone(tmp_path, rule):
    assert selection(models(tmp_path, {"checkpoint": rule})) == Selection(rule, 0, False)


@pytest.mark.parametrize("stopped", [(True, False), (False, True), (False, False)])
def test_one_early_stop_is_one_of_all(tmp_path, stopped):
    facts = [{"checkpoint": "last", "stopped_early": each} for each in stopped]
    assert selection(models(tmp_path, *facts)) == Selection("last", 0, any(stopped))


@pytest.mark.parametrize(
    ("rule", "stopped", "counts"),
    [("best", False, True), ("last", True, True), ("last", False, False)],
)
def test_what_was_watched_counts_where_it_chose(tmp_path, rule, stopped, counts):
    facts = {"checkpoint": rule, "stopped_early": stopped}
    found = selection(models(tmp_path, facts, facts | {"watched": 3, "watch": "loss"}))
    assert found == Selection(rule, 0, stopped, 3 * counts, counts)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (({},), r"fold_0/model\.json: has no checkpoint; .* -s train`"),
        (({"checkpoint": "best_after_switch"},), r"fold_0/model\.json: has no switch_epoch; .* -s train`"),
        (
            ({"checkpoint": "best"}, {"checkpoint": "last"}),
            r"fold_1: last .* but .*fold_0: best .* run `dvc repro`",
        ),
    ],
)
def test_models_of_which_it_cannot_be_said_are_refused(tmp_path, facts, words):
    with pytest.raises(InputError, match=words):
        selection(models(tmp_path, *facts))
