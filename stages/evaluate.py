"""Score the out-of-fold predictions at native resolution, by the path that submit takes."""

from pathlib import Path

import pandas as pd

from ftu import evaluation, figures, folds, images, jsonfile, paths, predictions, tables
from ftu.params import Params, load_params
from ftu.stage import run
from ftu.whole import whole_files
from ftu.workers import each


def main() -> None:
    params = load_params(paths.PARAMS)
    cases = find_cases(params)
    table = pd.DataFrame(each(evaluation.score, cases, workers=params.compute.workers, doing="score"))
    report = evaluation.report(table)
    shown = [case for case in cases if case.id in evaluation.typical(table)]
    with whole_files(paths.REPORTS) as folder:
        table.to_csv(folder / "dice.csv", index=False)
        jsonfile.write(folder / "metrics.json", evaluation.summary(table))
        (folder / "summary.md").write_text(report)
        histories = {fold: pd.read_csv(paths.model(fold) / "history.csv") for fold in params.split.run}
        figures.draw_curves(histories, folder / "curves.png")
        figures.draw_gallery([picture(case, table) for case in shown], folder / "gallery.png")
    print(report, end="")


def find_cases(params: Params) -> list[evaluation.Case]:
    """The held-out images of the folds that run, each with its own fold's prediction."""
    index, table = tables.read_index(paths.IMAGES), tables.read_folds(paths.FOLDS)
    test = index.loc[index["set"] == "test", "id"]
    cases = []
    for fold in params.split.run:
        _, oof = folds.divide(table, fold)
        folder = paths.prediction(fold)
        predictions.check_fold(folder, paths.model(fold), oof=oof, test=test)
        cases += [
            evaluation.Case(
                id=row.id,
                organ=row.organ,
                data_source=row.data_source,
                image=tables.image_path(Path(params.data.root), row),
                truth=paths.MASKS / f"{row.id}.png",
                probability=folder / "oof" / f"{row.id}.png",
                threshold=params.thresholds[row.data_source][row.organ],
            )
            for row in tables.image_rows(index[index["id"].isin(oof)])
        ]
    return cases


def picture(case: evaluation.Case, table: pd.DataFrame) -> figures.Picture:
    dice = table.set_index("id").loc[case.id, "dice"]
    truth, prediction = evaluation.masks(case)
    title = f"{case.organ}, {case.data_source}: Dice {dice:.2f}"
    return figures.Picture(title, images.read_image(case.image), truth, prediction)


if __name__ == "__main__":
    run(main)
