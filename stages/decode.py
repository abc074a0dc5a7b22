"""Check the tables and the images; turn each RLE into a mask at native size."""

from pathlib import Path

import pandas as pd

from ftu import images, paths, rle, tables
from ftu.params import load_params
from ftu.stage import run
from ftu.whole import whole_file, whole_folder
from ftu.workers import Pool


def main() -> None:
    params = load_params(paths.PARAMS)
    root = Path(params.data.root)
    train, test = tables.read_both(root, organs=params.data.organs, sources=params.data.sources)
    index = pd.concat([train.drop(columns="rle"), test], ignore_index=True)
    rows = tables.image_rows(index)
    files = [tables.image_path(root, row) for row in rows]
    shapes = [(row.img_height, row.img_width) for row in rows]
    sizes = [row.pixel_size for row in rows]
    pool = Pool(**params.compute.model_dump())
    pool.each(images.check_image, files, shapes, sizes, doing="check images")

    with whole_folder(paths.MASKS) as folder:
        for row, text in zip(tables.image_rows(train), train["rle"], strict=True):
            mask = rle.decode(text, height=row.img_height, width=row.img_width)
            images.write_mask(folder / f"{row.id}.png", mask)
    with whole_file(paths.IMAGES) as path:
        index.to_csv(path, index=False)


if __name__ == "__main__":
    run(main)
