"""A project with predictions that no network made: truths, smoothed, a bit differently by each fold."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ftu.datasets import competition
from ftu.files import folds, jsonfile, png, rle
from ftu.files.index import ImageRow, image_rows, read_index
from ftu.probabilities import fold_maps
from ftu.training.losses import schedules
from maps import write_probability

GRID = 32  # px, of the maps


def prepare(project, *, count: int = 2) -> None:
    """Tables and masks as decode and split would have made them of the data set in data/raw."""
    raw, data = project.folder / "data" / "raw", project.folder / "data"
    known = {"organs": project.params["data"]["organs"], "sources": project.params["data"]["sources"]}
    train, test = competition.read_both(raw, **known)
    index = pd.concat([train.drop(columns="rle"), test], ignore_index=True)
    index.to_csv(data / "images.csv", index=False)
    folds.assign_folds(train, by="image", count=count, seed=0).to_csv(data / "folds.csv", index=False)
    (data / "shifted").mkdir()
    (data / "shifted" / "shifted.csv").write_text(",".join(ImageRow._fields) + "\n")
    (data / "masks").mkdir()
    for row, text in zip(image_rows(train), train["rle"], strict=True):
        mask = rle.decode(text, height=row.img_height, width=row.img_width)
        png.write_mask(data / "masks" / f"{row.id}.png", mask)


def predict(
    folder: Path, *, run: Sequence[int] = (0, 1), sets: Sequence[str] = ("flips",), seed: int = 0
) -> None:
    """Maps of each fold that runs, and a model that says it made them."""
    index, table = (
        read_index(folder / "data" / "images.csv"),
        folds.read_folds(folder / "data" / "folds.csv"),
    )
    shifted = read_index(folder / "data" / "shifted" / "shifted.csv")
    test = index.loc[index["set"] == "test", "id"].tolist()
    rng = np.random.default_rng(seed)
    for fold in run:
        _, oof = folds.divide(table, fold)
        parts = {"oof": oof, "test": test, "shifted": [name for name in shifted["id"] if name in oof]}
        weights = hashlib.sha256(f"{seed} {fold}".encode()).hexdigest()
        made = folder / "data" / "predictions" / f"fold_{fold}"
        for part, ids in parts.items():
            for tta in sets:
                (made / part / tta).mkdir(parents=True)
                for name in ids:
                    path = fold_maps.map_path(made, part, tta, name)
                    write_probability(path, a_map(folder / "data" / "masks" / f"{name}.png", rng))
        jsonfile.write(made / fold_maps.FACTS, {"fold": fold, "sets": list(sets), "weights_sha256": weights})
        model = folder / "models" / f"fold_{fold}"
        model.mkdir(parents=True)
        jsonfile.write(model / "model.json", {"weights_sha256": weights, "checkpoint": "last"})
        history().to_csv(model / "history.csv", index=False)


def a_map(mask: Path, rng: np.random.Generator) -> np.ndarray:
    """The mask, small and smooth and noisy; of an image without one, a blob somewhere."""
    truth = np.zeros((GRID, GRID), np.uint8)
    if mask.exists():
        truth = cv2.resize(png.read_mask(mask), (GRID, GRID), interpolation=cv2.INTER_AREA)
    else:
        cv2.circle(truth, rng.integers(8, 24, 2).tolist(), 6, 1, -1)
    smooth = cv2.GaussianBlur(truth.astype(np.float32), (5, 5), 0)
    return np.clip(0.9 * smooth + rng.uniform(0, 0.1, smooth.shape), 0, 1).astype(np.float32)


def history() -> pd.DataFrame:
    """Two epochs of a training's history."""
    names = ["train_main", "valid_main", "valid_dice", *(f"gradient_{block}" for block in (1, 2, 3, 4))]
    rows = {name: [1.0, 0.5] for name in names} | {
        f"train_{term}": [np.nan] * 2 for term in schedules.AUX_TERMS
    }
    return pd.DataFrame({"epoch": [0, 1], "active_block": [0, 0], **rows, "ema_dice": [np.nan] * 2})
