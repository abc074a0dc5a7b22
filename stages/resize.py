"""Bring images and masks to the size that the network sees."""

from functools import partial
from pathlib import Path

from ftu.cache import per_image
from ftu.files.index import image_file, image_rows, read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_file, whole_folder
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn
from ftu.pipeline.workers.pool import Pool
from ftu.preprocessing import resize


def main() -> str:
    params = load_params(paths.PARAMS)
    rows = image_rows(read_index(paths.IMAGES))
    root, settings = Path(params.data.root), params.resize.model_dump()
    pool, keep = Pool(**params.compute.model_dump()), per_image.keeper(paths.items())
    shapes = {
        row.id: resize.network_shape(row.img_height, row.img_width, row.pixel_size, **settings)
        for row in rows
    }
    with whole_folder(paths.RESIZED) as folder:
        for name in ("train", "test", "masks"):
            (folder / name).mkdir()
        sources = [image_file(root, row) for row in rows]
        targets = [folder / row.set / f"{row.id}.png" for row in rows]
        sizes = [shapes[row.id] for row in rows]
        images = keep(resize.resize_image_file, reads=1, writes=1)
        done = pool.each(images, sources, targets, sizes, doing="resize images")
        ids = [row.id for row in rows if row.set == "train"]
        sources = [paths.MASKS / f"{name}.png" for name in ids]
        targets = [folder / "masks" / f"{name}.png" for name in ids]
        sizes = [shapes[name] for name in ids]
        classes = len(params.data.classes)
        masks = keep(partial(resize.resize_mask_file, classes=classes), reads=1, writes=1)
        done += pool.each(masks, sources, targets, sizes, doing="resize masks")
        scales = resize.scale_table(rows, **settings)
        with whole_file(paths.GEOMETRY) as path:
            scales.to_csv(path, index=False)
    for sentence in resize.scale_warnings(scales):
        warn(sentence)
    warn(per_image.warning(done))
    return f"{len(rows)} images and {len(ids)} masks, {per_image.count(done)}"


if __name__ == "__main__":
    run(main)
