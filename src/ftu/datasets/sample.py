"""The embedded samples: synthetic images, a function of the kind, the seed and the numbers of images alone.

histology: five organs in the competition's layout. cells: two volumes of grey slices with three classes, in
folders.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu.datasets import image_files
from ftu.datasets.synthetic import cells, histology
from ftu.files import csvfile, png, rle

HISTOLOGY = """# Synthetic images

These images were drawn by a program (src/ftu/datasets/synthetic/histology.py). They show no tissue, come
from no patient, and carry no medical meaning. They follow the layout of the Kaggle competition "HuBMAP +
HPA - Hacking the Human Body", so that the pipeline can be run and tested without its data.
"""

CELLS = """# Synthetic images

These images were drawn by a program (src/ftu/datasets/synthetic/cells.py). They show no tissue, come from no
animal, and carry no scientific meaning. Two volumes, a and b, of consecutive slices, as an electron
microscope would take them. Masks: 0 background, 1 membrane, 2 mitochondrion, 3 vesicle.
"""

SIDES = (288, 320, 352, 384)  # px
SLICE = (160, 192)  # height and width in px


def write_histology(folder: Path, *, train: int, test: int, seed: int) -> None:
    """Write the tables, train_images/, test_images/ and SYNTHETIC.md to `folder`.

    Training images are all HPA; every second test image is Hubmap. Organs take turns.
    """
    rng = np.random.default_rng(seed)
    ids = [str(number) for number in rng.choice(np.arange(10_000, 33_000), train + test, replace=False)]
    due = [(folder / "train_images", name, turn, "HPA") for turn, name in enumerate(ids[:train])]
    sources = ("HPA", "Hubmap")
    due += [(folder / "test_images", name, turn, sources[turn % 2]) for turn, name in enumerate(ids[train:])]
    rows = [_write_image(*one, rng) for one in tqdm(due, desc="draw", disable=None)]
    people = pd.DataFrame({"age": rng.integers(20, 85, train), "sex": rng.choice(["Male", "Female"], train)})
    pd.concat([pd.DataFrame(rows[:train]), people], axis=1).to_csv(folder / "train.csv", index=False)
    table = pd.DataFrame(rows[train:]).drop(columns="rle")
    table.to_csv(folder / "test.csv", index=False)
    table[["id"]].assign(rle="1 1").to_csv(folder / "sample_submission.csv", index=False)
    (folder / "SYNTHETIC.md").write_text(HISTOLOGY, encoding="utf-8")


def write_cells(folder: Path, *, train: int, test: int, seed: int) -> None:
    """Write {train,test}/{images,masks}/ and SYNTHETIC.md to `folder`: slices of two volumes, as a_z007.png.

    The test slices of a volume follow on its training slices. Volume a has the odd one of either.
    """
    rng = np.random.default_rng(seed)
    for part, kind in product(("train", "test"), ("images", "masks")):
        (folder / part / kind).mkdir(parents=True)
    for turn, volume in enumerate(tqdm("ab", desc="draw", disable=None)):
        trained, tested = ((count + 1 - turn) // 2 for count in (train, test))
        drawn = cells.draw(trained + tested, height=SLICE[0], width=SLICE[1], rng=rng)
        for z, (image, mask) in enumerate(zip(*drawn, strict=True)):
            place, name = folder / ("train" if z < trained else "test"), f"{volume}_z{z:03}.png"
            png.write_image(place / "images" / name, image[..., None])
            png.write_mask(place / "masks" / name, mask, cells.CLASSES)
    (folder / "SYNTHETIC.md").write_text(CELLS, encoding="utf-8")


SAMPLES: dict[str, Callable[..., None]] = {"histology": write_histology, "cells": write_cells}
LARGEST = {  # image of a kind: height and width in px, um per px
    "histology": (max(SIDES), max(SIDES), 1000 / max(SIDES)),
    "cells": (*SLICE, cells.SPACING[-1] / 1000),
}


def _write_image(folder: Path, name: str, turn: int, source: str, rng: np.random.Generator) -> dict:
    """Draw one image, write its TIFF, and return its row of train.csv."""
    organ = list(histology.ORGANS)[turn % len(histology.ORGANS)]
    height = int(rng.choice(SIDES))
    width = height if source == "HPA" else int(rng.choice(SIDES))  # HPA images are square
    pixel_size = round(
        float(rng.uniform(900, 1050)) / max(height, width), 4
    )  # about 1 mm wide, as the real ones
    image, mask = histology.draw(organ, source, height=height, width=width, pixel_size=pixel_size, rng=rng)
    folder.mkdir(exist_ok=True)
    image_files.write_tiff(folder / f"{name}.tiff", image)
    return {
        "id": name,
        "organ": organ,
        "data_source": source,
        "img_height": height,
        "img_width": width,
        "pixel_size": pixel_size,
        "tissue_thickness": 4 if source == "HPA" else int(rng.integers(4, 11)),
        "rle": csvfile.whole(rle.encode(mask)),
    }
