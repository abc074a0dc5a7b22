"""The folder of an export: everything is checked first, and it is written whole or not at all."""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from ftu.cache import hashes
from ftu.datasets.synthetic import cells, histology
from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.networks.common import saved
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.stage import warn
from ftu.prediction import views
from ftu.preprocessing import normalization
from ftu_tools.export import about as abouts
from ftu_tools.export import card, network, rdf
from ftu_tools.export.about import About
from ftu_tools.export.network import Exported, Folds
from ftu_tools.trained import export_layout as layout
from ftu_tools.trained import licences
from ftu_tools.trained import model as models
from ftu_tools.trained.model import Model, Project

CODE_LICENCE = Path(__file__).parents[3] / "LICENSE"


def export(asked: argparse.Namespace) -> str:
    """Write the export that the command line asks for; the words of its last line."""
    with TemporaryDirectory() as scratch:
        project = models.find(asked.model, Path(scratch))
        model = models.read(project, device="cpu")
        folds = chosen(model, asked.fold)
        network.check_alike(folds)
        about = _about(asked, project, model, folds)
        _check_licence(about)
        with whole_folder(asked.out) as folder:
            differs = _write(folder, about, project, folds, torchscript=asked.torchscript)
    _warn(about)
    return f"{len(folds)} folds in {asked.out}, within {max(differs, 1e-9):.0e} of torch"


def chosen(model: Model, fold: str) -> Folds:
    """The folds to export: all, or the one that is asked for."""
    trained = model.trained.networks
    if not fold:
        return trained
    if int(fold) not in trained:
        raise InputError(f"--fold: {fold} was not trained; give one of {', '.join(map(str, trained))}")
    return {int(fold): trained[int(fold)]}


def drawn(side: int, channels: int) -> np.ndarray:
    """An image that shows nobody's tissue, (side, side, channels) uint8."""
    rng = np.random.default_rng(0)
    if channels == 1:
        return cells.draw(1, height=side, width=side, rng=rng)[0][0][..., None]
    return histology.draw("kidney", "HPA", height=side, width=side, pixel_size=1000 / side, rng=rng)[0]


def _about(asked: argparse.Namespace, project: Project, model: Model, folds: Folds) -> About:
    name = project.name if project.commit else Path(asked.model).resolve().name
    return About(
        name=asked.name or name,
        author=asked.author,
        licence=asked.licence,
        made_by=f"{name}, commit {project.commit}" if project.commit else name,
        data=abouts.learnt_from(model.params),
        params=model.params,
        models={f"fold_{fold}": facts for fold, (_, facts) in folds.items()},
        sizes=network.sizes_of(folds, fixed=asked.fixed),
        full=float(asked.range),
        scale=abouts.scale(project, model.params),
        scores=abouts.scores(project),
        pictures=[path for path in abouts.PICTURES if abouts.held(project, path)],
        views=model.rules.tta,
        cited=abouts.cited(),
    )


def _check_licence(about: About) -> None:
    """Raise InputError where the weights would allow more than those that training began with."""
    bound = licences.bound(about.models)
    if about.licence and bound and "NC" not in about.licence.split("-"):
        raise InputError(
            f"--licence: {about.licence} allows more than the first weights of {', '.join(bound)}, which are "
            "for non-commercial use only; give one such as CC-BY-NC-4.0, or none"
        )


