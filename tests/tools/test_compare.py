"""`make compare`: what is compared with what, what changed, and how a difference is told."""

import subprocess

import numpy as np
import pandas as pd
import pytest

from ftu.errors import InputError
from ftu_tools.studies import compare, experiments
from ftu_tools.studies.compare import Result


def scored(dice, ids=None, **more):
    ids = [f"{number:03}" for number in range(len(dice))] if ids is None else ids
    return pd.DataFrame({"id": ids, "organ": "lung", "data_source": "HPA", "dice": dice, **more})


def result(name, dice, ids=None, commit="c", **params):
    return Result(name, commit, params, scored(dice, ids))


def git(folder, *words):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=folder, check=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Three commits: the second has other parameters, the third another stage."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "stages").mkdir()
    git(folder, "init", "-q")
    for tag, seed, code in (("one", 1, "a"), ("two", 2, "a"), ("three", 2, "b")):
        text = f"train: {{seed: {seed}, aux_blocks: [2, 1]}}\ncompute: {{workers: {seed}}}\n"
        (folder / "params.yaml").write_text(text, encoding="utf-8")
        (folder / "stages/train.py").write_text(code, encoding="utf-8")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", tag)
        git(folder, "tag", tag)
    return folder


@pytest.fixture
def inside(repository, monkeypatch):
    """In that repository, whose commits all have the same scores."""
    monkeypatch.chdir(repository)
    monkeypatch.setattr(experiments, "dice", lambda *_: scored([0.5, 0.7, 0.6]))
    return repository


def test_what_changed_are_the_parameters_and_code_but_not_how_stages_run(inside):  # noqa: ARG001
    one, two, three = (compare.of_commit(name, "oof") for name in ("one", "two", "three"))
    assert compare.changes(one, one) == ""
    assert compare.changes(one, two) == "train.seed=2"
    assert compare.changes(two, one) == "train.seed=1"
    assert compare.changes(two, three) == "code"
    assert compare.changes(one, three) == "train.seed=2, code"


def test_a_key_that_one_lacks_is_told_either_way():
    old, new = result("a", [0.5], **{"x.old": "1"}), result("b", [0.5], **{"x.new": "2"})
    assert compare.changes(old, new) == "x.new=2, x.old=(gone)"


def test_code_that_lies_in_the_folder_counts_until_it_is_committed(inside):
    here = compare.of_commit("three", "oof")._replace(name="workspace", commit=None)
    last = compare.of_commit("three", "oof")
    assert compare.changes(last, here) == "nothing"
    changed = inside / "stages/train.py"
    changed.write_text("another", encoding="utf-8")
    try:
        assert compare.changes(last, here) == compare.changes(here, last) == "code"
    finally:
        changed.write_text("b", encoding="utf-8")


@pytest.mark.parametrize("name", ["nix", "--all", "one:params.yaml", ""])
def test_a_name_of_nothing_is_refused(inside, name):  # noqa: ARG001
    with pytest.raises(InputError, match="neither an experiment nor a commit; `dvc exp list -A`"):
        compare.of_commit(name, "oof")


