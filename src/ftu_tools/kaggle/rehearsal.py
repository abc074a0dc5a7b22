"""A bundle's notebook run as Kaggle runs it, and its CSV held against the pipeline's own, byte by byte.

`make rehearsal` makes an environment of what Kaggle preinstalls, cuts the network, lays the data out as
Kaggle does, and runs the notebook twice: on the visible test set, as when it is published, and on a hidden
one that holds more images, as when it is scored.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from ruamel.yaml import YAML

from ftu.datasets import competition
from ftu.errors import InputError, some
from ftu.files import csvfile, jsonfile, yamlfile
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn
from ftu_tools.kaggle import bundle_layout, isolation
from ftu_tools.kaggle.wheels import PREINSTALLED

ABSENT = ("dvc", "albumentations", "staintools", "matplotlib", "ftu")  # Kaggle need not have them


class Kaggle(NamedTuple):
    """A stand-in for Kaggle's machine."""

    python: Path
    prefix: list[str]  # cuts the network off a command


def set_up(folder: Path) -> Kaggle:
    """A new environment and the way to cut its network; InputError when it is not as bare as Kaggle's."""
    python = isolation.new_environment(folder, PREINSTALLED)
    seen = isolation.call([python, "-c", _IMPORTABLE.format(names=ABSENT)]).stdout.split()
    if seen:
        raise InputError(f"the new environment sees {', '.join(seen)}, which Kaggle need not have")
    prefix = isolation.cut_network(python)
    if not prefix:
        warn("this system lets nobody unshare the network; only Python is kept from it")
    return Kaggle(python, prefix)


_IMPORTABLE = """
from importlib.util import find_spec
print(*[name for name in {names!r} if find_spec(name)])
"""


def lay_out(root: Path, folder: Path, *, hidden: int) -> Path:
    """The competition's folder for the data set at `root`, its test set `hidden` images richer.

    They are training images under other names, so that any data set can be rehearsed. Images are links.
    """
    test, train = csvfile.read_csv(root / "test.csv"), csvfile.read_csv(root / "train.csv")
    for name, table in (("test.csv", test), ("train.csv", train)):
        csvfile.check_ids(root / name, table["id"])
    more = train.head(hidden)[test.columns]
    more = more.assign(id="hidden-" + more["id"])
    files = {name: root / "test_images" / f"{name}.tiff" for name in test["id"]}
    files |= {new: root / "train_images" / f"{new.removeprefix('hidden-')}.tiff" for new in more["id"]}
    (folder / "test_images").mkdir(parents=True)
    for name, file in files.items():
        (folder / "test_images" / f"{name}.tiff").symlink_to(file.resolve())
    (folder / "train_images").symlink_to((root / "train_images").resolve())
    train.to_csv(folder / "train.csv", index=False)
    table = pd.concat([test, more], ignore_index=True)
    table.to_csv(folder / "test.csv", index=False)
    table[["id"]].assign(rle="").to_csv(folder / "sample_submission.csv", index=False)
    return folder


