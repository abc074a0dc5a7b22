"""Everything that inference needs where there is no network, in one folder, and the notebook that uses it.

`python -m ftu.bundle` packs this project's models, or those of an experiment by its DVC name:

    OUT/dataset/    a data set for Kaggle: bundle.json, src/, wheels/, own/, rules.json, licences
    OUT/notebook/   the notebook

Each half holds the metadata that Kaggle's command line reads.
"""

import argparse
import ast
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from fsspec import AbstractFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ftu import digest, images, jsonfile, licences, normalization, notebook, payload, rules, tables, wheels
from ftu.errors import InputError
from ftu.params import Params, StainTarget, load_params
from ftu.stage import run, warn
from ftu.whole import whole_folder

RUNNER = "kaggle"  # the module that infers
ANOTHER_LICENCE = "staintools_backend"  # drags in GPL code; never imported by the other backends
USER = "your-kaggle-name"  # until one is given


class Source(NamedTuple):
    """A trained experiment, where DVC or a folder keeps it."""

    name: str  # as ensemble.members has it
    files: AbstractFileSystem  # by their paths in the project
    commit: str  # empty for a folder

    def get(self, path: str, to: Path) -> Path:
        """Copy a file; InputError when there is none."""
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.files.get_file(path, str(to))
        except OSError as error:
            raise InputError(
                f"{self.name}: {path} is not there ({error}); run `dvc repro`, or `dvc fetch` what another "
                "machine made"
            ) from error
        return to

    def digest(self, path: str) -> str:
        """The sha256 of a file."""
        with TemporaryDirectory() as scratch:
            return digest.sha256(self.get(path, Path(scratch) / "file"))


class Code(NamedTuple):
    """What a module of the library needs, followed through its imports."""

    modules: list[str]  # of the library, itself included
    packages: list[str]  # importable names of others


def source(name: str, project: Path) -> Source:
    """The experiment called `name`: the folder of a project, or what DVC calls one; empty for `project`."""
    folder = project / name
    if folder.is_dir():
        return Source(name or "this project", DirFileSystem(str(folder), LocalFileSystem()), "")
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(str(project), rev=name)
        return Source(name, files, str(files.repo.get_rev()))
    except DvcException as error:
        raise InputError(
            f"{name!r} is no folder, and no experiment of this project ({error}); "
            "`dvc exp list --all-commits` names the experiments"
        ) from error


def pack(found: Source, folder: Path) -> Params:
    """An experiment's parameters, models and stain target in `folder`, as ftu.kaggle loads them.

    Raises InputError when a part is missing, when weights are not those of their model.json, and when the
    stain backend cannot travel.
    """
    params = load_params(found.get("params.yaml", folder / payload.PARAMS))
    if params.stain.backend == "staintools":
        raise InputError(
            f"{found.name}: stain.backend staintools cannot be bundled: it does not repeat itself, and needs "
            "a package under the GPL; train with exact"
        )
    for fold in params.split.run:
        place = folder / f"fold_{fold}"
        for name in ("model.json", "weights.safetensors"):
            found.get(f"models/fold_{fold}/{name}", place / name)
        if digest.sha256(place / name) != jsonfile.read(place / "model.json", "")["weights_sha256"]:
            raise InputError(
                f"{found.name}: models/fold_{fold}: weights are not those of model.json; run `dvc repro`"
            )
    if params.stain.backend != "none":
        images.write_rgb(folder / payload.TARGET, stain_target(found, params.stain.target))
    return params


def stain_target(found: Source, target: StainTarget) -> np.ndarray:
    """The image that normalize took for its target, (H, W, 3) uint8.

    It travels, because it must not hang on which test images are there.
    """
    if target.kind == "file":
        return normalization.read_target(Path(target.file))
    with TemporaryDirectory() as scratch:
        index = tables.read_index(found.get("data/images.csv", Path(scratch) / "images.csv"))
        for name in normalization.target_files(index, kind=target.kind, ids=target.ids, source=target.source):
            found.get(f"data/resized/{name}", Path(scratch) / name)
        return normalization.target_image(Path(scratch), index, **target.model_dump())


def needs(module: str) -> Code:
    """The modules of the library and the packages that `module` needs."""
    library = Path(__file__).parent
    modules, packages, pending = set(), set(), [module]
    while pending:
        current = pending.pop()
        modules.add(current)
        for name in _imports(library / f"{current}.py"):
            top, _, rest = name.partition(".")
            inner = rest.split(".")[0]
            if top != "ftu":
                packages.add(top)
            elif (library / f"{inner}.py").is_file() and inner not in modules | {ANOTHER_LICENCE}:
                pending.append(inner)
    return Code(sorted(modules), sorted(packages - sys.stdlib_module_names))


