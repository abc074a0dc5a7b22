"""dvc.yaml says the truth: every module that a stage imports is a dep, every section it reads a param."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.stage.cache import _get_cache_hash
from ruamel.yaml import YAML

import ftu.pipeline.params  # noqa: F401 imports every section
from ftu.pipeline.sections.fields import Section
from imports import ROOT, families, imported_folders, imported_packages, params_sections

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())


CHOSEN = "src/ftu/networks/${train.model.family}"  # of what is chosen by name, the choice alone
HOW = "src/ftu/pipeline"  # how a stage runs: no result hangs on it


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_script_and_the_packages_that_it_imports(stage: str, family: str) -> None:
    script = f"stages/{stage}.py"
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))}
    chosen = {dep.replace("${train.model.family}", family) for dep in declared}
    assert chosen == {script} | imported_folders(Path(script), family) - {HOW}
    assert (CHOSEN in declared) == (stage in ("pretrain", "train", "predict"))


def test_dvc_yaml_reads_as_a_table_of_contents() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 310


RAW = {"${data.root}"}  # layouts have their files in different places
MODEL = {"models/fold_${item.fold}/weights.safetensors", "models/fold_${item.fold}/model.json"}
PREDICTED = {"data/folds.csv", "data/images.csv", "data/members", "data/predictions", "models"}
DATA = {
    "sample": set(),
    "decode": RAW | {"data/sample/SYNTHETIC.md"},
    "resize": RAW | {"data/images.csv", "data/masks"},
    "normalize": {"data/images.csv", "data/resized"},
    "shift": RAW | {"data/images.csv", "data/masks", "data/resized"},
    "split": {"data/images.csv"},
    "pretrain": {"data/folds.csv", "data/images.csv", "data/normalized", "data/resized/masks"},
    "train": {
        "data/folds.csv",
        "data/normalized/histogram.json",
        "data/normalized/train",
        "data/pretrained/fold_${item.fold}",
        "data/resized/masks",
    },
    "predict": {"data/folds.csv", "data/images.csv", "data/normalized", "data/shifted"} | MODEL,
    "members": {"data/folds.csv", "data/images.csv", "data/shifted"},
    "calibrate": PREDICTED | {"data/masks", "data/shifted"},
    "evaluate": PREDICTED
    | RAW
    | {"data/masks", "data/masks_test", "data/rules.json", "data/shifted"}
    | {"reports/calibration.json"},
    "submit": PREDICTED | {"data/rules.json"},
    "report": PREDICTED
    | RAW
    | {"data/masks", "data/normalized/qc.csv", "data/rules.json"}
    | {f"reports/{name}.csv" for name in ("dice", "dice_shifted", "dice_test", "geometry", "scores")}
    | {"reports/calibration.json", "reports/scores.json"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_data_that_it_reads(stage: str) -> None:
    declared = [dep for dep in STAGES[stage]["deps"] if not dep.startswith(("src/", "stages/"))]
    assert sorted(declared) == sorted(DATA[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_that_the_script_reads(stage: str) -> None:
    script, declared = Path(f"stages/{stage}.py"), STAGES[stage]["params"]
    assert {section_of(name) for name in declared} == params_sections(script) - {"compute"}
    keys = {name for name in declared if "." in name}  # of their sections the script reads nothing else
    for section in map(section_of, keys):
        read = set(re.findall(rf"params\.({section}[.\w]*)", (ROOT / script).read_text()))
        assert read == {name for name in keys if section_of(name) == section}


def section_of(name: str) -> str:
    return name.partition(".")[0]


def test_how_stages_run_is_no_dependency_of_any() -> None:
    assert not any("compute" in stage["params"] for stage in STAGES.values())


# ------------------------------------------------------------------ DVC's run cache


def leaves(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each place of a value in a tree of parameters, as the section that holds it and its key."""
    for key, found in tree.items():
        if isinstance(found, dict):
            yield from leaves(found)
        else:
            yield tree, key


def value_of(name: str) -> Any:
    """Of a section, or of a key of one (`data.group`)."""
    section, _, key = name.partition(".")
    return PARAMS[section][key] if key else PARAMS[section]


@pytest.mark.parametrize("stage", STAGES)
def test_another_value_of_a_parameter_is_another_run(stage: str) -> None:
    read: dict[str, Any] = {name: deepcopy(value_of(name)) for name in STAGES[stage]["params"]}

    def run() -> str:
        return _get_cache_hash({"cmd": STAGES[stage]["cmd"], "params": {"params.yaml": read}}, key=True)

    first, ignored = run(), []
    for section, key in leaves(read):
        kept, section[key] = section[key], "another"
        ignored += [key] if run() == first else []
        section[key] = kept
    assert ignored == []


def test_no_parameter_has_a_name_that_the_run_cache_ignores() -> None:
    names = {name for section in Section.__subclasses__() for name in section.model_fields}
    assert {"root", "name", "weight", "side"} <= names  # those of list items, too
    assert [name for name in names if _get_cache_hash({name: 0}) == _get_cache_hash({name: 1})] == []


# ------------------------------------------------------------------ what DVC does not see


def test_what_editors_and_python_leave_in_a_package_changes_no_stage(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    copyfile(ROOT / ".dvcignore", ".dvcignore")
    Path("code").mkdir()
    Path("code/a.py").touch()
    Path("dvc.yaml").write_text("stages: {stage: {cmd: 'true', deps: [code]}}")
    Repo.init(no_scm=True).reproduce()  # pyright: ignore[reportCallIssue] # DVC gives it its repo
    for name in (
        "a.py~",
        ".a.py.swp",
        ".a.py.swo",
        ".#a.py",
        ".ipynb_checkpoints/a.py",
        "__pycache__/a.pyc",
        "a.tmp-1.py",
    ):
        Path("code", name).parent.mkdir(exist_ok=True)
        Path("code", name).touch()
        assert Repo().status() == {}, name
    Path("code/b.py").touch()
    assert Repo().status() != {}


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_runs_the_script_of_the_same_name_from_the_working_copy(stage: str) -> None:
    assert STAGES[stage]["cmd"].removesuffix(" ${item}") == f"PYTHONPATH=src python stages/{stage}.py"


def test_every_script_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)


def test_metrics_and_plots_are_tracked_by_git() -> None:
    for stage in STAGES.values():
        for out in stage.get("metrics", []) + stage.get("plots", []):
            (settings,) = out.values()
            assert settings["cache"] is False, json.dumps(out)


HEAVY = {"torch", "timm", "segmentation_models_pytorch", "albumentations", "ttach", "safetensors"}


def test_only_stages_with_a_network_import_torch() -> None:
    heavy = {stage: imported_packages(Path(f"stages/{stage}.py")) & HEAVY for stage in STAGES}
    assert {stage for stage, packages in heavy.items() if packages} == {"pretrain", "train", "predict"}
    assert heavy["pretrain"] == heavy["train"] == HEAVY - {"ttach"}
    assert heavy["predict"] == HEAVY - {"albumentations"}  # a change of augmentation predicts nothing again


def test_only_what_normalizes_imports_staintools() -> None:
    users = {stage for stage in STAGES if "staintools" in imported_packages(Path(f"stages/{stage}.py"))}
    assert users == {"normalize", "shift"}
