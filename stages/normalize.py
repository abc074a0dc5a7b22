"""Bring all images to the stain of one target."""

from functools import partial

import pandas as pd

from ftu import normalization, paths, tables
from ftu.params import load_params
from ftu.stage import run, warn
from ftu.whole import whole_folder
from ftu.workers import HERE, Pool


def main() -> None:
    params = load_params(paths.PARAMS)
    settings, caveat = params.stain, normalization.caveat(params.stain.backend)
    pool = HERE if caveat else Pool(**params.compute.model_dump())
    index = tables.read_index(paths.IMAGES)
    target = partial(normalization.target_image, paths.RESIZED, index, **settings.target.model_dump())
    work = normalization.prepare(settings.backend, target, seed=settings.seed)
    warn(caveat)
    with whole_folder(paths.NORMALIZED) as folder:
        for name in ("train", "test"):
            (folder / name).mkdir()
        sets = [row.set for row in tables.image_rows(index)]
        sources = [paths.RESIZED / row.set / f"{row.id}.png" for row in tables.image_rows(index)]
        rows = pool.each(work, sources, [folder / name for name in sets], doing="normalize")
        pd.DataFrame(rows).to_csv(folder / "qc.csv", index=False)
    warn(normalization.warning(rows))


if __name__ == "__main__":
    run(main)
