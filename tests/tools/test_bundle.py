"""What is packed for Kaggle: the library that inference imports and no more, wheels as locked, metadata."""

import ast
import re
import shutil
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import numpy as np
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from packaging.utils import canonicalize_name

from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.probabilities import projects
from ftu_tools.kaggle import bundle, bundle_layout, pack_experiment, wheels
from ftu_tools.trained import licences
from imports import ROOT, imported_modules, imported_packages
from trained import change, write_project

RUNNER = Path("src/ftu_tools/kaggle/infer.py")
NOT_ON_KAGGLE = {"dvc", "albumentations", "staintools", "spams", "matplotlib", "accelerate", "fsspec"}

# ------------------------------------------------------------------ the library


def test_the_modules_packed_are_those_that_the_runner_imports():
    walked = {ROOT / path for path in imported_modules(RUNNER) | {str(RUNNER)}}
    packed = {bundle.file_of(module) for module in bundle.needs(bundle.RUNNER)}
    assert packed == walked - {bundle.file_of(bundle.ANOTHER_LICENCE)}


def test_inference_needs_nothing_of_training():
    # The other stain backend is imported by name, and only where it is asked for.
    assert not (imported_packages(RUNNER) - {"staintools", "spams"}) & NOT_ON_KAGGLE
    needed = bundle.needs(bundle.RUNNER)
    assert not [name for name in needed if name.startswith("ftu.training")]
    assert not {"ftu.probabilities.members", "ftu_tools.kaggle.bundle"} & set(needed)


def test_the_library_that_is_packed_is_whole(tmp_path):
    bundle.pack_library(bundle.needs(bundle.RUNNER), tmp_path)
    for path in tmp_path.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("ftu", "ftu_tools"):
                module = tmp_path / (node.module or "").replace(".", "/")
                names = [module / f"{alias.name}.py" for alias in node.names]
                assert module.with_suffix(".py").is_file() or all(map(Path.is_file, names)), path


def test_the_families_of_the_models_that_are_packed_come_along(tmp_path):
    """They are imported by name, which no walk of imports sees; an old model.json names none."""
    architectures = {"own/fold_0": {"encoder": "a"}, "member-1/fold_2": {"family": "encoder_decoder"}}
    for place, architecture in architectures.items():
        (tmp_path / place).mkdir(parents=True)
        jsonfile.write(tmp_path / place / "model.json", {"architecture": architecture})
    assert bundle.builders(tmp_path) == ["ftu.networks.encoder_decoder.segmenter"]
    family = {name for name in bundle.needs(*bundle.builders(tmp_path)) if ".encoder_decoder." in name}
    assert len(family) == 4
    assert not family & set(bundle.needs(bundle.RUNNER))
    jsonfile.write(tmp_path / "own/fold_0/model.json", {"architecture": {"family": "../evil"}})
    with pytest.raises(InputError, match=r"train.model.family: '../evil' is unknown; use one of encoder_dec"):
        bundle.builders(tmp_path)


def test_a_model_json_that_names_no_network_is_told_by_its_place(tmp_path):
    (tmp_path / "own/fold_0").mkdir(parents=True)
    jsonfile.write(tmp_path / "own/fold_0/model.json", {"architecture": {"family": ["x"] * 10**4}})
    with pytest.raises(
        InputError, match=r"own/fold_0/model\.json: train\.model\.family: .* is unknown"
    ) as error:
        bundle.builders(tmp_path)
    assert len(str(error.value)) < 500


# ------------------------------------------------------------------ wheels


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_all_that_inference_imports_is_in_its_group_or_preinstalled(python):
    known = packages_distributions()
    third_party = imported_packages(RUNNER) - sys.stdlib_module_names - {"staintools", "spams"}
    names = {canonicalize_name(name) for module in third_party for name in known[module]}
    with (ROOT / "pyproject.toml").open("rb") as file:
        group = tomllib.load(file)["dependency-groups"][wheels.GROUP]
    assert {canonicalize_name(name) for name in group} == names - wheels.PREINSTALLED
    found = [package["name"] for package in wheels.pinned(ROOT, python)]
    assert found == sorted(set(found))
    assert names - wheels.PREINSTALLED <= set(found)
    assert not set(found) & (wheels.PREINSTALLED | {"dvc", "albumentations", "staintools", "spams-bin"})


