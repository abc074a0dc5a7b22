"""Probabilities of one fold's model: its held-out images, and the test images."""

from ftu.files import folds
from ftu.files.index import image_rows, read_index, um_of_pixels
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import fold_argument, run, warn


def main() -> str:
    fold, params = fold_argument(), load_params(paths.PARAMS)  # checked before torch is imported
    return predict(fold, params)


def predict(fold: int, params: Params) -> str:
    from ftu.files import jsonfile, png
    from ftu.networks.common import devices, saved
    from ftu.prediction import sliding_window, views
    from ftu.probabilities import fold_maps

    settings = params.predict
    device = devices.choose_device(settings.device)
    precision = devices.usable_precision(device, settings.precision, "predict.precision")
    lower = precision != settings.precision
    warn(
        f"predict.precision: this CPU computes no {settings.precision}; predicted in {precision}"
        if lower
        else ""
    )
    devices.fix_randomness(0, settings.threads, settings.device)  # nothing is drawn: for the algorithms
    names = fold_maps.set_names(settings.tta, settings.candidates)
    sets = {name: views.groups(name, settings.scales) for name in names}
    table, index = folds.read_folds(paths.FOLDS), read_index(paths.IMAGES)
    moved, oof = read_index(paths.SHIFTED / "shifted.csv"), folds.divide(table, fold)[1]
    parts = {
        "oof": (paths.NORMALIZED / "train", oof),
        "shifted": (paths.SHIFTED / "images", moved.loc[moved["id"].isin(oof), "id"].tolist()),
        "test": (paths.NORMALIZED / "test", index.loc[index["set"] == "test", "id"].tolist()),
    }
    due = [(part, source, name) for part, (source, ids) in parts.items() for name in ids]
    sources = [source / f"{name}.png" for _, source, name in due]
    if params.resize.mode == "fixed":
        png.check_squares(sources, params.resize.side)
    else:
        sliding_window.check_oversize(sources, settings.window.side)
    rows = {("shifted", row.id): row for row in image_rows(moved)}
    rows |= {(part, row.id): row for part in ("oof", "test") for row in image_rows(index)}
    shapes = map(png.image_shape, sources)
    um = [um_of_pixels(rows[part, name], *shape) for (part, _, name), shape in zip(due, shapes, strict=True)]
    model, facts = saved.load(paths.model(fold))
    with whole_folder(paths.prediction(fold)) as folder:
        for part in parts:
            for tta in names:
                (folder / part / tta).mkdir(parents=True)
        sliding_window.predict_files(
            model,
            facts,
            sources,
            [[fold_maps.map_path(folder, part, tta, name) for tta in names] for part, _, name in due],
            sets=sets,
            **settings.window.model_dump(),
            batch_size=settings.batch_size,
            device=device,
            precision=precision,
            um=um,
        )
        made_by = {"fold": fold, "sets": names, "weights_sha256": facts["weights_sha256"]}
        jsonfile.write(folder / fold_maps.FACTS, made_by)
    return f"fold {fold}, {len(due)} images, views {', '.join(names)}"


if __name__ == "__main__":
    run(main)
