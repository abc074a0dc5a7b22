"""Check the tables and the images; turn each RLE into a mask at native size."""

from pathlib import Path

import pandas as pd

from ftu import images, paths, rle, tables
from ftu.params import load_params
from ftu.stage import run
from ftu.whole import whole_file, whole_folder
from ftu.workers import each


def main() -> None:
    params = load_params(paths.PARAMS)
    root, known = Path(params.data.root), {"organs": params.data.organs, "sources": params.data.sources}
    tables.check_root(root)
    train = tables.read_train(root / "train.csv", **known)
    test = tables.read_test(root / "test.csv", **known)
    if both := set(train["id"]) & set(test["id"]):
        raise tables.InputError(f"{root}: id {sorted(both)[0]} stands in train.csv and in test.csv; keep one")
    index = pd.concat([train.assign(set="train"), test.assign(set="test")], ignore_index=True)
    rows = [(tables.image_path(root, row), row.img_height, row.img_width) for row in tables.image_rows(index)]
    each(images.check_row, rows, workers=params.compute.workers, doing="check images")

    with whole_folder(paths.MASKS) as folder:
        for row, text in zip(tables.image_rows(index), train["rle"], strict=False):  # train stands first
            mask = rle.decode(text, height=row.img_height, width=row.img_width)
            images.write_mask(folder / f"{row.id}.png", mask)
    with whole_file(paths.IMAGES) as path:
        index.drop(columns="rle").to_csv(path, index=False)


if __name__ == "__main__":
    run(main)
