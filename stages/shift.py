"""Make the training images look like those of another source, to score the models on them too."""

from functools import partial
from pathlib import Path

from ftu import geometry, normalization, paths, shifted, tables
from ftu.params import Params, load_params
from ftu.shift import Look
from ftu.stage import run, warn
from ftu.whole import whole_folder
from ftu.workers import HERE, Pool


def main() -> None:
    params = load_params(paths.PARAMS)
    if params.shift.enabled:
        shift_all(params)
        return
    with whole_folder(paths.SHIFTED) as folder:
        shifted.write_tables(folder, [])


def shift_all(params: Params) -> None:
    settings, stain = params.shift, params.stain
    index = tables.read_index(paths.IMAGES)
    rows = shifted.rows_to_shift(tables.image_rows(index), settings.source)
    target = partial(normalization.target_image, paths.RESIZED, index, **stain.target.model_dump())
    looks = {
        organ: Look(size, settings.field, settings.blur, settings.stain)
        for organ, size in settings.pixel_size.items()
    }
    recipe = shifted.Recipe(
        source=settings.source,
        looks=looks,
        seed=stain.seed,
        masks=paths.MASKS,
        shape=partial(geometry.network_shape, **params.resize.model_dump()),
        normalize=normalization.prepare(stain.backend, target, seed=stain.seed),
    )
    work = partial(shifted.shift_file, recipe=recipe)
    files = [tables.image_path(Path(params.data.root), row) for row in rows]
    caveat = normalization.caveat(stain.backend)
    pool = HERE if caveat else Pool(**params.compute.model_dump())
    warn(caveat)
    with whole_folder(paths.SHIFTED) as folder:
        for name in ("images", "masks"):
            (folder / name).mkdir()
        made = pool.each(work, rows, files, [folder] * len(rows), doing="shift images")
        shifted.write_tables(folder, made)
    for sentence in shifted.warnings(rows, made, looks):
        warn(sentence)
    warn(normalization.warning([one.quality for one in made if one.row]))


if __name__ == "__main__":
    run(main)
