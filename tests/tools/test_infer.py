"""The runner answers each image by itself, names a bad one before it predicts, and writes all or nothing."""

import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ftu.errors import InputError
from ftu.files import csvfile, jsonfile
from ftu.masks import rules, submission
from ftu.pipeline.params import load_params
from ftu.probabilities import projects
from ftu_tools.kaggle import bundle, bundle_layout, infer, pack_experiment, wheels
from ftu_tools.kaggle.infer import Cost
from trained import change, write_project


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of a bundle, without wheels and library; do not write into it."""
    project, data = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("data set")
    write_project(project)
    change(project, "stain", backend="none")
    change(project, "postprocess", never_empty="lower")
    params = pack_experiment.pack(projects.find("", project), data / "own")
    table = rules.from_thresholds(params.thresholds, smallest_object=0, largest_hole=0, foreground={})
    rules.write(data / bundle_layout.RULES, rules.Rules("flips", 1.0, {}, "table", table, {}))
    jsonfile.write(data / bundle_layout.FACTS, {"own": "own", "members": {}, "device": "cpu"})
    return data


@pytest.fixture
def data(small_sample: Path, tmp_path: Path) -> Path:
    """A copy of the competition's folder."""
    return Path(shutil.copytree(small_sample, tmp_path / "data"))


def answered(packed: Path, data: Path, out: Path) -> dict[str, str]:
    infer.submit(data, packed, out)
    table = csvfile.read_csv(out)
    return dict(zip(table["id"], table["rle"], strict=True))


def test_a_submission_is_valid_and_repeats_itself(packed, data, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    for out in (first, second):
        infer.submit(data, packed, out)
    assert first.read_bytes() == second.read_bytes()
    test = csvfile.read_sizes(data / "test.csv")
    submission.check_submission(csvfile.read_csv(first), test)
    assert csvfile.read_csv(first)["rle"].ne("").all()  # the guard saw to it


def test_an_image_is_answered_as_if_it_were_alone(packed, data, tmp_path):
    together = answered(packed, data, tmp_path / "all.csv")
    table = csvfile.read_csv(data / "test.csv")
    for name in together:
        table[table["id"] == name].to_csv(data / "test.csv", index=False)
        assert answered(packed, data, tmp_path / f"{name}.csv") == {name: together[name]}


@pytest.mark.parametrize("member", ["other", "own"])
def test_weight_decides_which_experiments_are_loaded(packed, data, tmp_path, member):
    both = shutil.copytree(packed, tmp_path / "both")
    shutil.copytree(both / "own", both / "member-1")
    jsonfile.write(
        both / bundle_layout.FACTS, {"own": "own", "members": {member: "member-1"}, "device": "cpu"}
    )
    params = load_params(both / "own" / bundle_layout.PARAMS)
    known = rules.read(both / bundle_layout.RULES, organs=params.data.organs, sources=params.data.sources)
    for own, names in ((0.0, [member]), (1.0, ["own", member])):
        rules.write(both / bundle_layout.RULES, known._replace(own=own, members={member: 2.0}))
        assert [each.name for each in infer.load(both).experiments] == names
    alone = answered(packed, data, tmp_path / "alone.csv")
    assert answered(both, data, tmp_path / "both.csv") == alone  # a mean of two equal experiments


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("spoil", "said"), [(damage, "cannot be read"), (Path.unlink, "is missing")], ids=["damaged", "missing"]
)
def test_a_bad_image_is_named_before_anything_is_predicted(packed, data, tmp_path, spoil, said):
    name = csvfile.read_csv(data / "test.csv")["id"].iloc[-1]
    spoil(data / "test_images" / f"{name}.tiff")
    out = tmp_path / "submission.csv"
    out.write_text("before")
    with pytest.raises(InputError, match=rf"{name}\.tiff: .*{said}"):
        infer.submit(data, packed, out)
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if ".tmp-" in path.name] == []


def test_a_rule_that_cannot_be_followed_is_told_before_anything_is_predicted(
    packed, data, tmp_path, monkeypatch
):
    monkeypatch.delattr(infer, "answers")
    odd = shutil.copytree(packed, tmp_path / "odd")
    params = load_params(odd / "own" / bundle_layout.PARAMS)
    known = rules.read(odd / bundle_layout.RULES, organs=params.data.organs, sources=params.data.sources)
    rules.write(odd / bundle_layout.RULES, known._replace(method="quantile"))
    with pytest.raises(InputError, match="quantile needs the share of foreground"):
        infer.submit(data, odd, tmp_path / "submission.csv")


