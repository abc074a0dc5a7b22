"""Check the tables and the images, find who belongs together; turn each RLE into a mask at native size."""

from functools import partial
from pathlib import Path

import pandas as pd

from ftu.cache import per_image
from ftu.datasets import duplicates, groups, image_files, resolution, volumes
from ftu.datasets.layouts import LAYOUTS
from ftu.files.index import image_rows
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_file, whole_folder
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn
from ftu.pipeline.workers.pool import Pool

FACTS = {"organs", "sources", "pixel_size"}


def main() -> str:
    params = load_params(paths.PARAMS)
    root, keep = Path(params.data.root), per_image.keeper(paths.items())
    layout, told = LAYOUTS[params.data.layout], [*params.data.group, *filter(None, [params.data.z])]
    train, test = layout.read_both(root, **params.data.model_dump(include=FACTS), told=told)
    warn(layout.left_out(root, (train, test), told))
    index = pd.concat([train[test.columns], test], ignore_index=True)
    rows = image_rows(index)
    files = [root / row.image for row in rows]
    shapes = [(row.img_height, row.img_width) for row in rows]
    sizes = [row.pixel_size for row in rows]
    pool = Pool(**params.compute.model_dump())
    check = keep(partial(image_files.check_image, channels=params.data.channels), reads=1, writes=0)
    done = pool.each(check, files, shapes, sizes, doing="check images")
    warn(resolution.printed_in_words(files, [item.result["printed"] for item in done]))
    same = duplicates.pairs([item.result["hash"] for item in done])
    found = groups.of(train, test, params.data.group, same)
    for sentence in found.warnings:
        warn(sentence)
    if found.names:
        index = index.assign(group=[*found.names, *[""] * len(test)])  # test images are in no fold
    index = volumes.located(index, train, test, params.data.z, params.data.group, same)

    for rows, to in ((train, paths.MASKS), (layout.labelled(test), paths.TEST_MASKS)):
        with whole_folder(to) as folder:
            targets = [folder / f"{name}.png" for name in rows["id"]]
            decoding = layout.decoding(rows, root, targets, params.data.classes)
            write = keep(decoding.function, reads=decoding.reads, writes=1)
            sizes = list(zip(rows["img_height"], rows["img_width"], strict=True))
            done += pool.each(write, *decoding.columns, sizes, doing="decode masks")
    with whole_file(paths.IMAGES) as path:
        index.to_csv(path, index=False)
    warn(per_image.warning(done))
    return f"{len(index)} images and {len(train)} masks, {per_image.count(done)}"


if __name__ == "__main__":
    run(main)
