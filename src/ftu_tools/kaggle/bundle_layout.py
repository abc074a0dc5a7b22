"""Where the parts of a bundle lie, for those who write it and those who read it, the notebook among them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftu.errors import InputError
from ftu.files import limits
from ftu.pipeline.params import Params, load_params

FACTS = "bundle.json"  # what was packed, from which commit, and how it is to be run
LICENCES = "LICENSES.md"
KERNEL = "kernel-metadata.json"  # what the notebook is, and wants to be given
LIBRARY = "src"  # what PYTHONPATH is to name
WHEELS = "wheels"
INPUT = "FTU_INPUT"  # environment variable: where the data sets lie, when not where Kaggle puts them
RULES = "rules.json"  # data/rules.json of the experiment

# A folder of each experiment, named by bundle.json ("own", "members"), with fold_K/ of models and
PARAMS = "params.yaml"
TARGET = "target.png"  # the image whose stains all others get, where stains are normalised


def first_line(error: InputError) -> str:
    """What it says first, without the file: a copy that will be gone."""
    return str(error).splitlines()[0].partition(": ")[2]


def check(bundle: Path, facts: Mapping[str, Any]) -> None:
    """Raise InputError unless bundle.json names its folders, and they lie in the bundle.

    A bundle is code as well (src/, wheels/): run none that you would not run as a program.
    """
    members = facts.get("members")
    places = [facts.get("own"), *(members.values() if isinstance(members, dict) else [None])]
    for place in places:
        if fault := limits.name_fault(place) if isinstance(place, str) else f"{place!r:.100} is no folder":
            raise InputError(f"{bundle / FACTS}: {fault}; make the bundle again")


def params_of(bundle: Path, place: str) -> Params:
    """The parameters of a packed experiment; InputError where they are not of this version."""
    try:
        return load_params(bundle / place / PARAMS)
    except InputError as error:
        raise InputError(
            f"{bundle / place}: was packed by another version ({first_line(error)}); run `make bundle`"
        ) from error