def _write(folder: Path, about: About, project: Project, folds: Folds, *, torchscript: bool) -> float:
    """Write everything; by how much ONNX Runtime's probabilities differ from torch's."""
    exported, channels = Exported(folds, about.full), about.params.data.channels
    network.write_onnx(exported, about.sizes, channels, folder / layout.ONNX)
    images = trials(about)
    differs = network.check_parity(exported, images, folder / layout.ONNX)
    if torchscript:
        network.write_torchscript(exported, about.sizes, channels, folder / layout.TORCHSCRIPT)
    np.save(folder / layout.TESTED[0], images[0])
    np.save(folder / layout.TESTED[1], network.answer(exported, images[0]))
    _pack_experiment(folder, about, project)
    shutil.copyfile(Path(__file__).parent / layout.PREDICT, folder / layout.PREDICT)
    shutil.copyfile(CODE_LICENCE, folder / CODE_LICENCE.name)
    for path in about.pictures:
        shutil.copyfile(project.place(path), folder / Path(path).name)
    parts = [
        (layout.PREDICT, "MIT"),
        ("the weights, model.onnx among them", about.licence or "not chosen yet"),
    ]
    (folder / layout.LICENCES).write_text(licences.text(parts, about.models), encoding="utf-8")
    (folder / layout.CARD).write_text(card.text(about), encoding="utf-8")
    jsonfile.write(folder / layout.FACTS, _facts(folder, about))
    rdf.write(folder, about, torchscript=torchscript)
    return differs


def trials(about: About) -> list[np.ndarray]:
    """What parity is tried on, (B, C, h, w) float32: the size of training first, then, where others may be
    taken, the least, and two images of unlike sides."""
    sizes = about.sizes
    side = about.architecture["size"] + -about.architecture["size"] % sizes.multiple
    pixels = np.moveaxis(drawn(side, about.params.data.channels), -1, 0)[None].astype(np.float32)
    pixels *= np.float32(about.full / 255)
    if sizes.one:
        return [pixels]
    wider = np.concatenate([pixels, pixels[..., : sizes.multiple]], axis=3)
    return [pixels, pixels[..., : sizes.least, : sizes.least], np.concatenate([wider, wider[..., ::-1]])]


def _pack_experiment(folder: Path, about: About, project: Project) -> None:
    """The weights of each fold, and what `make segment` needs of the experiment besides."""
    for fold in about.models:
        (folder / fold).mkdir()
        for name in (saved.FACTS, saved.WEIGHTS):
            shutil.copyfile(project.place(f"models/{fold}/{name}"), folder / fold / name)
    params = about.params.model_dump(mode="json")
    params["split"]["run"] = [int(fold.removeprefix("fold_")) for fold in about.models]
    with (folder / layout.PARAMS).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(params, file)
    for path in (models.RULES, models.GEOMETRY):
        if path == models.RULES or abouts.held(project, path):
            shutil.copyfile(project.place(path), folder / Path(path).name)
    if about.params.stain.backend in normalization.STAINS:
        png.write_image(folder / models.TARGET, models.target_image(about.params, project))


def _facts(folder: Path, about: About) -> dict[str, Any]:
    """What model.json says, for predict.py and for those who read it."""
    return {
        "kind": layout.KIND,
        "name": about.name,
        "made_by": about.made_by,
        "architecture": dict(about.architecture),
        "folds": list(about.models),
        "classes": list(about.params.data.classes),
        "channels": about.params.data.channels,
        "full": about.full,
        "sizes": about.sizes._asdict(),
        "um_per_px": about.scale,
        "views": symmetries(about.views),
        "licence": about.licence,
        "opset": network.OPSET,
        "torch": torch.__version__,
        "sha256": {layout.ONNX: hashes.sha256(folder / layout.ONNX)},
    }


def symmetries(tta: str) -> list[tuple[int, bool]]:
    """The quarter turns of each view at scale 1, and whether a mirror is before them, as in ttach."""
    return [(turn % 4, turn >= 4) for turns in views.VIEWS[tta].symmetries for turn in turns]


def _warn(about: About) -> None:
    if not about.licence:
        warn("no licence of the weights is chosen: give --licence before you publish (LICENCE=CC-BY-4.0)")
    if bound := licences.bound(about.models):
        warn(f"{', '.join(bound)}: trained from weights for non-commercial use only; see {layout.LICENCES}")
    if about.pictures:
        warn(f"{', '.join(about.pictures)} are in {layout.CARD}: publish them if you may show these images")
    if about.views.endswith("_scales"):
        warn(f"{layout.PREDICT} leaves out the views of {about.views} at other scales")
