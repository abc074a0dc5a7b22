"""A trained experiment, taken from where DVC or a folder keeps it and packed as the notebook loads it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ftu.cache import hashes
from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.files.index import read_index
from ftu.masks import rules
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.sections.preprocessing import StainTarget
from ftu.preprocessing import normalization
from ftu.probabilities.projects import Source
from ftu_tools.kaggle import bundle_layout


def pack(found: Source, folder: Path) -> Params:
    """An experiment's parameters, models and stain target in `folder`, as ftu_tools.kaggle.infer loads them.

    Raises InputError when a part is missing, when weights are not those of their model.json, and when the
    stain backend cannot travel.
    """
    path = found.get("params.yaml", folder / bundle_layout.PARAMS)
    try:
        params = load_params(path)
    except InputError as error:
        raise InputError(
            f"{found.name}: its params.yaml is not of this version; train it again with this code, or bundle "
            f"it from a checkout of its own commit ({bundle_layout.first_line(error)})"
        ) from error
    if params.data.layout != "competition":
        raise InputError(
            f"{found.name}: data.layout is {params.data.layout}, and Kaggle's notebook reads the "
            "competition's tables; give your images to `dvc repro` as test images"
        )
    if params.stain.backend == "staintools":
        raise InputError(
            f"{found.name}: stain.backend staintools cannot be bundled: it does not repeat itself, and needs "
            "a package under the GPL; train with exact"
        )
    if params.stain.backend in normalization.LEVELS:
        raise InputError(
            f"{found.name}: stain.backend {params.stain.backend} cannot be bundled yet; train with exact"
        )
    for fold in params.split.run:
        place = folder / f"fold_{fold}"
        for name in ("model.json", "weights.safetensors"):
            found.get(f"models/fold_{fold}/{name}", place / name)
        if hashes.sha256(place / name) != jsonfile.read(place / "model.json", "")["weights_sha256"]:
            raise InputError(
                f"{found.name}: models/fold_{fold}: weights are not those of model.json; run `dvc repro`"
            )
    if params.stain.backend != "none":
        png.write_image(folder / bundle_layout.TARGET, stain_target(found, params.stain.target))
    return params


def stain_target(found: Source, target: StainTarget) -> np.ndarray:
    """The image that normalize took for its target, (H, W, 3) uint8.

    It travels, because it must not hang on which test images are there.
    """
    if target.kind == "file":
        return normalization.read_target(Path(target.file))
    with TemporaryDirectory() as scratch:
        index = read_index(found.get("data/images.csv", Path(scratch) / "images.csv"))
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
