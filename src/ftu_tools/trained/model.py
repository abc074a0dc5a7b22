"""A trained project, an experiment by its name in DVC, a bundle or an export: what tools need of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ftu.cache import hashes
from ftu.errors import InputError
from ftu.files import csvfile, jsonfile, png
from ftu.files.index import read_index
from ftu.masks import rules
from ftu.masks.rules import Rules
from ftu.networks.common import saved
from ftu.networks.common.contract import Segmenter
from ftu.pipeline.params import Params, load_params
from ftu.prediction.one_image import Trained
from ftu.preprocessing import normalization, resize
from ftu.preprocessing.stain import StainFit
from ftu.probabilities import projects
from ftu_tools.trained import export_layout

PARAMS, RULES, GEOMETRY = "params.yaml", "data/rules.json", "reports/geometry.csv"
INDEX, RESIZED = "data/images.csv", "data/resized"
BUNDLE, OWN = "bundle.json", "own"  # what a bundle has and a project has not; the folder of its experiment
TARGET = "target.png"  # of a bundle and an export: the image whose stains all others get


class Model(NamedTuple):
    """An experiment that is ready to segment."""

    params: Params
    rules: Rules
    trained: Trained
    stains: StainFit | None  # that images are brought to, None where they stay as they are
    device: str
    identity: str  # a hash of all that decides its answers


def load(name: str, *, device: str, scratch: Path) -> Model:
    """The model called `name`, on `device` or, where that is '', as its parameters say.

    `scratch` is a folder that lasts as long as the model. Raises InputError, with the way out, for what is no
    model, is not trained, or is an ensemble.
    """
    return read(find(name, scratch), device=device)


def read(project: "Project", *, device: str) -> Model:
    """The model of a project, as `load` gives it."""
    params = load_params(project.place(PARAMS))
    known = rules.read(
        project.place(RULES), **params.data.model_dump(include={"organs", "sources", "classes"})
    )
    if others := [member for member, weight in known.members.items() if weight]:
        raise InputError(
            f"--model: {project.name} is an ensemble with {', '.join(others)}; take one of its experiments, "
            f"such as --model {others[0]}"
        )
    networks = {fold: _network(project, fold) for fold in params.split.run}
    target = _target(params, project)
    trained = Trained(
        "own",
        1.0,
        partial(resize.network_shape, **params.resize.model_dump()),
        _work(params, project, target),
        networks,
        params.predict.scales,
        params.predict.window.model_dump(),
        params.predict.batch_size,
        params.predict.threads,
        params.predict.precision,
    )
    decisive = [facts["weights_sha256"] for _, facts in networks.values()]
    decisive += [hashes.sha256(project.place(path)) for path in (PARAMS, RULES)]
    identity = hashes.of([*decisive, target, device])
    stains = None
    if target:
        matrix, strengths = (np.array(target[key]) for key in ("matrix", "max_concentration"))
        stains = StainFit(matrix, strengths, target["residual"])
    return Model(params, known, trained, stains, device or params.predict.device, identity)


def trained_scale(name: str, organ: str, scratch: Path) -> float:
    """um per px at which the networks of `name` learnt from images of `organ`, nan where nothing says it.

    A median over the organ's training images, as in reports/geometry.csv.
    """
    path = find(name, scratch).place(GEOMETRY)
    if not path.is_file():
        return np.nan
    table = csvfile.measured(str(path), csvfile.read_csv(path), ["network_um", "against_train"])
    own = table[(table["organ"] == organ) & table["against_train"].notna()]
    return float((own["network_um"] / own["against_train"]).median()) if len(own) else np.nan


class Project(NamedTuple):
    """Where a model's files are."""

    name: str
    place: Callable[[str], Path]  # of a file, by its path in the project
    commit: str = ""  # of an experiment
    packed: bool = False  # a bundle or an export: without the images that a target is made of


def find(name: str, scratch: Path) -> Project:
    """The files of the model called `name`, '' for this project; those of an experiment go to `scratch`."""
    folder = Path(name)
    if (folder / "dataset" / BUNDLE).is_file():
        folder = folder / "dataset"
    if (folder / BUNDLE).is_file():
        own = jsonfile.read(folder / BUNDLE, "make the bundle again").get("own")
        if own != OWN:
            raise InputError(f"{folder / BUNDLE}: names {own!r:.40} and not {OWN}; make the bundle again")
        return Project(name, partial(_in_bundle, folder), packed=True)
    if export_layout.is_export(folder):
        return Project(name, partial(_in_export, folder), packed=True)
    found = projects.find(name, Path())
    if found.commit:
        return Project(name, partial(_fetched, found, scratch), commit=found.commit)
    if not (folder / PARAMS).is_file():
        raise InputError(
            f"--model: {name} holds no {PARAMS}; give the folder of a trained project, an experiment's name, "
            "a bundle or an export"
        )
    return Project(name or "this project", folder.joinpath)


def _in_bundle(folder: Path, path: str) -> Path:
    return folder / "rules.json" if path == RULES else folder / OWN / path.removeprefix("models/")


def _in_export(folder: Path, path: str) -> Path:
    return folder / (path.removeprefix("models/") if path.startswith("models/") else Path(path).name)


def _fetched(found: projects.Source, scratch: Path, path: str) -> Path:
    """A copy, made when it is first asked for."""
    copy = scratch / path
    return copy if copy.is_file() else found.get(path, copy)


def _network(project: Project, fold: int) -> tuple[Segmenter, dict]:
    files = [project.place(f"models/fold_{fold}/{name}") for name in (saved.FACTS, saved.WEIGHTS)]
    return saved.load(files[0].parent)


def _target(params: Params, project: Project) -> dict:
    """The stains that images are brought to, as normalize found them: the fields of a StainFit, or none."""
    settings = params.stain
    if settings.backend not in normalization.STAINS:
        return {}
    return normalization.fit_target(target_image(params, project), settings.backend, settings.seed)


def target_image(params: Params, project: Project) -> np.ndarray:
    """The image whose stains all others get, (H, W, 3) uint8."""
    if project.packed:
        return png.read_image(project.place(TARGET))
    return normalization.target_image(*_resized(params, project), **params.stain.target.model_dump())


def _work(params: Params, project: Project, target: dict) -> normalization.Work:
    """How the file of an image is normalised, as the stage normalize does it."""
    settings = params.stain
    levels = normalization.NO_LEVELS
    if settings.backend == "histogram":
        if project.packed:
            raise InputError(
                f"--model: {project.name}: stain.backend histogram matches images to the training images, "
                "which a package does not hold; take the project"
            )
        resized, index = _resized(params, project)
        levels = normalization.target_levels(resized, index, settings.backend, **settings.target.model_dump())
    return normalization.prepare(
        settings.backend,
        lambda: np.empty(0),  # whose stains are known
        seed=settings.seed,
        most_gain=settings.most_gain,
        fit=lambda *_: target,
        levels=levels,
    )


def _resized(params: Params, project: Project) -> tuple[Path, pd.DataFrame]:
    """The folder of the images that a target is made of, and what is known of them."""
    target = params.stain.target
    index = read_index(project.place(INDEX))
    if target.kind == "file":
        return Path(), index
    names = normalization.target_files(index, kind=target.kind, ids=target.ids, source=target.source)
    places = [project.place(f"{RESIZED}/{name}") for name in names]
    return places[0].parents[1], index