def test_a_name_that_two_experiments_have_is_refused(inside):
    for start in ("one", "two"):
        commit = experiments.commit_of(start)
        git(inside, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/twin", commit)
    with pytest.raises(InputError, match="twin: 2 experiments are called so; name a commit"):
        compare.of_commit("twin", "oof")


def test_one_name_alone_is_refused():
    for names in (["HEAD"], ["HEAD", "HEAD"]):
        with pytest.raises(InputError, match="'HEAD' is one alone"):
            compare.named(names, "oof")


def test_old_results_in_the_folder_are_not_compared(monkeypatch):
    monkeypatch.setattr(experiments, "due", lambda: ["train@0", "submit"])
    with pytest.raises(
        InputError, match="workspace: its results are old: dvc repro would run train@0, submit"
    ):
        compare.named(["workspace", "HEAD"], "oof")


def test_a_difference_is_the_later_minus_the_first_paired_by_image():
    hard = np.linspace(0.1, 0.8, 40)
    rng = np.random.default_rng(0)
    first, better = result("a", hard), result("b", hard + 0.05 + rng.normal(0, 0.001, 40))
    shuffled = better._replace(dice=better.dice.sample(frac=1, random_state=1))
    for other in (better, shuffled):
        gain = compare.difference(other, first)
        assert gain is not None
        assert gain.mean == pytest.approx(0.05, abs=0.001)
        assert 0.049 < gain.reach.low < gain.reach.high < 0.051  # images differ by far more
    back = compare.difference(first, better)
    assert back is not None
    assert back.mean == pytest.approx(-0.05, abs=0.001)


def test_of_different_images_the_common_ones_are_paired_and_counted():
    first = result("a", [0.9, 0.9, 0.9, 0.9, 0.5], ["1", "2", "3", "4", "5"])
    other = result("b", [0.9, 0.9, 0.9, 0.9], ["4", "3", "2", "1"])
    text = compare.report([first, other], "oof")
    row = text.splitlines()[-4]
    assert "+0.0000 on 4 common images" in row  # and not +0.08, the difference of the means
    assert row.rstrip().endswith("the same |")


def test_of_no_common_image_nothing_is_told():
    first, other = result("a", [0.5], ["1"]), result("b", [0.6], ["2"])
    assert compare.difference(other, first) is None
    assert compare.report([first, other], "oof").splitlines()[-4].split("|")[4].strip() == ""


@pytest.mark.parametrize(
    ("more", "told"),
    [([0.05, 0.06, 0.04, 0.05], "yes"), ([-0.05, -0.06, -0.04, -0.05], "no, worse"),
     ([0.05, -0.06, 0.04, -0.05], "cannot be told"), ([0.0] * 4, "the same")],
)  # fmt: skip
def test_a_verdict_wants_the_whole_interval(more, told):
    first = result("a", [0.5, 0.6, 0.7, 0.8])
    other = result("b", np.add([0.5, 0.6, 0.7, 0.8], more))
    assert compare.report([first, other], "oof").splitlines()[-4].split("|")[6].strip() == told


def test_scores_of_a_chosen_epoch_are_named():
    last = result("a", [0.5, 0.6], **{"train.checkpoint": "last"})
    best = result("b", [0.5, 0.6], **{"train.checkpoint": "best"})
    assert "too high by a little: b." in compare.report([last, best], "oof")
    assert "too high" not in compare.report([last, last], "oof")


def test_the_workspace_is_compared_only_where_it_is_another(inside, monkeypatch):  # noqa: ARG001
    head = compare.of_commit("HEAD", "oof")
    monkeypatch.setattr(
        compare, "load_params", lambda _: type("P", (), {"data": type("D", (), {"root": "x"})})
    )
    monkeypatch.setattr(experiments, "finished", lambda _: {})
    monkeypatch.setattr(experiments, "due", list)
    monkeypatch.setattr(compare, "in_folder", lambda _: head._replace(name="workspace", commit=None))
    with pytest.raises(InputError, match="nothing to compare"):
        compare.all_here("oof")
    other = head._replace(name="workspace", dice=scored([0.5, 0.7, 0.9]))
    monkeypatch.setattr(compare, "in_folder", lambda _: other)
    assert [one.name for one in compare.all_here("oof")] == ["HEAD", "workspace"]
    monkeypatch.setattr(experiments, "finished", lambda _: {"one": "-", "two": "-"})
    assert [one.name for one in compare.all_here("oof")] == ["HEAD", "workspace", "one", "two"]
    monkeypatch.setattr(experiments, "due", lambda: ["train@0"])
    assert [one.name for one in compare.all_here("oof")] == ["HEAD", "one", "two"]