def build(
    out: Path, *, project: Path, experiment: str, pythons: Sequence[str], user: str, device: str
) -> dict[str, Any]:
    """Write the bundle to `out`, whole or not at all; what bundle.json says of it.

    An empty `experiment` is the project as it lies there, an empty `device` that of its parameters.
    """
    with whole_folder(out) as folder:
        data = folder / "dataset"
        own = source(experiment, project)
        params = pack(own, data / "own")
        members = {member.name: f"member-{n}" for n, member in enumerate(params.ensemble.members, start=1)}
        for name, place in members.items():
            pack(source(name, project), data / place)
        pack_rules(own, params, data / payload.RULES)
        code = needs(RUNNER)
        pack_library(code.modules, data / payload.LIBRARY)
        (data / payload.WHEELS).mkdir()
        packages = partial(pack_wheels, code.packages, project, data / payload.WHEELS)
        facts = {
            "own": "own",
            "members": members,
            "device": device or params.predict.device,
            "packages": {python: packages(python) for python in pythons},
            "experiment": experiment,
            "experiment_commit": own.commit,
            "code_commit": _git(project, "rev-parse", "HEAD"),
            "code_changed": bool(_git(project, "status", "--porcelain", "--", "src")),
            "dvc_lock_sha256": own.digest("dvc.lock"),
        }
        jsonfile.write(data / payload.FACTS, facts)
        pack_licences(data, project)
        publishable(folder, user)
    return facts


def pack_rules(own: Source, params: Params, to: Path) -> None:
    """data/rules.json; InputError where it weighs other members than the parameters name."""
    known = rules.read(own.get("data/rules.json", to), organs=params.data.organs, sources=params.data.sources)
    named = {member.name for member in params.ensemble.members}
    if set(known.members) != named:
        raise InputError(
            f"{own.name}: data/rules.json weighs {sorted(known.members)}, ensemble.members names "
            f"{sorted(named)}; run `dvc repro`"
        )


def pack_library(modules: Sequence[str], folder: Path) -> None:
    """The source of these modules, as the package ftu."""
    (folder / "ftu").mkdir(parents=True)
    for module in ("__init__", *modules):
        shutil.copyfile(Path(__file__).parent / f"{module}.py", folder / "ftu" / f"{module}.py")


def pack_wheels(modules: Sequence[str], project: Path, folder: Path, python: str) -> dict[str, str]:
    """The wheels that these modules need on Python `python`; package -> version."""
    packages = wheels.pinned(wheels.read_lock(project / "uv.lock"), wheels.distributions(modules), python)
    wheels.download(packages, folder, python)
    return {package["name"]: package["version"] for package in packages}


def pack_licences(data: Path, project: Path) -> None:
    """LICENSES.md, and the project's own licence; warns of weights that are not for every use."""
    shutil.copyfile(project / "LICENSE", data / "LICENSE")
    found = {
        str(path.parent.relative_to(data)): jsonfile.read(path, "")
        for path in sorted(data.glob("*/fold_*/model.json"))
    }
    (data / payload.LICENCES).write_text(licences.text(found, data / payload.WHEELS))
    bound = [path for path, facts in found.items() if "non-commercial" in facts["encoder_weights"]["licence"]]
    if bound:
        warn(f"{', '.join(bound)}: trained from weights for non-commercial use only; see {payload.LICENCES}")


def publishable(folder: Path, user: str) -> None:
    """The notebook, and the metadata with which Kaggle's command line publishes both halves."""
    (folder / "notebook").mkdir()
    jsonfile.write(folder / "notebook" / notebook.CODE_FILE, notebook.notebook())
    jsonfile.write(folder / "notebook" / "kernel-metadata.json", notebook.kernel_metadata(user))
    description = (folder / "dataset" / payload.LICENCES).read_text()
    jsonfile.write(folder / "dataset" / "dataset-metadata.json", notebook.dataset_metadata(user, description))


def _imports(path: Path) -> list[str]:
    """Everything that a file imports, as dotted names; names of modules in strings are imports to come."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("ftu."):
            names.append(node.value)
    return names


def _git(project: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu.bundle", description="Pack inference for Kaggle.")
    parser.add_argument("--out", type=Path, default=Path("bundle"), help="the folder to write")
    parser.add_argument("--experiment", default="", help="a DVC experiment; empty: the project as it is")
    parser.add_argument("--pythons", default="", help="versions, as in '3.11 3.12'; empty: the running one")
    parser.add_argument("--user", default="", help="your name on Kaggle, which goes into the metadata")
    parser.add_argument("--device", default="", choices=["", "cpu", "cuda"], help="empty: predict.device")
    arguments = parser.parse_args()
    facts = build(
        arguments.out,
        project=Path(),
        experiment=arguments.experiment,
        pythons=arguments.pythons.split() or [wheels.running_python()],
        user=arguments.user or USER,
        device=arguments.device,
    )
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file()) / 1e6
    sys.stdout.write(f"{arguments.out}: {size:.0f} MB, for Python {' and '.join(facts['packages'])}\n")
    if not arguments.user:
        warn(f"the metadata names {USER!r}: give your name on Kaggle before you publish (KAGGLE_USER=...)")


if __name__ == "__main__":
    run(main)
