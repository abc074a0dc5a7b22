"""Probabilities of one fold's model: its held-out images, and the test images."""

from ftu import folds, images, paths, tables
from ftu.params import Params, load_params
from ftu.stage import fold_argument, run
from ftu.whole import whole_folder


def main() -> str:
    fold, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    return predict(fold, params)


def predict(fold: int, params: Params) -> str:
    from ftu import artifact, inference, jsonfile, predictions, runtime, views

    settings = params.predict
    device = runtime.choose_device(settings.device)
    runtime.fix_randomness(0, settings.threads, settings.device)  # nothing is drawn: for the algorithms
    names = predictions.set_names(settings.tta, settings.candidates)
    sets = {name: views.groups(name, settings.scales) for name in names}
    table, index = tables.read_folds(paths.FOLDS), tables.read_index(paths.IMAGES)
    moved, oof = tables.read_index(paths.SHIFTED / "shifted.csv"), folds.divide(table, fold)[1]
    parts = {
        "oof": (paths.NORMALIZED / "train", oof),
        "shifted": (paths.SHIFTED / "images", moved.loc[moved["id"].isin(oof), "id"].tolist()),
        "test": (paths.NORMALIZED / "test", index.loc[index["set"] == "test", "id"].tolist()),
    }
    due = [(part, source, name) for part, (source, ids) in parts.items() for name in ids]
    sources = [source / f"{name}.png" for _, source, name in due]
    if params.resize.mode == "fixed":
        images.check_squares(sources, params.resize.side)
    else:
        inference.check_oversize(sources, settings.window.side)
    model, facts = artifact.load(paths.model(fold))
    with whole_folder(paths.prediction(fold)) as folder:
        for part in parts:
            for tta in names:
                (folder / part / tta).mkdir(parents=True)
        inference.predict_files(
            model,
            facts,
            sources,
            [[predictions.map_path(folder, part, tta, name) for tta in names] for part, _, name in due],
            sets=sets,
            **settings.window.model_dump(),
            batch_size=settings.batch_size,
            device=device,
        )
        made_by = {"fold": fold, "sets": names, "weights_sha256": facts["weights_sha256"]}
        jsonfile.write(folder / predictions.FACTS, made_by)
    return f"fold {fold}, {len(due)} images, views {', '.join(names)}"


if __name__ == "__main__":
    run(main)
