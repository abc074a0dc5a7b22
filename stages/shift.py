"""Make the training images look like those of another source, to score the models on them too."""

from functools import partial
from pathlib import Path

from ftu.cache import per_image
from ftu.files.index import image_rows, read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run, warn
from ftu.pipeline.workers.pool import HERE, Pool
from ftu.preprocessing import normalization, resize, shifted_files
from ftu.preprocessing.domain_shift import Look


def main() -> str:
    params = load_params(paths.PARAMS)
    if params.shift.enabled:
        return shift_all(params)
    with whole_folder(paths.SHIFTED) as folder:
        shifted_files.write_tables(folder, [])
    return "no images (shift.enabled: false)"


def shift_all(params: Params) -> str:
    settings, stain = params.shift, params.stain
    index = read_index(paths.IMAGES)
    rows = shifted_files.rows_to_shift(image_rows(index), settings.source)
    looks = {
        organ: Look(size, settings.field, settings.blur, settings.stain)
        for organ, size in settings.pixel_size.items()
    }
    caveat = normalization.caveat(stain.backend)
    pool = HERE if caveat else Pool(**params.compute.model_dump())
    keep = per_image.keeper(paths.items())  # after the backend was imported: it counts its code
    of = stain.target.model_dump()
    target = partial(normalization.target_image, paths.RESIZED, index, **of)
    levels = normalization.target_levels(paths.RESIZED, index, stain.backend, **of)
    fit = keep(normalization.fit_target, reads=0, writes=0).result
    recipe = shifted_files.Recipe(
        source=settings.source,
        seed=stain.seed,
        shape=partial(resize.network_shape, **params.resize.model_dump()),
        normalize=normalization.prepare(
            stain.backend, target, seed=stain.seed, most_gain=stain.most_gain, fit=fit, levels=levels
        ),
    )
    work = keep(partial(shifted_files.shift_file, recipe=recipe), reads=2, writes=2)
    warn(caveat)
    with whole_folder(paths.SHIFTED) as folder:
        root, each = Path(params.data.root), partial(pool.each, work)
        done = shifted_files.make(each, folder, rows, looks, root=root, masks=paths.MASKS)
        made = [shifted_files.Made(row.id, **item.result) for row, item in zip(rows, done, strict=True)]
        shifted_files.write_tables(folder, made)
    for sentence in shifted_files.warnings(rows, made, looks):
        warn(sentence)
    qualities = [one.quality for one in made if one.row]
    for sentence in normalization.warnings(qualities, most_gain=stain.most_gain):
        warn(sentence)
    warn(per_image.warning(done))
    return f"{len(rows)} images, {per_image.count(done)}"


if __name__ == "__main__":
    run(main)
