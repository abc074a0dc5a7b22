"""Members of an ensemble: found by folder or experiment, refused where they do not fit, copied exactly."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

import predicted
from ftu.errors import InputError
from ftu.files import folds, jsonfile
from ftu.files.index import read_index
from ftu.probabilities import member_checks, members
from imports import ROOT, imported_packages
from project import commit, run

YAML_FILE = YAML(typ="safe")
NO_DVC = 'raise RuntimeError("dvc was imported")\n'


@pytest.fixture(scope="module")
def other(new_project, small_sample):
    """Another project on the same data set, run: two folds, two sets of views; do not write into it."""
    project = new_project(small_sample, split={"count": 2, "run": [0, 1]})
    predicted.prepare(project)
    predicted.predict(project.folder, sets=["flips", "none"], seed=7)
    (project.folder / "dvc.lock").write_text("schema: '2.0'\n")
    return project.folder


@pytest.fixture
def project(new_project, small_sample):
    """This project, before anything was predicted; dvc cannot be imported."""
    project = new_project(small_sample, split={"count": 2, "run": [0, 1]})
    predicted.prepare(project)
    project.shadow("dvc", NO_DVC)
    return project


@pytest.fixture
def member(other, project):
    """A copy of the other project, in the folder `other` beside this one."""
    folder = project.folder.parent / "other"
    shutil.copytree(other, folder)
    return folder


def ask_for(project, *names: str) -> None:
    project.set(ensemble={"members": [{"name": name, "weight": 1.0} for name in names]})


def done(project) -> None:
    result = project.run("members")
    assert result.returncode == 0, result.stderr


def fetched(project) -> dict[str, bytes]:
    folder = project.folder / "data" / "members"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.tif")}


def maps_of(folder: Path, *tta: str) -> dict[str, bytes]:
    folder = folder / "data" / "predictions"
    paths = [path for path in folder.rglob("*.tif") if path.parent.name in tta]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_no_members_are_an_empty_list_in_no_time(project):
    done(project)
    content = project.folder / "data" / "members"
    assert [path.name for path in content.iterdir()] == ["members.json"]
    assert jsonfile.read(content / "members.json", "") == {"members": {}}


def test_a_folder_gives_its_maps_to_the_byte(project, member):
    ask_for(project, "../other")
    project.set(predict={"tta": "flips"})
    done(project)
    expected = {f"other/{path}": content for path, content in maps_of(member, "flips").items()}
    assert fetched(project) == expected
    assert len(expected) == 6 + 2 * 2  # training images once, test images by both folds
    listed = jsonfile.read(project.folder / "data/members/members.json", "")["members"]
    assert listed == {"../other": jsonfile.read(project.folder / "data/members/other/member.json", "")}
    facts = listed["../other"]
    assert (facts["path"], facts["folder"], facts["folds"], facts["sets"]) == (
        "../other",
        "other",
        [0, 1],
        ["flips"],
    )
    assert (
        facts["weights_sha256"]["1"]
        == jsonfile.read(member / "models/fold_1/model.json", "")["weights_sha256"]
    )


def test_candidates_come_along_and_no_more_than_asked_for(project, member):
    ask_for(project, str(member))
    project.set(predict={"tta": "none", "candidates": ["flips"]})
    done(project)
    assert {Path(path).parent.name for path in fetched(project)} == {"flips", "none"}
    project.set(predict={"tta": "none", "candidates": []})
    done(project)
    assert {Path(path).parent.name for path in fetched(project)} == {"none"}


def test_another_deal_of_the_same_images_is_no_hindrance(project, member):
    table = folds.read_folds(member / "data" / "folds.csv")
    table.assign(fold=1 - table["fold"]).to_csv(member / "data" / "folds.csv", index=False)
    for name in ("data/predictions", "models"):
        shutil.rmtree(member / name)
    predicted.predict(member, seed=9)
    ask_for(project, "../other")
    done(project)
    assert len([path for path in fetched(project) if "/oof/" in path]) == 6


def test_no_other_stage_can_import_dvc():
    scripts = sorted((ROOT / "stages").glob("*.py"))
    users = [path.stem for path in scripts if "dvc" in imported_packages(path.relative_to(ROOT))]
    assert users == ["members"]


# ------------------------------------------------------------------ refused


def refused(project, *parts: str) -> None:
    """In words, and nothing was written."""
    before = project.contents()
    result = project.run("members")
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for part in ("members: error: ", *parts):
        assert part in result.stderr
    assert project.contents() == before


def wanted_by(project, **changes) -> member_checks.Wanted:
    """What the stage asks for, of the one set flips."""
    data = project.folder / "data"
    index, table = read_index(data / "images.csv"), folds.read_folds(data / "folds.csv")
    due = {"oof": set(table["id"]), "test": set(index.loc[index["set"] == "test", "id"])}
    wanted = member_checks.Wanted(
        **{name: project.params["data"][name] for name in ("organs", "classes")},
        images=index,
        due=due,
        sets=["flips"],
        shift=project.params["shift"],
    )
    return wanted._replace(**changes)


def test_an_unknown_name_is_refused(project):
    (project.first / "dvc.py").unlink()
    for name in ("../nowhere", "no-such-experiment"):
        with pytest.raises(InputError, match=f"'{name}' is no folder, and no experiment .* `dvc exp list"):
            members.find(name, project.folder, wanted_by(project))
    ask_for(project, "no-such-experiment")
    refused(project, "ensemble.members: 'no-such-experiment' is no folder, and no experiment or revision")


def test_a_name_that_stands_twice_is_refused(project):
    ask_for(project, "../other", "../other")
    refused(project, "ensemble: members must have different names, got ['../other', '../other']")


def test_nobody_at_all_is_refused(project):
    project.set(ensemble={"own": 0.0})
    refused(project, "ensemble: own is 0 and there are no members", "give one a weight")


def found(project, *names: str) -> list[members.Member]:
    return [members.find(name, project.folder, wanted_by(project)) for name in names]


def test_a_project_that_stands_twice_is_refused(project, member):
    with pytest.raises(InputError, match=r"'../other' and '.*/other' are both path ../other; keep one"):
        members.check_different(found(project, "../other", str(member)))


def test_two_folders_that_would_be_one_are_refused(project, member):
    shutil.copytree(member, member.parent / "other+")
    with pytest.raises(InputError, match=r"'../other' and '../other\+' are both folder other; keep one"):
        members.check_different(found(project, "../other", "../other+"))
    shutil.copytree(member, member.parent / "third" / "other")
    members.check_different(found(project, "../other", "../third/other"))


def test_the_project_itself_is_no_member(project):
    with pytest.raises(InputError, match=r"'.' is this project itself, which ensemble.own weighs"):
        members.find(".", project.folder, wanted_by(project))


def damage_params(folder: Path, **sections) -> None:
    path = folder / "params.yaml"
    params = YAML_FILE.load(path.read_text())
    for section, values in sections.items():
        params[section].update(values)
    YAML_FILE.dump(params, path)


def other_organs(folder: Path) -> None:
    damage_params(folder, data={"organs": ["kidney", "lung"]})


def other_classes(folder: Path) -> None:
    damage_params(folder, data={"classes": ["gland", "vessel"]})


def other_ids(folder: Path) -> None:
    path = folder / "data" / "images.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[0, "id"] = "9999"
    table.to_csv(path, index=False)


def other_sizes(folder: Path) -> None:
    path = folder / "data" / "images.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[table.index[-1], "img_width"] = "77"
    table.to_csv(path, index=False)


def no_predictions(folder: Path) -> None:
    shutil.rmtree(folder / "data" / "predictions")


def no_views(folder: Path) -> None:
    for path in (folder / "data" / "predictions").glob("*/*/flips"):
        shutil.rmtree(path)


def one_fold(folder: Path) -> None:
    damage_params(folder, split={"run": [1]})


def trained_since(folder: Path) -> None:
    jsonfile.write(folder / "models" / "fold_1" / "model.json", {"weights_sha256": "f" * 64})


def one_map_less(folder: Path) -> None:
    next((folder / "data" / "predictions" / "fold_1" / "test" / "flips").glob("*.tif")).unlink()


def cut_off(folder: Path) -> None:
    path = min((folder / "data" / "predictions" / "fold_0" / "oof" / "flips").glob("*.tif"))
    path.write_bytes(path.read_bytes()[:-200])


def no_params(folder: Path) -> None:
    (folder / "params.yaml").write_text("data: {}\n")


DAMAGES = {
    "other organs": (other_organs, ("has data.organs ['kidney', 'lung'], this project ['kidney', 'large",)),
    "other classes": (
        other_classes,
        ("has data.classes ['gland', 'vessel'], this project ['ftu']", "averaged by their place"),
    ),
    "other ids": (other_ids, ("was made on other images: 2 rows", "9999 (train, ", "same data set")),
    "other sizes": (other_sizes, ("2 rows of data/images.csv", " x 77 px)", "take it out")),
    "no predictions": (
        no_predictions,
        ("lacks a file", "data/predictions/fold_0/prediction.json", "dvc repro"),
    ),
    "no such views": (no_views, ("has no data/predictions/fold_0/oof/flips", "'flips' as predict.tta")),
    "one fold": (one_fold, ("folds [1]: no map under oof/flips of", "(3 images)", "all of its folds")),
    "stale": (trained_since, ("predicted fold 1, where the model is ffffffff", "run `dvc repro` there")),
    "a map less": (one_map_less, ("folds [0, 1]: no map under test/flips of", "(1 images)")),
    "cut off": (cut_off, ("data/predictions/fold_0/oof/flips/", ".tif is damaged; predict it again")),
    "another project": (no_params, ("has a file without", "dvc repro")),
    "no lock": (lambda folder: (folder / "dvc.lock").unlink(), ("lacks a file", "dvc.lock")),
}


@pytest.mark.parametrize(("damage", "parts"), DAMAGES.values(), ids=DAMAGES)
def test_a_member_that_does_not_fit_is_refused(project, member, damage, parts, tmp_path):
    damage(member)
    with pytest.raises(InputError) as caught:
        members.fetch(found(project, "../other")[0], tmp_path)
    for part in ("ensemble.members: '../other'", *parts):
        assert part in str(caught.value)


def test_the_stage_refuses_a_member_in_words_and_writes_nothing(project, member):
    other_organs(member)
    ask_for(project, "../other")
    refused(project, "ensemble.members: '../other' has data.organs ['kidney', 'lung']")


def test_members_of_another_shift_are_refused_where_shifted_images_are_scored(project, member):
    wanted, shift = wanted_by(project), project.params["shift"]
    wanted = wanted._replace(due={**wanted.due, "shifted": set()}, shift=shift | {"blur": 3.0})
    with pytest.raises(InputError, match=r"'../other' has shift {'blur': 1.0.* or set shift.enabled: false"):
        members.find(f"../{member.name}", project.folder, wanted)
    members.find(f"../{member.name}", project.folder, wanted._replace(shift=shift))


# ------------------------------------------------------------------ experiments

PIPELINE = """\
stages:
  predict:
    cmd: PYTHONPATH={tests}:{source} python predict.py
    params:
    - sample
    outs:
    - data/predictions
    - models
  members:
    cmd: PYTHONPATH={source} python {source}/../stages/members.py
    params:
    - ensemble
    outs:
    - data/members
