"""The embedded sample: synthetic images in the competition's layout, a function of the seed alone."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu.datasets import image_files, synthetic
from ftu.files import csvfile, rle

NOTICE = """# Synthetic images

These images were drawn by a program (src/ftu/datasets/synthetic.py). They show no tissue, come from no
patient, and carry no medical meaning. They follow the layout of the Kaggle competition "HuBMAP + HPA -
Hacking the Human Body", so that the pipeline can be run and tested without its data.
"""

SIDES = (288, 320, 352, 384)  # px


def write_sample(folder: Path, *, train: int, test: int, seed: int) -> None:
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
    (folder / "SYNTHETIC.md").write_text(NOTICE, encoding="utf-8")


def _write_image(folder: Path, name: str, turn: int, source: str, rng: np.random.Generator) -> dict:
    """Draw one image, write its TIFF, and return its row of train.csv."""
    organ = list(synthetic.ORGANS)[turn % len(synthetic.ORGANS)]
    height = int(rng.choice(SIDES))
    width = height if source == "HPA" else int(rng.choice(SIDES))  # HPA images are square
    pixel_size = round(
        float(rng.uniform(900, 1050)) / max(height, width), 4
    )  # about 1 mm wide, as the real ones
    image, mask = synthetic.draw(organ, source, height=height, width=width, pixel_size=pixel_size, rng=rng)
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
