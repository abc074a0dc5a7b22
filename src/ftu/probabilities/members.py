"""Members of an ensemble: other trained experiments of this project, found by name, and their maps fetched.

A member's parameters and places are those of its own folder or revision, whatever this project's are now.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from ftu.errors import InputError
from ftu.files import limits, yamlfile
from ftu.files.index import read_index
from ftu.probabilities import map_file, member_checks, projects
from ftu.probabilities.projects import Source

FACTS = "member.json"
LARGEST = 2**31  # bytes of a map of the most pixels
LARGEST_TEXT = 2**27  # bytes of a table or of facts


class Member(NamedTuple):
    """An admitted experiment, and what member.json says of it."""

    source: Source
    facts: dict[str, Any]


def find(name: str, project: Path, wanted: member_checks.Wanted) -> Member:
    """The experiment called `name`, in or beside the folder `project`.

    Raises InputError, with the value and the way out, when there is none of that name, it was not predicted,
    its predictions are older than its models, or it lacks something that is wanted.
    """
    folder, here = (project / name).expanduser().resolve(), project.resolve()
    if folder == here:
        raise InputError(f"ensemble.members: {name!r} is this project itself, which ensemble.own weighs")
    source = _find(name, project)
    files = source.files
    with _told(source):
        params, lock = _bytes(source, "params.yaml"), _bytes(source, "dvc.lock")
        settings = _settings(name, params)
        index = _index(source)
        folds = sorted(settings["split"]["run"])
        weights = {str(fold): _weights(name, source, fold) for fold in folds}
        member_checks.check_alike(name, settings, index, wanted)
        member_checks.check_maps(name, files, folds, wanted)
    facts = {
        "name": name,
        "folder": re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "member",
        **({"commit": source.commit} if source.commit else {"path": os.path.relpath(folder, here)}),
        "folds": folds,
        "parts": list(wanted.due),
        "sets": list(wanted.sets),
        "params_sha256": hashlib.sha256(params).hexdigest(),
        "lock_sha256": hashlib.sha256(lock).hexdigest(),
        "weights_sha256": weights,
    }
    return Member(source, facts)


def check_different(found: Sequence[Member]) -> None:
    """Raise InputError when two members are one experiment, or would lie in one folder."""
    for key in ("commit", "path", "folder"):
        names: dict[str, str] = {}
        for facts in (member.facts for member in found if key in member.facts):
            other = names.setdefault(facts[key], facts["name"])
            if other != facts["name"]:
                raise InputError(
                    f"ensemble.members: {other!r} and {facts['name']!r} are both {key} {facts[key]}; "
                    "keep one, with the sum of their weights"
                )


def fetch(member: Member, folder: Path) -> None:
    """Copy the maps that were wanted to folder/fold_K/PART/TTA/ID.tif, and read each once.

    Raises InputError when a map is neither in the cache nor in a remote, or is damaged.
    """
    source, facts = member
    every = product(facts["folds"], facts["parts"], facts["sets"])
    places = [f"fold_{fold}/{part}/{tta}" for fold, part, tta in every]
    for place in tqdm(places, desc=f"fetch {source.name}", disable=None):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        with _told(source):
            _check_names(source, f"data/predictions/{place}")
            source.files.get(f"data/predictions/{place}", str(folder / place), recursive=True)
        for path in sorted((folder / place).iterdir()):
            _check_map(source.name, f"data/predictions/{place}/{path.name}", path)


def _find(name: str, project: Path) -> Source:
    try:
        return projects.find(name, project)
    except InputError as error:
        raise InputError(f"ensemble.members: {error}") from error


def _settings(name: str, params: bytes) -> dict[str, Any]:
    """A member's parameters; its folds, which become parts of paths here, are numbers."""
    settings = yamlfile.parse(params, f"ensemble.members: {name!r}: params.yaml")
    if not isinstance(settings, dict):
        raise TypeError("parameters")
    run = settings["split"]["run"]
    if not isinstance(run, list) or not all(type(fold) is int and fold >= 0 for fold in run):
        raise InputError(f"ensemble.members: {name!r}: split.run holds {run!r:.200}, which are no folds")
    return settings


def _index(source: Source) -> pd.DataFrame:
    """A member's data/images.csv, checked as this project's own is."""
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "images.csv"
        path.write_bytes(_bytes(source, "data/images.csv"))
        try:
            return read_index(path)
        except InputError as error:
            words = str(error).replace(str(path), "data/images.csv")
            raise InputError(f"ensemble.members: {source.name!r}: {words}") from error


def _check_names(source: Source, place: str) -> None:
    """Raise InputError unless a member's folder holds maps by plain names, which are copied to our own."""
    for path in source.files.find(place):
        source.check(path, LARGEST)
        name = path.removeprefix(f"{place}/").removesuffix(".tif")
        if fault := limits.name_fault(name):
            raise InputError(f"ensemble.members: {source.name!r}: {place}: {fault}")


def _bytes(source: Source, path: str) -> bytes:
    source.check(path, LARGEST_TEXT)
    with source.files.open(path, "rb") as file:
        content = file.read()
    assert isinstance(content, bytes)  # as the mode says
    return content


def _weights(name: str, source: Source, fold: int) -> str:
    """The hash of a fold's weights; InputError when others predicted."""
    predicted = json.loads(_bytes(source, f"data/predictions/fold_{fold}/prediction.json"))["weights_sha256"]
    trained = json.loads(_bytes(source, f"models/fold_{fold}/model.json"))["weights_sha256"]
    if predicted != trained:
        raise InputError(
            f"ensemble.members: {name!r}: weights {predicted[:8]} predicted fold {fold}, where the model is "
            f"{trained[:8]}; run `dvc repro` there"
        )
    return trained


def _check_map(name: str, place: str, path: Path) -> None:
    try:
        map_file.read(path)
    except InputError as error:
        raise InputError(f"ensemble.members: {name!r}: {place} is damaged; predict it again") from error


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Tell of a file that is missing, or is not what it should be, as of this member's."""
    name = source.name
    remedy = (
        f"run `dvc repro` or `dvc exp run` where {name!r} was made, or fetch its outputs with `dvc fetch`"
    )
    try:
        yield
    except InputError:
        raise
    except source.failures as error:
        raise InputError(f"ensemble.members: {name!r} lacks a file ({error}); {remedy}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"ensemble.members: {name!r} has a file without {error}; {remedy}") from error