def test_what_kaggle_preinstalls_is_in_the_lock():
    with (ROOT / "uv.lock").open("rb") as file:
        assert {package["name"] for package in tomllib.load(file)["package"]} >= wheels.PREINSTALLED


PLACE = 'source = { registry = "https://example.org/simple" }'


def entry(name: str, version: str, *dependencies: str) -> str:
    """A package in a lock of uv."""
    wheel = f'url = "https://example.org/{name}-{version}-py3-none-any.whl", hash = "sha256:{"0" * 64}"'
    needed = f"dependencies = [{', '.join(dependencies)}]"
    head = f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
    return f"{head}{PLACE}\nwheels = [{{ {wheel} }}]\n{needed}\n"


def test_a_package_that_is_pinned_several_times_is_taken_for_its_python(tmp_path):
    head = '\nname = "project"\nversion = "0"\n'
    python = 'requires-python = ">=3.11"\n'
    group = '[dependency-groups]\nkaggle = ["top"]\n'
    (tmp_path / "pyproject.toml").write_text(f"[project]{head}{python}{group}")
    older = f'{{ name = "old", version = "1", {PLACE}, marker = "python_full_version < \'3.12\'" }}'
    newer = f'{{ name = "old", version = "2", {PLACE}, marker = "python_full_version >= \'3.12\'" }}'
    absent = '{ name = "absent", marker = "sys_platform == \'win32\'" }'
    lock = f'version = 1\n{python}[[package]]{head}source = {{ virtual = "." }}\n'
    lock += '[package.dev-dependencies]\nkaggle = [{ name = "top" }]\n'
    lock += entry("top", "1", older, newer, absent, '{ name = "numpy" }') + entry("old", "1")
    lock += entry("old", "2") + entry("absent", "1") + entry("numpy", "1", '{ name = "blas" }')
    (tmp_path / "uv.lock").write_text(lock + entry("blas", "1"))
    for version, expected in (("3.11", "1"), ("3.12", "2")):
        found = {package["name"]: package["version"] for package in wheels.pinned(tmp_path, version)}
        assert found == {"old": expected, "top": "1"}
    (tmp_path / "uv.lock").unlink()
    with pytest.raises(InputError, match=r"uv\.lock: uv cannot export it"):
        wheels.pinned(tmp_path, "3.12")


def test_without_uv_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"uv is not on the PATH.*make bundle"):
        wheels.pinned(ROOT, "3.12")


def test_a_wheel_says_its_licence(tmp_path):
    said = {
        "License-Expression: MIT\nLicense: other": "MIT",
        "License: BSD\n": "BSD",
        "Classifier: License :: OSI Approved :: MIT License": "MIT License",
        "Summary: none": "not stated",
    }
    for number, (line, expected) in enumerate(said.items()):
        path = tmp_path / f"{number}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("a-1.dist-info/METADATA", f"Metadata-Version: 2.4\nName: a\n{line}\n")
        assert licences.of_wheel(path) == expected


# ------------------------------------------------------------------ metadata and notebook


NOTEBOOK = nbformat.read(bundle.NOTEBOOK / "inference.ipynb", nbformat.NO_CONVERT)
CELLS = [ast.parse(cell.source) for cell in NOTEBOOK.cells if cell.cell_type == "code"]  # of plain Python


def test_the_notebook_is_valid_and_as_jupyter_saves_it_without_results():
    nbformat.validate(NOTEBOOK)
    assert nbformat.writes(NOTEBOOK) + "\n" == (bundle.NOTEBOOK / "inference.ipynb").read_text()
    assert not any(cell.outputs for cell in NOTEBOOK.cells if cell.cell_type == "code")


def test_the_notebook_names_the_parts_of_a_bundle_as_those_do_who_write_it():
    nodes = [node for cell in CELLS for node in ast.walk(cell)]
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {
        bundle_layout.FACTS,
        bundle_layout.WHEELS,
        bundle_layout.LIBRARY,
        bundle_layout.INPUT,
        "/**/" + bundle_layout.FACTS,
    }
    assert words >= names
    called = {word for word in words if word.startswith(("ftu.", "ftu_tools."))}
    assert called
    assert called <= set(bundle.needs(bundle.RUNNER))


