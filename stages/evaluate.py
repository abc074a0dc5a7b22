"""Score the out-of-fold predictions at native resolution, by the path that submit takes."""

from functools import partial
from pathlib import Path

import pandas as pd

from ftu.files import folds, jsonfile
from ftu.files.index import image_rows, read_index
from ftu.masks import from_maps, rules
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import ensemble, fold_maps
from ftu.probabilities.ensemble import Part
from ftu.reports import class_scores, figures, optimism, pretraining, scores
from ftu.reports.scores import Trial


def main() -> str:
    params = load_params(paths.PARAMS)
    known = rules.read(paths.RULES, **params.data.model_dump(include={"organs", "sources", "classes"}))
    index = read_index(paths.IMAGES)
    dealt = folds.read_dealt(paths.FOLDS, index)
    trials = find_trials(params, known, index, dealt)
    way = from_maps.Way(params.ensemble.mean, known.method, params.postprocess.never_empty)
    score = partial(scores.score, way=way, tolerance=params.evaluate.tolerance)
    pool, images, classes = Pool(**params.compute.model_dump()), {}, {}
    for part, own in trials.items():
        images[part], classes[part] = scores.tables(pool.each(score, own, doing=f"score {part}"))
    table, shifted = (scores.with_groups(images[part], dealt) for part in ("oof", "shifted"))

    with jsonfile.facts(paths.REPORTS / "calibration.json", "run `dvc repro`") as facts:
        nested = scores.nested(facts)
    typical = scores.typical(table)
    models = [paths.model(fold) for fold in params.split.run]
    selection = fold_maps.selection(models)
    histories = {fold: figures.read_history(paths.model(fold) / "history.csv") for fold in params.split.run}
    curves = [optimism.shown_dice(history) for history in histories.values()]
    detail = class_scores.Detail(
        params.data.classes, index, {name: classes[name] for name in ("oof", "test")}
    )
    summary = scores.summary(table, shifted, nested) | detail.in_short()
    summary |= {"checkpoint": optimism.facts(curves, selection)}
    told = optimism.words(curves, selection, nested=bool(nested)) + pretraining.words(models)
    report = f"{scores.report(table, shifted, nested)}\n{detail.words()}\n{told}"
    with whole_files(paths.REPORTS) as folder:
        table.to_csv(folder / "dice.csv", index=False)
        shifted.to_csv(folder / "dice_shifted.csv", index=False)
        images["test"].to_csv(folder / "dice_test.csv", index=False)
        detail.table().to_csv(folder / "scores.csv", index=False)
        jsonfile.write(folder / "scores.json", detail.facts)
        jsonfile.write(folder / "metrics.json", summary)
        (folder / "summary.md").write_text(report, encoding="utf-8")
        figures.draw_curves(histories, folder / "curves.png")
        dice = table.set_index("id")["dice"]
        shown = [trial for trial in trials["oof"] if trial.case.row.id in typical]
        pictures = [scores.picture(trial, way, dice[trial.case.row.id]) for trial in shown]
        figures.draw_gallery(pictures, folder / "gallery.png", params.data.classes)
    print(report, end="")
    return f"{len(table)} images and {len(shifted)} shifted ones, mean Dice {table['dice'].mean():.3f}"


def find_trials(
    params: Params, known: rules.Rules, index: pd.DataFrame, dealt: pd.DataFrame
) -> dict[Part, list[Trial]]:
    """The held-out images of the folds that run (oof), those of them that were shifted to another source, and
    the test images that came with a mask."""
    moved = read_index(paths.SHIFTED / "shifted.csv")
    test = index[index["set"] == "test"]
    held_out = {fold: folds.divide(dealt, fold)[1] for fold in params.split.run}
    due = {
        fold: {"oof": oof, "test": test["id"], "shifted": moved.loc[moved["id"].isin(oof), "id"]}
        for fold, oof in held_out.items()
    }
    experiments = ensemble.opened(
        *paths.TRAINED, own=known.own, weights=known.members, sets=[known.tta], due=due
    )
    rows, others = (
        [row for oof in held_out.values() for row in image_rows(one[one["id"].isin(oof)])]
        for one in (index, moved)
    )
    root, masks = Path(params.data.root), paths.SHIFTED / "masks"
    trials = partial(scores.trials, experiments=experiments, rules=known, classes=params.data.classes)
    answered = [row for row in image_rows(test) if (paths.TEST_MASKS / f"{row.id}.png").exists()]
    return {
        "oof": trials(rows, "oof", masks=paths.MASKS, root=root),
        "shifted": trials(others, "shifted", masks=masks),
        "test": trials(answered, "test", masks=paths.TEST_MASKS),
    }


if __name__ == "__main__":
    run(main)
