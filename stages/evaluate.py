"""Score the out-of-fold predictions at native resolution, by the path that submit takes."""

from functools import partial
from pathlib import Path

import pandas as pd

from ftu import evaluation, figures, fusion, masking, predictions, rules
from ftu.evaluation import Trial
from ftu.files import folds, jsonfile
from ftu.files.index import image_rows, read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool


def main() -> str:
    params = load_params(paths.PARAMS)
    known = rules.read(paths.RULES, organs=params.data.organs, sources=params.data.sources)
    trials, moved = find_trials(params, known)
    way = masking.Way(params.ensemble.mean, known.method, params.postprocess.never_empty)
    score, pool = partial(evaluation.score, way=way), Pool(**params.compute.model_dump())
    table = pd.DataFrame(pool.each(score, trials, doing="score"))
    rows = pool.each(score, moved, doing="score shifted")
    shifted = pd.DataFrame(rows, columns=evaluation.SCORES)

    facts = jsonfile.read(paths.REPORTS / "calibration.json", "run `dvc repro`")
    nested, typical = evaluation.nested(facts), evaluation.typical(table)
    report = evaluation.report(table, shifted, nested)
    with whole_files(paths.REPORTS) as folder:
        table.to_csv(folder / "dice.csv", index=False)
        shifted.to_csv(folder / "dice_shifted.csv", index=False)
        jsonfile.write(folder / "metrics.json", evaluation.summary(table, shifted, nested))
        (folder / "summary.md").write_text(report)
        histories = {fold: pd.read_csv(paths.model(fold) / "history.csv") for fold in params.split.run}
        figures.draw_curves(histories, folder / "curves.png")
        dice = table.set_index("id")["dice"]
        shown = [trial for trial in trials if trial.case.row.id in typical]
        pictures = [evaluation.picture(trial, way, dice[trial.case.row.id]) for trial in shown]
        figures.draw_gallery(pictures, folder / "gallery.png")
    print(report, end="")
    return f"{len(table)} images and {len(shifted)} shifted ones, mean Dice {table['dice'].mean():.3f}"


def find_trials(params: Params, known: rules.Rules) -> tuple[list[Trial], list[Trial]]:
    """The held-out images of the folds that run, and those of them that were shifted to another source."""
    index, table = read_index(paths.IMAGES), folds.read_folds(paths.FOLDS)
    moved = read_index(paths.SHIFTED / "shifted.csv")
    test = index.loc[index["set"] == "test", "id"]
    own = fusion.Experiment("own", paths.PREDICTIONS, tuple(params.split.run), known.own, known.tta)
    ensemble = fusion.ensemble(own, paths.MEMBERS, known.members)
    trials, shifted = [], []
    for fold in params.split.run:
        _, oof = folds.divide(table, fold)
        rows, others = (image_rows(one[one["id"].isin(oof)]) for one in (index, moved))
        due = {"oof": oof, "test": test, "shifted": [row.id for row in others]}
        predictions.check_fold(paths.prediction(fold), paths.model(fold), tta=known.tta, due=due)
        root, masks = Path(params.data.root), paths.SHIFTED / "masks"
        trials += evaluation.trials(rows, "oof", ensemble, known, masks=paths.MASKS, root=root)
        shifted += evaluation.trials(others, "shifted", ensemble, known, masks=masks)
    return trials, shifted


if __name__ == "__main__":
    run(main)