FINDS = "".join(NOTEBOOK.cells[1].source.partition("FACTS =")[0])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "bundle.json: must lie in one folder under {0}, and lies in none; attach"),
        (["bundle/bundle.json"], "test.csv: must lie in one folder under {0}, and lies in none; attach"),
        (
            ["a/bundle.json", "b/bundle.json", "c/test.csv"],
            "bundle.json: must lie in one folder under {0}, and lies {0}/a, {0}/b; attach",
        ),
        (
            ["a/bundle.json", "b/test.csv", "c/d/test.csv"],
            "test.csv: must lie in one folder under {0}, and lies {0}/b, {0}/c/d; attach",
        ),
    ],
)
def test_the_notebook_says_what_is_attached_where_it_is_not_one_of_each(tmp_path, monkeypatch, files, words):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv(bundle_layout.INPUT, str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        exec(FINDS, {})
    assert str(ended.value.code).startswith(words.format(tmp_path))


def test_the_notebook_finds_the_bundle_and_the_data(tmp_path, monkeypatch):
    for name in ("bundle.json", "test.csv"):
        (tmp_path / "deep" / name[:4]).mkdir(parents=True)
        (tmp_path / "deep" / name[:4] / name).touch()
    monkeypatch.setenv(bundle_layout.INPUT, str(tmp_path))
    found = {}
    exec(FINDS, found)
    assert (found["BUNDLE"], found["DATA"]) == (tmp_path / "deep/bund", tmp_path / "deep/test")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Both halves of what goes to Kaggle, without the contents of the data set."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / bundle_layout.LICENCES).write_text('all "about" it\n')
    bundle.publishable(tmp_path, "someone")
    return tmp_path


def test_the_notebook_runs_offline_on_a_gpu_on_the_competition(published):
    found = jsonfile.read(published / "notebook" / bundle_layout.KERNEL, "")
    assert found["id"] == "someone/" + re.sub(r"\W+", "-", found["title"].lower())  # as Kaggle makes slugs
    assert (found["enable_internet"], found["enable_gpu"], found["is_private"]) == (False, True, True)
    assert found["competition_sources"] == ["hubmap-organ-segmentation"]
    data = jsonfile.read(published / "dataset" / "dataset-metadata.json", "")
    assert found["dataset_sources"] == [data["id"]]
    assert (found["kernel_type"], found["language"]) == ("notebook", "python")
    assert len(found["title"]) >= 5
    assert nbformat.read(published / "notebook" / found["code_file"], nbformat.NO_CONVERT) == NOTEBOOK


def test_the_data_set_keeps_to_the_lengths_that_kaggle_asks_for(published):
    found = jsonfile.read(published / "dataset" / "dataset-metadata.json", "")
    user, slug = found["id"].split("/")
    assert user == "someone"
    assert 3 <= len(slug) <= 50
    assert 6 <= len(found["title"]) <= 50
    assert 20 <= len(found["subtitle"]) <= 80
    assert found["licenses"] == [{"name": "other"}]  # exactly one, and this one refers to the description
    assert found["description"] == 'all "about" it\n'
    assert slug in NOTEBOOK.cells[0].source


def test_nothing_that_is_published_names_another_user(published):
    for path in published.rglob("*-metadata.json"):
        assert bundle.USER in (bundle.NOTEBOOK / path.name).read_text()
        assert bundle.USER not in path.read_text()


@pytest.mark.parametrize("user", ['a"b', "a/b", "a b"])
def test_a_name_that_is_none_on_kaggle_is_refused_before_any_work(tmp_path, user):
    with pytest.raises(InputError, match="the name on Kaggle: "):
        bundle.build(tmp_path / "b", project=tmp_path, experiment="", pythons=[], user=user, device="")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ packing


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_project(folder)
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


def pack(project: Path) -> Path:
    folder = project / "packed"
    pack_experiment.pack(projects.find("", project), folder)
    return folder


def test_an_experiment_is_packed_with_its_own_bytes(project):
    folder = pack(project)
    for name in ("params.yaml", "fold_0/model.json", "fold_1/weights.safetensors"):
        origin = project / (f"models/{name}" if "fold" in name else name)
        assert (folder / name).read_bytes() == origin.read_bytes()


def test_the_target_is_that_of_the_training_images_alone(project):
    target = png.read_image(pack(project) / bundle_layout.TARGET)
    assert set(np.unique(target)) == {0, 40, 80, 120, 160}  # 10 more in test images


def test_a_target_may_be_a_visible_test_image(project):
    change(project, "stain", target={"kind": "image", "ids": ["test3"], "source": "HPA", "file": ""})
    assert set(np.unique(png.read_image(pack(project) / bundle_layout.TARGET))) == {130}


def test_an_experiment_of_an_earlier_version_is_refused_in_one_line_that_names_it(project):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("side:", "size:").replace("family: encoder_decoder", ""))
    with pytest.raises(InputError) as error:
        pack_experiment.pack(projects.find("", project), project / "packed")
    assert str(error.value).startswith(
        f"{projects.find('', project).name}: its params.yaml is not of this version"
    )
    assert "train it again with this code, or bundle it from a checkout of its own commit" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_target_is_packed_where_stains_stay(project):
    change(project, "stain", backend="none")
    assert not (pack(project) / bundle_layout.TARGET).exists()


