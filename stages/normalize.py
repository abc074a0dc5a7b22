"""Bring all images to the stain of one target."""

from functools import partial

import pandas as pd

from ftu import items, normalization, paths, tables
from ftu.params import load_params
from ftu.stage import run, warn
from ftu.whole import whole_folder
from ftu.workers import HERE, Pool


def main() -> str:
    params = load_params(paths.PARAMS)
    settings, caveat = params.stain, normalization.caveat(params.stain.backend)
    pool = HERE if caveat else Pool(**params.compute.model_dump())
    keep = items.keeper(paths.items())  # after the backend was imported: it counts its code
    index = tables.read_index(paths.IMAGES)
    target = partial(normalization.target_image, paths.RESIZED, index, **settings.target.model_dump())
    fit = keep(normalization.fit_target, reads=0, writes=0).result
    work = normalization.prepare(settings.backend, target, seed=settings.seed, fit=fit)
    warn(caveat)
    rows = tables.image_rows(index)
    with whole_folder(paths.NORMALIZED) as folder:
        for name in ("train", "test"):
            (folder / name).mkdir()
        places = [f"{row.set}/{row.id}.png" for row in rows]
        sources, targets = ([to / place for place in places] for to in (paths.RESIZED, folder))
        done = pool.each(keep(work, reads=1, writes=1), sources, targets, doing="normalize")
        quality = normalization.quality_rows(rows, [item.result for item in done])
        pd.DataFrame(quality).to_csv(folder / "qc.csv", index=False)
    warn(normalization.warning(quality))
    warn(items.warning(done))
    return f"{len(rows)} images, {items.count(done)}"


if __name__ == "__main__":
    run(main)
