"""Mean of the folds, native size, threshold, RLE: the file that Kaggle takes."""

from ftu import folds, images, paths, postprocess, predictions, rle, submission, tables
from ftu.params import load_params
from ftu.stage import run
from ftu.whole import whole_file


def main() -> None:
    params = load_params(paths.PARAMS)
    index, table = tables.read_index(paths.IMAGES), tables.read_folds(paths.FOLDS)
    test = index[index["set"] == "test"]
    for fold in params.split.run:
        _, oof = folds.divide(table, fold)
        predictions.check_fold(paths.prediction(fold), paths.model(fold), oof=oof, test=test["id"])
    rles = []
    for row in tables.image_rows(test):
        maps = [
            images.read_probability(paths.prediction(k) / "test" / f"{row.id}.png") for k in params.split.run
        ]
        threshold = params.thresholds[row.data_source][row.organ]
        probability = postprocess.mean_probability(maps)
        mask = postprocess.native_mask(
            probability, height=row.img_height, width=row.img_width, threshold=threshold
        )
        rles.append(rle.encode(mask))
    answers = submission.build_submission(test["id"], rles)
    submission.check_submission(answers, test)
    with whole_file(paths.SUBMISSION) as path:
        answers.to_csv(path, index=False)
    print(f"{paths.SUBMISSION}: {len(answers)} images, valid for Kaggle")


if __name__ == "__main__":
    run(main)
