"""A project as training leaves it, with random networks: made in a moment."""

from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from ftu.files import png
from ftu.networks.common import devices, saved
from ftu.networks.encoder_decoder.segmenter import build_segmenter
from imports import ROOT

ARCHITECTURE = {"encoder": "resnet18", "decoder": "unet", "width": 16, "fuse": "conv1x1", "size": 32}


def write_project(folder: Path) -> None:
    """Parameters, two folds' models, and for each organ a resized image of one grey level in each set."""
    yaml = YAML(typ="safe")
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["resize"]["side"] = ARCHITECTURE["size"]
    params["split"] |= {"count": 2, "run": [0, 1]}
    params["predict"]["threads"] = 1
    yaml.dump(params, folder / "params.yaml")
    for fold in (0, 1):
        devices.fix_randomness(fold, threads=1)
        place = folder / "models" / f"fold_{fold}"
        place.mkdir(parents=True)
        model = build_segmenter(**ARCHITECTURE)
        first = {"source": "none", "licence": "none"}
        saved.save(place, model, model.state_dict(), ARCHITECTURE, {"encoder_weights": first})
    rows = []
    for number, organ in enumerate(params["data"]["organs"]):
        for part in ("train", "test"):
            rows.append([f"{part}{number}", part, organ, "HPA", 300, 300, 0.4])
            path = folder / "data" / "resized" / part / f"{part}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            png.write_image(path, np.full((32, 32, 3), 40 * number + 10 * (part == "test"), np.uint8))
    columns = ["id", "set", "organ", "data_source", "img_height", "img_width", "pixel_size"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "data" / "images.csv", index=False)


def change(project: Path, section: str, **values: object) -> None:
    """Change values of the project's params.yaml."""
    yaml = YAML(typ="safe")
    params = yaml.load((project / "params.yaml").read_text())
    params[section].update(values)
    yaml.dump(params, project / "params.yaml")
