"""What others bring is data: nothing of it is run, followed out of its folder, or believed about its size."""

import ast
import json
import os
import pickle
import re
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from dvc.parsing.context import Context
from ruamel.yaml import YAML
from torch import nn

import predicted
from ftu.datasets import competition
from ftu.errors import InputError
from ftu.files import csvfile, folds, jsonfile, limits
from ftu.files.index import read_index
from ftu.networks.common import saved
from ftu.networks.common.first_weights import load_encoder_weights
from ftu.networks.encoder_decoder.encoders import Encoder
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from ftu.probabilities import members
from ftu.probabilities.member_checks import Wanted
from ftu_tools.kaggle import bundle, bundle_layout
from imports import ROOT
from project import copy_repository, run, set_params

SCRIPTS = sorted(path for name in ("src", "stages") for path in (ROOT / name).rglob("*.py"))
PATHS = (
    "../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".",
    "..",
    "",
    "a\0b",
    "~",
    "-x",
    "x" * 300,
    "a.tmp-1",
    "a\nb",
    "ä",
)


# ------------------------------------------------------------------ the code itself


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def trees() -> list[tuple[str, ast.Module]]:
    found = [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in SCRIPTS]
    notebook = nbformat.read(bundle.NOTEBOOK / "inference.ipynb", nbformat.NO_CONVERT)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return found + [(f"cell {number}", ast.parse(code)) for number, code in enumerate(cells)]


@pytest.mark.parametrize(("name", "tree"), trees())
def test_no_command_is_a_string_and_no_shell_reads_one(name, tree):
    for called, call in calls(tree):
        assert not re.fullmatch(r"os\.(system|popen|spawn\w*)|subprocess\.get\w*output|pty\.\w+", called)
        assert "shell" not in {keyword.arg for keyword in call.keywords}
        if called in {f"subprocess.{way}" for way in ("run", "Popen", "call", "check_call", "check_output")}:
            command = call.args[0]
            assert not isinstance(command, ast.JoinedStr | ast.Constant | ast.BinOp), (
                name,
                ast.unparse(call),
            )


# Tasks and results, between a stage and workers that it has started or checked.
BETWEEN_OWN_PROCESSES = {"src/ftu/pipeline/workers/processes.py", "src/ftu/pipeline/workers/dask_cluster.py"}


@pytest.mark.parametrize(("name", "tree"), trees())
def test_nothing_is_unpickled_or_evaluated(name, tree):
    for called, call in calls(tree):
        if called == "pickle.loads" and name in BETWEEN_OWN_PROCESSES:
            continue
        assert called not in {
            "eval",
            "exec",
            "compile",
            "pickle.load",
            "pickle.loads",
            "torch.hub.load",
        }
        if called == "np.load":
            assert "allow_pickle=False" in map(ast.unparse, call.keywords), name
        assert not called.endswith(("extractall", "extract", "unpack_archive", "read_pickle", "load_state"))
        if called == "torch.load":
            safe = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert safe.get("weights_only") == "True", name
        if called == "YAML":
            assert [ast.unparse(keyword) for keyword in call.keywords] == ["typ='safe'"], name


def test_the_pipeline_puts_nothing_but_a_fold_into_a_command():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    holes = {hole for stage in stages.values() for hole in re.findall(r"\$\{.*?\}", stage["cmd"])}
    assert holes == {"${item}"}  # a table, which DVC quotes: `--fold 0`
    assert {json.dumps(stage["matrix"]) for stage in stages.values() if "matrix" in stage} == {
        '{"fold": "${split.run}"}'
    }


def test_a_fold_that_is_a_command_stays_one_word_of_the_stages_command():
    fold = "0; touch canary"
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    for name in ("pretrain", "train", "predict"):
        command = Context({"item": {"fold": fold}}).resolve_str(stages[name]["cmd"])
        assert shlex.split(command)[-2:] == ["--fold", fold]


HOSTILE = "$(shell touch canary)`touch canary`$$(touch canary)\"'; touch canary; #"
KNOBS = re.findall(r"^export ([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "target", ["bundle", "table2", "effects", "segment", "bench", "test", "faults", "prune-cache"]
)
@pytest.mark.parametrize("way", ["command line", "environment"])
def test_no_value_that_make_is_given_is_run(tmp_path, target, way):
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "pytest", "uv"):
        (programs / name).write_text("#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done >> words\n")
        (programs / name).chmod(0o755)
    given = dict.fromkeys([*KNOBS, "ANOTHER"], HOSTILE)
    words = [f"{name}={value}" for name, value in given.items()] if way == "command line" else []
    more = {} if words else given
    command = ["make", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "-o", "env", target, *words]
    subprocess.run(command, env=os.environ | more, capture_output=True, check=False)
    assert not (tmp_path / "canary").exists()
    assert HOSTILE.split()[-1] in (tmp_path / "words").read_text()