def run_notebook(kaggle: Kaggle, bundle: Path, data: Path, folder: Path) -> Path:
    """Run the cells of the bundle's notebook on `data`; the CSV that they leave in `folder`.

    They are plain Python, without magics, and run as such: a kernel of Jupyter needs a network.
    Raises InputError with the notebook's last words when it fails.
    """
    given, working = folder / "input", folder / "working"
    for parent in (given, working):
        parent.mkdir(parents=True)
    kernel = jsonfile.read(bundle / "notebook" / bundle_layout.KERNEL, "run `make bundle`")
    for wanted, place in (("competition_sources", data), ("dataset_sources", bundle / "dataset")):
        (given / Path(kernel[wanted][0]).name).symlink_to(place.resolve())
    cells = jsonfile.read(bundle / "notebook" / kernel["code_file"], "run `make bundle`")["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (folder / "cells.py").write_text("\n\n".join(code), encoding="utf-8")
    command = [*kaggle.prefix, kaggle.python, folder / "cells.py"]
    done = isolation.call(command, working, {bundle_layout.INPUT: str(given)})
    if done.returncode:
        raise InputError(f"the notebook failed on {data}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    sys.stdout.write(done.stdout)
    return working / "submission.csv"


def run_pipeline(bundle: Path, data: Path, folder: Path) -> Path:
    """Run the stages on `data` with the bundle's models; the CSV that they write in `folder`."""
    packed = bundle / "dataset"
    facts = jsonfile.read(packed / bundle_layout.FACTS, "run `make bundle`")
    bundle_layout.check(packed, facts)
    own, members = folder / "own", {name: folder / place for name, place in facts["members"].items()}
    for name, place in facts["members"].items():
        predict(packed / place, members[name], data, {})
    predict(packed / facts["own"], own, data, members)
    stage(own, "members")
    known = jsonfile.read(packed / bundle_layout.RULES, "run `make bundle`")
    weights = {str(members[name]): weight for name, weight in known["members"].items()}
    jsonfile.write(own / "data" / "rules.json", known | {"members": weights})
    stage(own, "submit")
    return own / "submissions" / "submission.csv"


def predict(packed: Path, project: Path, data: Path, members: Mapping[str, Path]) -> None:
    """A project of a packed experiment's parameters and models, with its predictions for `data`.

    Members of its ensemble are the projects in `members`, by their names.
    """
    (project / "models").mkdir(parents=True)
    content = yamlfile.read(packed / bundle_layout.PARAMS, "run `make bundle`")
    assert isinstance(content, dict)
    content["data"]["root"] = str(data.resolve())
    content["shift"]["enabled"] = content["calibrate"]["enabled"] = False  # the rules are made
    for member in content["ensemble"]["members"] if members else []:
        member["name"] = str(members[member["name"]])
    YAML(typ="safe").dump(content, project / "params.yaml")
    (project / "dvc.lock").touch()  # a member must have one
    folds = load_params(project / "params.yaml").split.run
    for fold in folds:
        (project / "models" / f"fold_{fold}").symlink_to((packed / f"fold_{fold}").resolve())
    for name in ("decode", "resize", "normalize", "shift", "split"):
        stage(project, name)
    for fold in folds:
        stage(project, "predict", "--fold", str(fold))


def stage(project: Path, name: str, *words: str) -> None:
    """Run a stage's script in `project`; InputError with what it says when it fails."""
    root = Path(__file__).parents[3]
    command = [sys.executable, str(root / "stages" / f"{name}.py"), *words]
    settings = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        command, cwd=project, env=settings, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise InputError(f"the pipeline failed at {name}:\n{done.stderr[-3000:]}")


def compare(found: Path, expected: Path) -> int:
    """How many rows two CSVs have; InputError, naming ids that differ, unless they have the same bytes."""
    ours, theirs = (dict(csvfile.read_csv(path).to_numpy()) for path in (found, expected))
    if odd := [name for name in ours | theirs if ours.get(name) != theirs.get(name)]:
        raise InputError(f"{len(odd)} of {len(theirs)} rows are not the pipeline's: {some(odd)}")
    if found.read_bytes() != expected.read_bytes():
        raise InputError("the rows are the pipeline's, but the bytes of the CSV are not")
    return len(theirs)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ftu_tools.kaggle.rehearsal", description="Rehearse a bundle."
    )
    parser.add_argument("--bundle", type=Path, default=Path("bundle"), help="what `make bundle` wrote")
    parser.add_argument("--hidden", type=int, default=12, help="images that the hidden test set has more")
    arguments = parser.parse_args()
    bundle = arguments.bundle
    facts = jsonfile.read(bundle / "dataset" / bundle_layout.FACTS, "run `make bundle`")
    bundle_layout.check(bundle / "dataset", facts)
    root = Path(bundle_layout.params_of(bundle / "dataset", facts["own"]).data.root)
    competition.check_root(root)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        visible = lay_out(root, folder / "visible", hidden=0)
        hidden = lay_out(root, folder / "hidden", hidden=arguments.hidden)
        kaggle = set_up(folder / "environment")
        run_notebook(kaggle, bundle, visible, folder / "published")
        scored = run_notebook(kaggle, bundle, hidden, folder / "scored")
        rows = compare(scored, run_pipeline(bundle, hidden, folder / "pipeline"))
    sys.stdout.write(f"the notebook's CSV is the pipeline's, byte by byte: {rows} images\n")


if __name__ == "__main__":
    run(main)
