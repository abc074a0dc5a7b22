"""Probabilities of one fold's model: its held-out images, and the test images."""

from ftu import folds, paths, tables
from ftu.params import Params, load_params
from ftu.stage import fold_argument, run
from ftu.whole import whole_folder


def main() -> None:
    fold, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    predict(fold, params)


def predict(fold: int, params: Params) -> None:
    from ftu import artifact, images, inference, jsonfile, predictions, runtime

    settings = params.predict
    device = runtime.choose_device(settings.device)
    runtime.fix_randomness(0, settings.threads, settings.device)  # nothing is drawn: for the algorithms
    table, index = tables.read_folds(paths.FOLDS), tables.read_index(paths.IMAGES)
    parts = {"oof": folds.divide(table, fold)[1], "test": index.loc[index["set"] == "test", "id"]}
    model, facts = artifact.load(paths.model(fold))
    with whole_folder(paths.prediction(fold)) as folder:
        for part, ids in parts.items():
            (folder / part).mkdir()
            source = paths.NORMALIZED / ("test" if part == "test" else "train")
            for path, probability in inference.predict(
                model,
                [source / f"{name}.png" for name in ids],
                tta=settings.tta,
                batch_size=settings.batch_size,
                mean=facts["mean"],
                std=facts["std"],
                device=device,
            ):
                images.write_probability(folder / part / path.name, probability)
        made_by = {"fold": fold, "tta": settings.tta, "weights_sha256": facts["weights_sha256"]}
        jsonfile.write(folder / predictions.FACTS, made_by)


if __name__ == "__main__":
    run(main)
