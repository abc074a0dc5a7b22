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
    known = rules.read(paths.RULES, organs=params.data.organs, sources=params.data.sources)
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
    answer = partial(from_maps.answer, way=way)
    pool = Pool(**params.compute.model_dump())
    rows = pd.DataFrame(pool.each(answer, cases, doing="submit"))
    answers = submission.build_submission(rows["id"], rows["rle"])
    submission.check_submission(answers, test)
    with whole_folder(paths.ANSWERED) as folder:
        shown = test if params.data.layout == "folders" else test[:0]  # Kaggle takes the table alone
        targets = [folder / submission.place(image) for image in shown["image"]]
        shapes = list(zip(shown["img_height"], shown["img_width"], strict=True))
        pool.each(submission.write_mask_file, targets, list(rows["rle"])[: len(shown)], shapes, doing="write")
    with whole_files(paths.SUBMISSION.parent) as folder:
        answers.to_csv(folder / paths.SUBMISSION.name, index=False)
        rows[from_maps.GUARDED].to_csv(folder / paths.GUARD.name, index=False)
    print(from_maps.guard_in_words(rows, way.never_empty))
    print(f"{paths.SUBMISSION}: {len(answers)} images, valid for Kaggle")
    return (
        f"{len(answers)} images of {len(params.split.run)} folds and {len(known.members)} other experiments"
    )


if __name__ == "__main__":
    run(main)
