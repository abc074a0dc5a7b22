"""The committed files say what the documents say: the recipe of the paper, and results of this very tree."""

import hashlib
import subprocess
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

from ftu.pipeline.params import load_params
from imports import ROOT


@cache
def read(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / name).read_text())


def value(name: str, key: str) -> object:
    found = read(name)
    for part in key.split("."):
        found = found[part]
    return found


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_changed() -> None:
    """An experiment in the workspace, or code that is being written, is not what these tests are about."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    parts = ["params.yaml", "profiles", "dvc.yaml", "dvc.lock", "src", "stages", "models", "reports"]
    command = ["git", "diff", "--name-only", "HEAD", "--", *parts]
    changed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    if changed:
        pytest.skip(f"{changed[0]} is changed and not committed")


PARAMETERS = ["params.yaml", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("profiles/*.yaml")))]


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("key", "expected"),
    [("data.root", "data/sample"), ("train.aux_loss", "none"), ("stain.backend", "exact")],
)
def test_params_yaml_is_the_plain_run_on_the_sample(key, expected):
    assert value("params.yaml", key) == expected


@pytest.mark.parametrize("name", ["params.yaml", "profiles/competition.yaml"])
def test_the_switch_is_at_half_time(name):
    train = load_params(ROOT / name).train
    assert 2 * train.switch == train.epochs


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("resize.side", 768),
        ("stain.target.kind", "mosaic"),
        ("stain.target.ids", ["10078"]),
        ("split.count", 5),
        ("split.run", [0, 1, 2, 3, 4]),
        ("train.model.family", "encoder_decoder"),
        ("train.model.encoder", "coat_small"),
        ("train.model.decoder", "daformer"),
        ("train.model.width", 320),
        ("train.model.fuse", "conv1x1"),
        ("train.weights", "imagenet"),
        ("train.epochs", 120),
        ("train.switch_epoch", 60),
        ("train.aux_weight", 0.2),
        ("train.aux_blocks", [2, 1]),
        ("train.lr", 5e-5),
        ("train.scheduler.kind", "plateau"),
        ("train.scheduler.factor", 0.7),
        ("train.scheduler.patience", 5),
        ("train.scheduler.threshold", 1e-3),
        ("train.scheduler.min_lr", 1e-6),
        ("train.accumulate", 1),
        ("train.clip", 0),
        ("train.ema", 0),
        ("train.early_stopping", 0),
        ("train.batch_size", 4),
        ("train.valid_batch_size", 8),
        ("predict.tta", "flips"),
    ],
)
def test_the_competitions_profile_is_the_papers_recipe(key, expected):
    assert value("profiles/competition.yaml", key) == expected


@pytest.mark.parametrize("section", ["sample", "stain", "split", "train"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_every_seed_is_42(name, section):
    assert read(name)[section]["seed"] == 42


@pytest.mark.parametrize(
    "name", [name for name in PARAMETERS if read(name)["data"]["layout"] == "competition"]
)
def test_the_thresholds_are_the_papers(name):
    def row(others: float, lung: float) -> dict[str, float]:
        return dict.fromkeys(["kidney", "largeintestine", "prostate", "spleen"], others) | {"lung": lung}

    assert read(name)["thresholds"] == {"HPA": row(0.5, 0.15), "Hubmap": row(0.4, 0.1)}


# ------------------------------------------------------------------ dvc.lock


LOCK: dict[str, dict[str, Any]] = read("dvc.lock")["stages"]


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the repository, as git knows them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split("\0"))


def other_than_locked(entries: list[dict[str, Any]], tracked: set[str]) -> list[str]:
    """The paths among a stage's deps or outs that git tracks with other bytes than the lock names."""
    return [
        entry["path"]
        for entry in entries
        if entry["path"] in tracked
        and entry["md5"] != hashlib.md5((ROOT / entry["path"]).read_bytes()).hexdigest()
    ]


def item(stage: str) -> tuple[dict[str, Any], str]:
    """The block of dvc.yaml that a stage of the lock is made from, and its place in the matrix."""
    name, _, fold = stage.partition("@")
    return read("dvc.yaml")["stages"][name], fold


def declared(stage: str, *kinds: str) -> set[str]:
    """Paths that dvc.yaml declares for a stage, the templates filled in."""
    block, fold = item(stage)
    entries = [entry for kind in kinds for entry in block.get(kind, [])]
    paths = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    params = read("params.yaml")
    values = {"data.root": params["data"]["root"], "item.fold": fold}
    values["train.model.family"] = params["train"]["model"]["family"]
    for name, value in values.items():
        paths = [path.replace(f"${{{name}}}", value) for path in paths]
    return set(paths)


def test_every_stage_and_every_fold_is_locked():
    stages, folds = read("dvc.yaml")["stages"], read("params.yaml")["split"]["run"]
    assert set(LOCK) == {
        name
        for stage, block in stages.items()
        for name in ([f"{stage}@{fold}" for fold in folds] if "matrix" in block else [stage])
    }


@pytest.mark.parametrize("stage", LOCK)
def test_the_lock_has_the_command_of_dvc_yaml(stage):
    block, fold = item(stage)
    assert LOCK[stage]["cmd"] == block["cmd"].replace("${item}", f"--fold {fold}")


@pytest.mark.parametrize("stage", LOCK)
def test_the_lock_has_the_paths_of_dvc_yaml(stage):
    locked = {kind: {entry["path"] for entry in LOCK[stage].get(kind, [])} for kind in ("deps", "outs")}
    assert locked == {
        "deps": declared(stage, "deps"),
        "outs": declared(stage, "outs", "metrics", "plots"),
    }


@pytest.mark.parametrize("stage", LOCK)
def test_the_lock_has_the_values_of_params_yaml(stage):
    block, _ = item(stage)
    assert LOCK[stage]["params"] == {
        "params.yaml": {name: value("params.yaml", name) for name in block["params"]}
    }


@pytest.mark.parametrize("stage", LOCK)
def test_the_locked_run_was_made_by_the_committed_code(stage, tracked):
    assert other_than_locked(LOCK[stage]["deps"], tracked) == []


@pytest.mark.parametrize("stage", LOCK)
def test_the_committed_metrics_and_plots_are_those_of_the_locked_run(stage, tracked):
    assert declared(stage, "metrics", "plots") <= tracked
    assert other_than_locked(LOCK[stage]["outs"], tracked) == []


def test_a_locked_output_is_the_locked_input_of_later_stages():
    made = {out["path"]: out["md5"] for stage in LOCK.values() for out in stage["outs"]}
    read_ = [dep for stage in LOCK.values() for dep in stage["deps"] if dep["path"] in made]
    assert {dep["path"] for dep in read_} >= {"data/folds.csv", "data/images.csv", "data/resized"}
    assert [dep["path"] for dep in read_ if dep["md5"] != made[dep["path"]]] == []