def test_the_targets_of_make_take_what_they_are_given_from_the_environment():
    text = re.sub(r"\$\((CURDIR|PATH|MAKEFILE_LIST)\)", "", (ROOT / "Makefile").read_text())
    recipes = [line for line in text.splitlines() if line.startswith("\t")]
    assert {"EXPERIMENT", "PYTHONS", "JOBS", "SET", "DAYS"} <= set(KNOBS)
    assert not [line for line in recipes if re.search(r"(?<!\$)\$\([A-Z_]+", line)]


# ------------------------------------------------------------------ weights


class Code:
    """What a hostile file holds: loading it would run a command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def load(path: Path) -> None:
    load_encoder_weights(Encoder(nn.Conv2d(1, 1, 1), [1]), "resnet18", str(path))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors", "w"])
@pytest.mark.parametrize("way", ["zip", "before zip", "pickle"])
def test_a_hostile_pickle_is_refused_in_words_and_never_run(tmp_path, name, way):
    path, canary = tmp_path / name, tmp_path / "canary"
    content = {"weight": torch.ones(1, 1, 1, 1), "bias": Code(canary)}
    if way == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == "zip")
    with pytest.raises(InputError, match=rf"train.weights: {path} cannot be read as weights"):
        load(path)
    assert not canary.exists()
    if way == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path.rename(tmp_path / "again.pt"), weights_only=False)
    assert canary.exists()  # it would have been


def safetensors(head: dict | int, data: bytes = b"") -> bytes:
    if isinstance(head, int):
        return struct.pack("<Q", head) + b"{}"
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


CLAIMS = {
    "a head of an exabyte": safetensors(2**60),
    "a trillion numbers": safetensors(
        {"weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ),
    "more numbers than bytes": safetensors(
        {"weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "a shape that overflows": safetensors(
        {"weight": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "bytes before the file": safetensors(
        {"weight": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)
    ),
}


@pytest.mark.parametrize("content", CLAIMS.values(), ids=CLAIMS)
def test_safetensors_that_claim_more_than_they_hold_are_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as weights"):
        load(tmp_path / "w.safetensors")


ARCHITECTURE = {"encoder": "resnet18", "decoder": "unet", "width": 16, "fuse": "conv1x1", "size": 64}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The folder of a model; do not write into it."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    network = build_segmenter(**ARCHITECTURE)
    saved.save(folder, network, network.state_dict(), ARCHITECTURE, {})
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": ARCHITECTURE | {"encoder": "tu-hf-hub:somebody/model"}},
        {"architecture": ARCHITECTURE | {"encoder": "../net"}},
        {"architecture": ARCHITECTURE | {"decoder": "os.system"}},
        {"architecture": ARCHITECTURE | {"width": 10**9}},
        {"architecture": ARCHITECTURE | {"size": 10**9}},
        {"architecture": ARCHITECTURE | {"weights": "x"}},
        {"architecture": [1]},
        {"mean": [0.5]},
        {"std": [1.0, 0.0, 1.0]},
        {"weights_sha256": 3},
    ],
)
def test_odd_facts_of_a_model_are_refused_before_it_is_built(tmp_path, model, change):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    jsonfile.write(tmp_path / saved.FACTS, jsonfile.read(model / saved.FACTS, "") | change)
    with pytest.raises(InputError, match=rf"model\.json: {next(iter(change))}"):
        saved.load(tmp_path)


@pytest.mark.parametrize("place", [4, 400, -1, -100_000])
def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path, model, place):
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    content = bytearray((tmp_path / saved.WEIGHTS).read_bytes())
    content[place] ^= 1
    (tmp_path / saved.WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match=r"not those that model\.json names"):
        saved.load(tmp_path)


# ------------------------------------------------------------------ names that become paths


KNOWN = {"organs": ["lung"], "sources": ["HPA"]}
READERS = {
    "train": lambda path: competition.read_train(path, **KNOWN),
    "test": lambda path: competition.read_test(path, **KNOWN),
    "images": read_index,
    "folds": folds.read_folds,
    "sizes": csvfile.read_sizes,
}
ROW = {"id": "1", "set": "train", "organ": "lung", "data_source": "HPA", "img_height": 3, "img_width": 3}
ROW |= {"pixel_size": 0.4, "rle": "1 2", "fold": 0}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("reader", READERS)
def test_an_id_that_is_a_path_is_refused_by_every_reader(tmp_path, reader, name):
    pd.DataFrame([ROW, ROW | {"id": name}]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv: "):
        READERS[reader](tmp_path / "a.csv")
    assert limits.name_fault(name)


@pytest.mark.parametrize("name", ["../../x"])
@pytest.mark.parametrize("stage", ["resize", "split"])
def test_a_stage_reads_no_path_out_of_a_table_of_another(new_project, stage, name):
    project = new_project()
    (project.folder / "data").mkdir()
    pd.DataFrame([ROW, ROW | {"id": name}]).to_csv(project.folder / "data" / "images.csv", index=False)
    done = project.run(stage)
    assert done.returncode == 2
    assert f"data/images.csv: line 3: id {name!r} is no file name" in done.stderr


@pytest.mark.parametrize("name", PATHS)
def test_the_folders_of_a_bundle_lie_in_it(tmp_path, name):
    bundle_layout.check(tmp_path, {"own": "own", "members": {"../any name": "member-1"}})
    for facts in ({"own": name, "members": {}}, {"own": "own", "members": {"a": name}}):
        with pytest.raises(InputError, match=r"bundle\.json: "):
            bundle_layout.check(tmp_path, facts)


@pytest.mark.parametrize(
    "facts", [{}, {"own": "own"}, {"own": "own", "members": [1]}, {"own": 3, "members": {}}]
)
def test_a_bundle_without_folders_is_refused(tmp_path, facts):
    with pytest.raises(InputError, match=r"bundle\.json: "):
        bundle_layout.check(tmp_path, facts)


@pytest.fixture
def foreign(new_project, small_sample) -> tuple[Path, Wanted]:
    """Another project that ran, to be changed; and what is wanted of it."""
    project = new_project(small_sample, split={"count": 2, "run": [0, 1]})
    predicted.prepare(project)
    predicted.predict(project.folder)
    (project.folder / "dvc.lock").write_text("schema: '2.0'\n")
    index = read_index(project.folder / "data" / "images.csv")
    ids = {name: set(index.loc[index["set"] == name, "id"]) for name in ("train", "test")}
    due = {"oof": ids["train"], "test": ids["test"]}
    return project.folder, Wanted(project.params["data"]["organs"], ["ftu"], index, due, ["flips"], {})


def test_a_member_that_is_as_it_should_be_is_fetched(foreign, tmp_path):
    folder, wanted = foreign
    found = members.find(str(folder), tmp_path, wanted)
    members.fetch(found, tmp_path / "fetched")
    assert len(list((tmp_path / "fetched").rglob("*.tif"))) == 10


@pytest.mark.parametrize("folds", [["../../../x"], ["0"], [-1], [True], [0.0], "01", None])
def test_the_folds_of_a_member_are_numbers(foreign, tmp_path, folds):
    folder, wanted = foreign
    params = YAML(typ="safe").load((folder / "params.yaml").read_text())
    params["split"]["run"] = folds
    YAML(typ="safe").dump(params, folder / "params.yaml")
    with pytest.raises(InputError, match="which are no folds"):
        members.find(str(folder), tmp_path, wanted)


def test_a_member_with_a_path_for_an_id_is_refused(foreign, tmp_path):
    folder, wanted = foreign
    table = (folder / "data" / "images.csv").read_text()
    (folder / "data" / "images.csv").write_text(table + "../../x,lung,HPA,3,3,0.4,train\n")
    with pytest.raises(InputError, match=r"ensemble\.members: .*: data/images\.csv: "):
        members.find(str(folder), tmp_path, wanted)


def test_a_member_whose_parameters_multiply_is_refused(foreign, tmp_path):
    folder, wanted = foreign
    with (folder / "params.yaml").open("a") as file:
        for name, inner in (("a", "1"), ("b", "*a"), ("c", "*b"), ("d", "*c")):
            file.write(f"{name}: &{name} [{', '.join([inner] * 10)}]\n")
    with pytest.raises(InputError, match="once its aliases are followed"):
        members.find(str(folder), tmp_path, wanted)


@pytest.mark.parametrize("name", ["deeper/1.tif", "a.tmp-1.tif", "b c.tif"])
def test_a_map_of_a_member_has_a_plain_name(foreign, tmp_path, name):
    folder, wanted = foreign
    path = folder / "data" / "predictions" / "fold_1" / "test" / "flips" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"is no file name|marks unfinished"):
        members.fetch(members.find(str(folder), tmp_path, wanted), tmp_path / "fetched")
    assert not (tmp_path / "fetched" / "fold_1" / "test" / "flips" / name).exists()


# ------------------------------------------------------------------ through DVC and its shell


@pytest.mark.slow
def test_a_folder_with_a_shell_in_its_name_is_a_folder(tmp_path, small_sample):
    copy_repository(tmp_path)
    root = 'data/it\'s a "root" $(touch canary) `touch canary`; touch canary &'
    shutil.copytree(small_sample, tmp_path / root)
    set_params(tmp_path, {"data": {"root": root}})
    run(tmp_path, "dvc", "init", "-qf") if not (tmp_path / ".dvc").exists() else None
    said = run(tmp_path, "dvc", "repro", "decode")
    assert "Running stage 'decode'" in said
    assert len(read_index(tmp_path / "data" / "images.csv")) == 8
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.slow
def test_a_fold_with_a_shell_in_it_is_refused_before_a_command_is_made_of_it(tmp_path):
    copy_repository(tmp_path)
    set_params(tmp_path, {"split": {"run": ["0; touch canary"]}, "sample": {"train": 6, "test": 2}})
    said = run(tmp_path, "dvc", "repro", status=255)
    assert "split.run.0: Input should be a valid integer, got '0; touch canary'" in said
    assert not list(tmp_path.rglob("canary"))