def test_an_unknown_organ_is_refused(packed, data, tmp_path):
    table = pd.read_csv(data / "test.csv", dtype=str)
    table.assign(organ="liver").to_csv(data / "test.csv", index=False)
    with pytest.raises(InputError, match="organ 'liver'"):
        infer.submit(data, packed, tmp_path / "submission.csv")


def test_a_folder_that_is_no_bundle_is_refused(data, tmp_path):
    with pytest.raises(InputError, match=r"bundle\.json: is missing.*make bundle"):
        infer.submit(data, tmp_path, tmp_path / "submission.csv")


def test_costs_are_extrapolated_to_the_hidden_test_set():
    said = infer.report(Cost(images=10, loading=40.0, predicting=20.0, peak=1.5))
    assert said.splitlines()[1] == "550 such images: 0.32 of 9 hours, 1.50 of 13 GB"
    assert "warning" not in said


@pytest.mark.parametrize(
    ("cost", "limit"), [(Cost(1, 0, 60, 1), "9 hours"), (Cost(1, 0, 1, 14), "13 GB")], ids=["time", "memory"]
)
def test_what_is_over_the_limits_is_said(cost, limit):
    assert infer.report(cost).endswith(f"warning: over Kaggle's {limit}")


def test_a_bundle_of_another_version_is_to_be_made_again(packed, data, tmp_path):
    old = shutil.copytree(packed, tmp_path / "old")
    path = old / "own" / bundle_layout.PARAMS
    path.write_text(path.read_text().replace("side:", "size:"))
    with pytest.raises(InputError, match=r"own: was packed by another version \(.*\); run `make bundle`$"):
        infer.submit(data, old, tmp_path / "a.csv")


# ------------------------------------------------------------------ the notebook

PIP = (
    "import sys\nfrom pathlib import Path\nPath('asked').write_text('\\n'.join(sys.argv[1:]))\n"  # a stand-in
)


def execute(folder: Path, packed: Path, data: Path, python: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter runs the notebook on a bundle with wheels for `python`; the folder that it worked in."""
    data_set, library, working = folder / "input/data set", folder / "library", folder / "working"
    shutil.copytree(packed, data_set)
    shutil.copytree(data, folder / "input/competition")
    code = bundle.needs(bundle.RUNNER, *bundle.builders(data_set))
    bundle.pack_library(code, data_set / bundle_layout.LIBRARY)
    facts = jsonfile.read(data_set / bundle_layout.FACTS, "")
    pins = {"code_commit": "1", "packages": {python: {"thing": "1.0", "other": "2"}}}
    jsonfile.write(data_set / bundle_layout.FACTS, facts | pins)
    for path in (library, working):
        path.mkdir()
    (library / "pip.py").write_text(PIP)
    settings = {
        bundle_layout.INPUT: folder / "input",
        "PYTHONPATH": library,
        "IPYTHONDIR": folder / "ipython",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(bundle.NOTEBOOK / "inference.ipynb", nbformat.NO_CONVERT)
    NotebookClient(notebook, resources={"metadata": {"path": str(working)}}).execute()
    return working


def test_the_notebook_installs_what_is_pinned_and_answers_as_the_runner_does(
    packed, data, tmp_path, monkeypatch
):
    infer.submit(data, packed, tmp_path / "submission.csv")
    working = execute(tmp_path, packed, data, wheels.running_python(), monkeypatch)
    assert (working / "submission.csv").read_bytes() == (tmp_path / "submission.csv").read_bytes()
    install, *options = (working / "asked").read_text().splitlines()
    assert install == "install"
    assert {"--no-index", "--no-deps", str(tmp_path / "input/data set" / bundle_layout.WHEELS)} <= set(
        options
    )
    assert options[-2:] == ["thing==1.0", "other==2"]


def test_a_notebook_that_meets_another_python_says_so_and_does_nothing(packed, data, tmp_path, monkeypatch):
    with pytest.raises(CellExecutionError, match=r"no wheels for Python 3.*make bundle PYTHONS="):
        execute(tmp_path, packed, data, "2.7", monkeypatch)
    assert not list((tmp_path / "working").iterdir())
