"""A trained experiment, taken from where DVC or a folder keeps it and packed as ftu.kaggle loads it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from fsspec import AbstractFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ftu import digest, images, jsonfile, normalization, payload, rules, tables
from ftu.errors import InputError
from ftu.params import Params, StainTarget, load_params


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


def source(name: str, project: Path) -> Source:
    """The experiment called `name`: the folder of a project, or what DVC calls one; empty for `project`."""
    folder = (project / name).expanduser()
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


def pack_rules(own: Source, params: Params, to: Path) -> None:
    """data/rules.json; InputError where it weighs other members than the parameters name."""
    known = rules.read(own.get("data/rules.json", to), organs=params.data.organs, sources=params.data.sources)
    named = {member.name for member in params.ensemble.members}
    if set(known.members) != named:
        raise InputError(
            f"{own.name}: data/rules.json weighs {sorted(known.members)}, ensemble.members names "
            f"{sorted(named)}; run `dvc repro`"
        )
