"""Probability maps of which the best threshold is known, and a project that predicted them."""

from pathlib import Path

import numpy as np
import pandas as pd

from ftu.files import jsonfile
from ftu.files.png import write_mask
from maps import write_probability

SIDE, PIXEL_SIZE = 64, 2.0
LEVEL = 0.3  # the threshold whose outline is the truth's


def disc(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A truth, (SIDE, SIDE) uint8, and a map that equals LEVEL on its outline."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    middle, radius = rng.uniform(20, 44, 2), rng.uniform(8, 14)
    inside = radius - np.hypot(rows - middle[0], columns - middle[1])  # px
    return (inside > 0).astype(np.uint8), np.clip(LEVEL + inside / 30, 0, 1).astype(np.float32)


def write_map(path: Path, probability: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_probability(path, probability)


def write_project(folder: Path, counts: dict[str, int], *, folds: int, noise: float = 0.0) -> pd.DataFrame:
    """HPA images of each organ, dealt to folds, with masks and maps of flips; returns their table."""
    rng, data, rows = np.random.default_rng(0), folder / "data", []
    (data / "masks").mkdir(parents=True)
    for organ, count in counts.items():
        for number in range(count):
            name, fold = f"{organ}{number}", number % folds
            truth, probability = disc(rng)
            write_mask(data / "masks" / f"{name}.png", truth)
            worse = np.clip(probability + noise * rng.normal(size=truth.shape), 0, 1)
            write_map(data / "predictions" / f"fold_{fold}" / "oof" / "flips" / f"{name}.tif", worse)
            write_map(data / "clean" / f"fold_{fold}" / "oof" / "flips" / f"{name}.tif", probability)
            rows.append((name, "train", organ, "HPA", SIDE, SIDE, PIXEL_SIZE, fold))
    table = pd.DataFrame(rows, columns=["id", "set", "organ", "data_source", "img_height", "img_width",
                                        "pixel_size", "fold"])  # fmt: skip
    table.drop(columns="fold").to_csv(data / "images.csv", index=False)
    table[["id", "organ", "fold"]].to_csv(data / "folds.csv", index=False)
    for fold in range(folds):
        made_by = {"weights_sha256": f"of {fold}", "sets": ["flips"], "checkpoint": "last"}
        jsonfile.write(data / "predictions" / f"fold_{fold}" / "prediction.json", made_by)
        (folder / "models" / f"fold_{fold}").mkdir(parents=True)
        jsonfile.write(folder / "models" / f"fold_{fold}" / "model.json", made_by)
    (data / "members").mkdir()
    jsonfile.write(data / "members" / "members.json", {"members": {}})
    return table
