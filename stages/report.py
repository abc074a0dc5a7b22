"""One page of all that is known of the experiment, the worst images first, with pictures of some."""

from functools import partial
from pathlib import Path

import pandas as pd

from ftu.files import folds, jsonfile
from ftu.files.index import image_rows, read_index
from ftu.masks import from_maps, rules
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files, whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import ensemble, fold_maps
from ftu.reports import figures, optimism, pretraining, scores
from ftu.reports.page import page, pictures, tables
from ftu.reports.scores import Trial


def main() -> str:
    params = load_params(paths.PARAMS)
    index = read_index(paths.IMAGES)
    dealt = folds.read_dealt(paths.FOLDS, index)
    known = rules.read(paths.RULES, **params.data.model_dump(include={"organs", "sources", "classes"}))
    scored = tables.read(paths.REPORTS, params.data.classes, dealt)
    oof = scored.images["oof"]
    shown = pictures.choose(oof)
    trials = find_trials(params, known, index, dealt, [*shown.worst, *shown.typical])
    models = {fold: paths.model(fold) for fold in params.split.run}
    with jsonfile.facts(paths.REPORTS / "calibration.json", "run `dvc repro`") as calibration:
        nested, estimates = scores.nested(calibration), page.read_estimates(calibration)
    histories = {fold: figures.read_history(folder / "history.csv") for fold, folder in models.items()}
    curves = [optimism.shown_dice(history) for history in histories.values()]
    selection = fold_maps.selection(models.values())
    told = optimism.words(curves, selection, nested=bool(nested)) + pretraining.words(models.values())
    content = page.Content(
        classes=params.data.classes,
        scored=scored,
        interval=tables.interval(oof, draws=params.calibrate.bootstrap, seed=params.calibrate.seed),
        nested=nested,
        estimates=estimates,
        rules=known,
        folds=dealt,
        shown=shown,
        layers=[],
        histories=histories,
        remarks=told.splitlines(),
        warnings=page.read_warnings(paths.GEOMETRY, paths.NORMALIZED / "qc.csv"),
        models=page.read_models(models),
        parameters=parameters(params),
        files=page.hashed([paths.IMAGES, paths.FOLDS, paths.RULES]),
    )
    way = from_maps.Way(params.ensemble.mean, known.method, params.postprocess.never_empty)
    with whole_folder(paths.PICTURES) as beside, whole_files(paths.REPORTS) as folder:
        draw = partial(pictures.draw, way=way, folder=beside)
        pool = Pool(**params.compute.model_dump())
        layers = pool.each(draw, trials, range(1, len(trials) + 1), doing="draw pictures")
        text = page.render(content._replace(layers=layers))
        (folder / paths.PAGE.name).write_text(text, encoding="utf-8")
    return f"{paths.PAGE}: {len(oof)} images, pictures of {len(layers)}"


def find_trials(
    params: Params, known: rules.Rules, index: pd.DataFrame, dealt: pd.DataFrame, ids: list[str]
) -> list[Trial]:
    """The held-out images of these ids, in their order."""
    due = {fold: {"oof": folds.divide(dealt, fold)[1]} for fold in params.split.run}
    experiments = ensemble.opened(
        *paths.TRAINED, own=known.own, weights=known.members, sets=[known.tta], due=due
    )
    rows = {row.id: row for row in image_rows(index)}
    return scores.trials(
        [rows[image] for image in ids],
        "oof",
        experiments,
        known,
        masks=paths.MASKS,
        classes=params.data.classes,
        root=Path(params.data.root),
    )


def parameters(params: Params) -> dict[str, dict]:
    """All sections but `compute`, which changes no result."""
    found = {
        "data": params.data,
        "sample": params.sample,
        "resize": params.resize,
        "stain": params.stain,
        "shift": params.shift,
        "split": params.split,
        "pretrain": params.pretrain,
        "train": params.train,
        "augment": params.augment,
        "predict": params.predict,
        "ensemble": params.ensemble,
        "postprocess": params.postprocess,
        "calibrate": params.calibrate,
        "evaluate": params.evaluate,
    }
    return {name: section.model_dump() for name, section in found.items()} | {"thresholds": params.thresholds}


if __name__ == "__main__":
    run(main)
