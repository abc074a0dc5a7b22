"""Bring all images to the stain, or the grey levels, of one target."""

from functools import partial

import pandas as pd

from ftu.cache import per_image
from ftu.files import jsonfile
from ftu.files.index import image_rows, read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn
from ftu.pipeline.workers.pool import HERE, Pool
from ftu.preprocessing import normalization


def main() -> str:
    params = load_params(paths.PARAMS)
    settings, caveat = params.stain, normalization.caveat(params.stain.backend)
    pool = HERE if caveat else Pool(**params.compute.model_dump())
    keep = per_image.keeper(paths.items())  # after the backend was imported: it counts its code
    index = read_index(paths.IMAGES)
    of = settings.target.model_dump()
    levels = normalization.target_levels(paths.RESIZED, index, settings.backend, **of)
    work = normalization.prepare(
        settings.backend,
        partial(normalization.target_image, paths.RESIZED, index, **of),
        seed=settings.seed,
        most_gain=settings.most_gain,
        fit=keep(normalization.fit_target, reads=0, writes=0).result,
        levels=levels,
    )
    warn(caveat)
    warn(normalization.transductive(levels))
    rows = image_rows(index)
    with whole_folder(paths.NORMALIZED) as folder:
        for name in ("train", "test"):
            (folder / name).mkdir()
        places = [f"{row.set}/{row.id}.png" for row in rows]
        sources, targets = ([to / place for place in places] for to in (paths.RESIZED, folder))
        done = pool.each(keep(work, reads=1, writes=1), sources, targets, doing="normalize")
        quality = normalization.quality_rows(rows, [item.result for item in done])
        pd.DataFrame(quality).to_csv(folder / "qc.csv", index=False)
        jsonfile.write(folder / "histogram.json", normalization.levels_facts(levels, settings.backend))
    for sentence in normalization.warnings(quality, most_gain=settings.most_gain):
        warn(sentence)
    warn(per_image.warning(done))
    return f"{len(rows)} images, {per_image.count(done)}"


if __name__ == "__main__":
    run(main)
