"""Bring images and masks to the size that the network sees."""

from functools import partial
from pathlib import Path

from ftu import images, paths, tables
from ftu.params import load_params
from ftu.stage import run
from ftu.whole import whole_folder
from ftu.workers import each


def main() -> None:
    params = load_params(paths.PARAMS)
    index = tables.read_index(paths.IMAGES)
    root, size, workers = Path(params.data.root), params.resize.size, params.compute.workers
    with whole_folder(paths.RESIZED) as folder:
        for name in ("train", "test", "masks"):
            (folder / name).mkdir()
        copies = [
            (tables.image_path(root, row), folder / row.set / f"{row.id}.png")
            for row in tables.image_rows(index)
        ]
        each(partial(images.resize_image_file, size=size), copies, workers=workers, doing="resize images")
        trained = index.loc[index["set"] == "train", "id"]
        copies = [(paths.MASKS / f"{name}.png", folder / "masks" / f"{name}.png") for name in trained]
        each(partial(images.resize_mask_file, size=size), copies, workers=workers, doing="resize masks")


if __name__ == "__main__":
    run(main)