def test_the_other_stain_backend_cannot_travel(project):
    change(project, "stain", backend="staintools")
    with pytest.raises(InputError, match=r"stain\.backend staintools cannot be bundled.*train with exact"):
        pack(project)


@pytest.mark.parametrize(
    "missing", ["models/fold_1/weights.safetensors", "models/fold_0/model.json", "data/images.csv"]
)
def test_what_is_missing_is_named(project, missing):
    (project / missing).unlink()
    with pytest.raises(InputError, match=rf"{missing} is not there.*dvc repro"):
        pack(project)


def test_weights_that_are_not_those_of_the_facts_are_refused(project):
    facts = project / "models/fold_1/model.json"
    jsonfile.write(facts, jsonfile.read(facts, "") | {"weights_sha256": "0"})
    with pytest.raises(InputError, match=r"models/fold_1: weights are not those of model\.json"):
        pack(project)


def test_a_source_is_a_folder_or_what_dvc_knows(project, tmp_path):
    here = projects.find("", project)
    assert isinstance(here.files, DirFileSystem)
    assert isinstance(here.files.fs, LocalFileSystem)
    with pytest.raises(InputError, match="'nobody' is no folder, and no experiment"):
        projects.find("nobody", ROOT if (ROOT / ".git").exists() else tmp_path)


def test_the_licences_name_first_weights_and_warn_of_those_that_are_not_for_every_use(project, capsys):
    facts = project / "models/fold_1/model.json"
    bound = {"source": "imagenet", "licence": "NVIDIA Source Code License, non-commercial"}
    jsonfile.write(facts, jsonfile.read(facts, "") | {"encoder_weights": bound})
    data = project / "data set"
    pack_experiment.pack(projects.find("", project), data / "own")
    bundle.pack_licences(data, ROOT)
    text = (data / bundle_layout.LICENCES).read_text()
    assert "| own/fold_0 | resnet18 | none | none |" in text
    assert "| own/fold_1 | resnet18 | imagenet | NVIDIA Source Code License, non-commercial |" in text
    assert "not a medical device" in text
    assert "own/fold_1: trained from weights for non-commercial use only" in capsys.readouterr().err


@pytest.mark.parametrize("python", ["3", "3.12; id", "-h", "$(id)", "3.12.1", ""])
def test_a_version_that_is_none_is_refused_and_nothing_is_written(tmp_path, python):
    with pytest.raises(InputError, match=r"PYTHONS: .* is no version of Python; write for example 3\.12"):
        bundle.build(tmp_path / "b", project=tmp_path, experiment="", pythons=[python], user="me", device="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["--output=x", "-x", "a\nb", "a\0b"])
def test_a_name_that_is_an_option_or_no_text_is_no_experiment(tmp_path, name):
    with pytest.raises(InputError, match="is no name of an experiment or a folder"):
        bundle.build(
            tmp_path / "b", project=tmp_path, experiment=name, pythons=["3.12"], user="me", device=""
        )
    assert list(tmp_path.iterdir()) == []
