"""Mean of folds and experiments, native size, the rule of each organ, RLE: the file that Kaggle takes."""

from functools import partial

import pandas as pd

from ftu.files import folds
from ftu.files.index import image_rows, read_index
from ftu.masks import from_maps, rules, submission
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files, whole_folder
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import ensemble


def main() -> str:
    params = load_params(paths.PARAMS)
    classes, facts = params.data.classes, params.data.model_dump(include={"organs", "sources", "classes"})
    known = rules.read(paths.RULES, **facts)
    index = read_index(paths.IMAGES)
    table = folds.read_dealt(paths.FOLDS, index)
    test = index[index["set"] == "test"]
    held_out = {fold: folds.divide(table, fold)[1] for fold in params.split.run}
    due = {fold: {"oof": oof, "test": test["id"]} for fold, oof in held_out.items()}
    experiments = ensemble.opened(
        *paths.TRAINED, own=known.own, weights=known.members, sets=[known.tta], due=due
    )
    cases = from_maps.cases(image_rows(test), "test", experiments, known)

    way = from_maps.Way(params.ensemble.mean, known.method, params.postprocess.never_empty)
    answer = partial(from_maps.answer, way=way, classes=len(classes))
    pool = Pool(**params.compute.model_dump())
    rows = pd.DataFrame(pool.each(answer, cases, doing="submit"))
    answers = submission.build(list(rows["id"]), list(rows["rles"]))
    submission.check(answers, test, len(classes))
    with whole_folder(paths.ANSWERED) as folder:
        shown = test if params.data.layout == "folders" else test[:0]  # Kaggle takes the table alone
        targets = [folder / submission.place(image) for image in shown["image"]]
        shapes = list(zip(shown["img_height"], shown["img_width"], strict=True))
        pool.each(
            submission.write_mask_file, targets, list(rows["rles"])[: len(shown)], shapes, doing="write"
        )
    with whole_files(paths.SUBMISSION.parent) as folder:
        answers.to_csv(folder / paths.SUBMISSION.name, index=False)
        rows[from_maps.GUARDED].to_csv(folder / paths.GUARD.name, index=False)
    print(from_maps.guard_in_words(rows, way.never_empty))
    valid = "valid for Kaggle" if params.data.layout == "competition" else "checked"
    print(f"{paths.SUBMISSION}: {len(test)} images, {valid}")
    return f"{len(test)} images of {len(params.split.run)} folds and {len(known.members)} other experiments"


if __name__ == "__main__":
    run(main)
