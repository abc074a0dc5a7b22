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
        rows = tables.image_rows(index)
        sources = [tables.image_path(root, row) for row in rows]
        targets = [folder / row.set / f"{row.id}.png" for row in rows]
        resize = partial(images.resize_image_file, size=size)
        each(resize, sources, targets, workers=workers, doing="resize images")
        names = [f"{row.id}.png" for row in rows if row.set == "train"]
        sources, targets = [paths.MASKS / name for name in names], [folder / "masks" / name for name in names]
        resize = partial(images.resize_mask_file, size=size)
        each(resize, sources, targets, workers=workers, doing="resize masks")


if __name__ == "__main__":
    run(main)