"""
SCRIPT = """\
from pathlib import Path
import predicted
from ftu.pipeline import params
predicted.predict(Path("."), seed=params.load_params(Path("params.yaml")).sample.seed)
"""


@pytest.fixture
def repository(project):
    """A git and DVC repository whose pipeline predicts and fetches members; `one` is an experiment of it."""
    folder = project.folder
    (folder / "dvc.yaml").write_text(PIPELINE.format(tests=ROOT / "tests/support", source=ROOT / "src"))
    (folder / "predict.py").write_text(SCRIPT)
    shutil.rmtree(folder / "data" / "raw")
    for words in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        run(folder, "git", *words)
    run(folder, "dvc", "init", "-q")
    (folder / ".gitignore").write_text("/models\n/data/predictions\n/data/members\n")
    commit(folder)
    run(folder, "dvc", "exp", "run", "--temp", "-n", "one", "-S", "sample.seed=7")
    return project


@pytest.mark.slow
def test_an_experiment_is_found_by_its_name_in_the_workspace_and_in_a_copy(repository):
    ask_for(repository, "one")
    folder = repository.folder
    output = run(folder, "dvc", "exp", "run", "--temp", "-n", "two", "-S", "sample.seed=3")
    assert "Running stage 'members'" in output
    run(folder, "dvc", "exp", "apply", "two")
    first = fetched(repository)
    assert {Path(path).parts[0] for path in first} == {"one"}
    (facts,) = jsonfile.read(folder / "data/members/members.json", "")["members"].values()
    assert (
        facts["commit"]
        == run(folder, "git", "for-each-ref", "--format=%(objectname)", "refs/exps/**/one").strip()
    )
    assert facts == jsonfile.read(folder / "data/members/one/member.json", "")
    own = maps_of(folder, "flips")
    assert {path.removeprefix("one/") for path in first} == set(own)
    assert not set(first.values()) & set(own.values())

    run(folder, "dvc", "exp", "apply", "one")
    assert {f"one/{path}": content for path, content in maps_of(folder, "flips").items()} == first
    ask_for(repository, facts["commit"][:10])  # any revision will do
    run(folder, "dvc", "repro")
    assert {path.split("/", 1)[1]: content for path, content in fetched(repository).items()} == {
        path.split("/", 1)[1]: content for path, content in first.items()
    }


@pytest.mark.slow
def test_a_revision_whose_predictions_were_never_made_or_left_the_cache_is_refused(repository):
    ask_for(repository, "HEAD")
    output = run(repository.folder, "dvc", "repro", "-s", "members", status=255)
    assert "members: error: ensemble.members: 'HEAD' lacks a file" in output, output
    ask_for(repository, "one")
    shutil.rmtree(repository.folder / ".dvc" / "cache")
    output = run(repository.folder, "dvc", "repro", "-s", "members", status=255)
    assert "members: error: ensemble.members: 'one' lacks a file" in output, output
    assert "fetch its outputs with `dvc fetch`" in output
