"""Everything that inference needs where there is no network, in one folder, and the notebook that uses it.

`python -m ftu.bundle` packs this project's models, or those of an experiment by its DVC name:

    OUT/dataset/    a data set for Kaggle: bundle.json, src/, wheels/, own/, rules.json, licences
    OUT/notebook/   the notebook

Each half holds the metadata that Kaggle's command line reads.
"""

import argparse
import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ftu import jsonfile, licences, limits, packing, payload, sources, wheels
from ftu.errors import InputError
from ftu.stage import run, warn
from ftu.whole import whole_folder

RUNNER = "kaggle"  # the module that infers
ANOTHER_LICENCE = "staintools_backend"  # drags in GPL code; never imported by the other backends
NOTEBOOK = Path(__file__).parent / "notebook"  # what Kaggle is to run, and the metadata of both halves
USER = "your-kaggle-name"  # in those, until one is given


def needs(module: str) -> list[str]:
    """The modules of the library that `module` needs, itself included, followed through its imports."""
    library = Path(__file__).parent
    found, pending = set(), [module]
    while pending:
        current = pending.pop()
        found.add(current)
        for name in _imports(library / f"{current}.py"):
            top, _, rest = name.partition(".")
            inner = rest.split(".")[0]
            if (
                top == "ftu"
                and (library / f"{inner}.py").is_file()
                and inner not in found | {ANOTHER_LICENCE}
            ):
                pending.append(inner)
    return sorted(found)


def build(
    out: Path, *, project: Path, experiment: str, pythons: Sequence[str], user: str, device: str
) -> dict[str, Any]:
    """Write the bundle to `out`, whole or not at all; what bundle.json says of it.

    An empty `experiment` is the project as it lies there, an empty `device` that of its parameters.
    """
    if fault := limits.name_fault(user):
        raise InputError(f"the name on Kaggle: {fault}")
    with whole_folder(out) as folder:
        data = folder / "dataset"
        own = sources.find(experiment, project)
        params = packing.pack(own, data / "own")
        members = {member.name: f"member-{n}" for n, member in enumerate(params.ensemble.members, start=1)}
        for name, place in members.items():
            packing.pack(sources.find(name, project), data / place)
        packing.pack_rules(own, params, data / payload.RULES)
        pack_library(needs(RUNNER), data / payload.LIBRARY)
        (data / payload.WHEELS).mkdir()
        packages = partial(pack_wheels, project, data / payload.WHEELS)
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
        warn(doubt(own, project))
        pack_licences(data, project)
        publishable(folder, user)
    return facts


def doubt(own: sources.Source, project: Path) -> str:
    """A warning where the models may not be what this code and these parameters make, empty otherwise."""
    if own.commit:
        made_here = _git(project, "diff", "--stat", own.commit, "HEAD", "--", "src", "stages") == ""
        return "" if made_here else f"{own.name} was made by other code; check out its commit to bundle that"
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    if subprocess.run(status, cwd=project, capture_output=True, check=False).returncode == 0:
        return ""
    return "DVC finds changes since the last run (`dvc status`): what is packed may not fit together"


def pack_library(modules: Sequence[str], folder: Path) -> None:
    """The source of these modules, as the package ftu."""
    (folder / "ftu").mkdir(parents=True)
    for module in ("__init__", *modules):
        shutil.copyfile(Path(__file__).parent / f"{module}.py", folder / "ftu" / f"{module}.py")


def pack_wheels(project: Path, folder: Path, python: str) -> dict[str, str]:
    """The wheels that inference needs on Python `python`; package -> version."""
    packages = wheels.pinned(project, python)
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
    """The notebook, and the metadata with which Kaggle's command line publishes both halves.

    Fields: https://github.com/Kaggle/kaggle-cli/blob/main/docs/kernels_metadata.md and datasets_metadata.md.
    """
    (folder / "notebook").mkdir()
    shutil.copyfile(NOTEBOOK / "inference.ipynb", folder / "notebook" / "inference.ipynb")
    description = (folder / "dataset" / payload.LICENCES).read_text()
    for half, name, more in (
        ("notebook", payload.KERNEL, {}),
        ("dataset", "dataset-metadata.json", {"description": description}),
    ):
        facts = json.loads((NOTEBOOK / name).read_text().replace(USER, user))
        jsonfile.write(folder / half / name, facts | more)


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
    """What git says, empty where it refuses: no repository, or no commit yet."""
    done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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
