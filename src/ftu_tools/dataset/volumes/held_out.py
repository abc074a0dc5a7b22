"""Masks of held-out training slices, as evaluate scores them, laid out as submit lays out those of test."""

from pathlib import Path

from ftu.files import folds, png
from ftu.files.index import image_rows, read_index
from ftu.masks import from_maps, rules, submission
from ftu.pipeline import paths
from ftu.pipeline.params import load_params
from ftu.probabilities import ensemble


def write_masks(folder: Path) -> None:
    """The mask of each image that a fold which ran held out, of the project that one stands in.

    Raises InputError where a stage before evaluate has not run.
    """
    params = load_params(paths.PARAMS)
    known = rules.read(paths.RULES, **params.data.model_dump(include={"organs", "sources", "classes"}))
    index = read_index(paths.IMAGES)
    dealt = folds.read_dealt(paths.FOLDS, index)
    due = {fold: {"oof": folds.divide(dealt, fold)[1]} for fold in params.split.run}
    experiments = ensemble.opened(
        *paths.TRAINED, own=known.own, weights=known.members, sets=[known.tta], due=due
    )
    ids = {name for parts in due.values() for name in parts["oof"]}
    cases = from_maps.cases(image_rows(index[index["id"].isin(ids)]), "oof", experiments, known)
    way = from_maps.Way(params.ensemble.mean, known.method, params.postprocess.never_empty)
    for case in cases:
        target = folder / submission.place(case.row.image)
        target.parent.mkdir(parents=True, exist_ok=True)
        png.write_mask(target, from_maps.native_cut(case, way).mask, len(params.data.classes))
