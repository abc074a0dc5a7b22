"""Everything that inference needs where there is no network, in one folder, and the notebook that uses it.

`python -m ftu_tools.kaggle.bundle` packs this project's models, or those of an experiment by its DVC name:

    OUT/dataset/    a data set for Kaggle: bundle.json, src/, wheels/, own/, rules.json, licences
    OUT/notebook/   the notebook

Each half holds the metadata that Kaggle's command line reads.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ftu.errors import InputError
from ftu.files import jsonfile, limits
from ftu.networks.common import saved
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.stage import run, warn
from ftu.probabilities import projects
from ftu_tools.kaggle import bundle_layout, pack_experiment, wheels
from ftu_tools.trained import licences

SOURCE = Path(__file__).parents[2]  # the folder src
RUNNER = "ftu_tools.kaggle.infer"
ANOTHER_LICENCE = (
    "ftu.preprocessing.staintools_backend"  # drags in GPL code; never imported by the other backends
)
NOTEBOOK = Path(__file__).parent / "notebook"  # what Kaggle is to run, and the metadata of both halves
DECISIVE = ("src/ftu", ":(exclude)src/ftu/pipeline", "stages")  # of the code, over what a model is
USER = "your-kaggle-name"  # in those, until one is given


def needs(*modules: str) -> list[str]:
    """The modules of ours that these need, themselves included, followed through their imports."""
    found, pending = set(), list(modules)
    while pending:
        current = pending.pop()
        found.add(current)
        inner = set(map(_module, _imports(file_of(current))))
        pending += inner - found - {"", ANOTHER_LICENCE}
    return sorted(found)


def builders(data: Path) -> list[str]:
    """The modules that build the packed models: they are imported by the name of their family."""
    return sorted({saved.builder(path.parent).__name__ for path in data.glob("*/fold_*/model.json")})


def file_of(module: str) -> Path:
    """The file of a module of ours, by its dotted name."""
    return SOURCE / f"{module.replace('.', '/')}.py"


def build(
    out: Path, *, project: Path, experiment: str, pythons: Sequence[str], user: str, device: str
) -> dict[str, Any]:
    """Write the bundle to `out`, whole or not at all; what bundle.json says of it.

    An empty `experiment` is the project as it lies there, an empty `device` that of its parameters.
    """
    if fault := limits.name_fault(user):
        raise InputError(f"the name on Kaggle: {fault}")
    for python in pythons:
        if not re.fullmatch(r"3\.\d{1,2}", python):
            raise InputError(f"PYTHONS: {python[:40]!r} is no version of Python; write for example 3.12")
    with whole_folder(out) as folder:
        data = folder / "dataset"
        own = projects.find(experiment, project)
        params = pack_experiment.pack(own, data / "own")
        members = {member.name: f"member-{n}" for n, member in enumerate(params.ensemble.members, start=1)}
        for name, place in members.items():
            pack_experiment.pack(projects.find(name, project), data / place)
        pack_experiment.pack_rules(own, params, data / bundle_layout.RULES)
        pack_library(needs(RUNNER, *builders(data)), data / bundle_layout.LIBRARY)
        (data / bundle_layout.WHEELS).mkdir()
        packages = partial(pack_wheels, project, data / bundle_layout.WHEELS)
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
        jsonfile.write(data / bundle_layout.FACTS, facts)
        warn(doubt(own, project))
        pack_licences(data, project)
        publishable(folder, user)
    return facts


def doubt(own: projects.Source, project: Path) -> str:
    """A warning where the models may not be what this code and these parameters make, empty otherwise."""
    if own.commit:
        made_here = _git(project, "diff", "--stat", own.commit, "HEAD", "--", *DECISIVE) == ""
        return "" if made_here else f"{own.name} was made by other code; check out its commit to bundle that"
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    if subprocess.run(status, cwd=project, capture_output=True, check=False).returncode == 0:
        return ""
    return "DVC finds changes since the last run (`dvc status`): what is packed may not fit together"


def pack_library(modules: Sequence[str], folder: Path) -> None:
    """The source of these modules, in packages as they lie here."""
    files = {file_of(module) for module in modules}
    packages = {parent for file in files for parent in file.parents if SOURCE in parent.parents}
    for file in sorted(files | {package / "__init__.py" for package in packages}):
        place = folder / file.relative_to(SOURCE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


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
    (data / bundle_layout.LICENCES).write_text(
        licences.text(
            [("the code in src", "MIT")], found, sorted((data / bundle_layout.WHEELS).glob("*.whl"))
        ),
        encoding="utf-8",
    )
    if bound := licences.bound(found):
        warn(
            f"{', '.join(bound)}: trained from weights for non-commercial use only; see "
            f"{bundle_layout.LICENCES}"
        )


def publishable(folder: Path, user: str) -> None:
    """The notebook, and the metadata with which Kaggle's command line publishes both halves.

    Fields: https://github.com/Kaggle/kaggle-cli/blob/main/docs/kernels_metadata.md and datasets_metadata.md.
    """
    (folder / "notebook").mkdir()
    shutil.copyfile(NOTEBOOK / "inference.ipynb", folder / "notebook" / "inference.ipynb")
    description = (folder / "dataset" / bundle_layout.LICENCES).read_text(encoding="utf-8")
    for half, name, more in (
        ("notebook", bundle_layout.KERNEL, {}),
        ("dataset", "dataset-metadata.json", {"description": description}),
    ):
        facts = json.loads((NOTEBOOK / name).read_text(encoding="utf-8").replace(USER, user))
        jsonfile.write(folder / half / name, facts | more)


def _module(name: str) -> str:
    """The module of ours that a dotted name is, or lies in; '' where there is none."""
    parts = name.split(".") if name.startswith(("ftu.", "ftu_tools.")) else []
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if file_of(name).is_file()), "")


def _imports(path: Path) -> list[str]:
    """Everything that a file imports, as dotted names; those in strings may be imports to come."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
    return names


def _git(project: Path, *words: str) -> str:
    """What git says, empty where it refuses: no repository, or no commit yet."""
    done = subprocess.run(["git", *words], cwd=project, capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ftu_tools.kaggle.bundle", description="Pack inference for Kaggle."
    )
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
