"""A project as training leaves it, with random networks: made in a moment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from ftu.files import png
from ftu.files.index import image_rows, read_index
from ftu.masks import rules
from ftu.networks.common import build, devices, saved
from ftu.pipeline.params import load_params
from ftu.preprocessing import resize
from imports import ROOT

ARCHITECTURE = {"encoder": "resnet18", "decoder": "unet", "width": 16, "fuse": "conv1x1", "size": 32}


def write_project(folder: Path, architecture: Mapping[str, Any] = ARCHITECTURE) -> None:
    """Parameters, two folds' models, and for each organ a resized image of one grey level in each set."""
    yaml = YAML(typ="safe")
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["resize"]["side"] = architecture["size"]
    params["split"] |= {"count": 2, "run": [0, 1]}
    params["predict"]["threads"] = 1
    yaml.dump(params, folder / "params.yaml")
    for fold in (0, 1):
        devices.fix_randomness(fold, threads=1)
        place = folder / "models" / f"fold_{fold}"
        place.mkdir(parents=True)
        model = build.build(architecture)
        first = {"source": "none", "licence": "none"}
        saved.save(place, model, model.state_dict(), dict(architecture), {"encoder_weights": first})
    rows = []
    for number, organ in enumerate(params["data"]["organs"]):
        for part in ("train", "test"):
            rows.append([f"{part}{number}", part, organ, "HPA", 300, 300, 0.4])
            path = folder / "data" / "resized" / part / f"{part}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            png.write_image(path, np.full((32, 32, 3), 40 * number + 10 * (part == "test"), np.uint8))
    columns = ["id", "set", "organ", "data_source", "img_height", "img_width", "pixel_size"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "data" / "images.csv", index=False)


def write_rules(project: Path) -> None:
    """data/rules.json and reports/geometry.csv, as calibrate and resize leave them."""
    params = load_params(project / "params.yaml")
    table = rules.from_thresholds(params.thresholds, smallest_object=40, largest_hole=9, foreground={})
    rules.write(project / "data/rules.json", rules.Rules("flips", 1.0, {}, "table", table, {}))
    rows = image_rows(read_index(project / "data/images.csv"))
    (project / "reports").mkdir()
    geometry = resize.scale_table(rows, **params.resize.model_dump())
    geometry.to_csv(project / "reports/geometry.csv", index=False)


def change(project: Path, section: str, **values: object) -> None:
    """Change values of the project's params.yaml."""
    yaml = YAML(typ="safe")
    params = yaml.load((project / "params.yaml").read_text())
    params[section].update(values)
    yaml.dump(params, project / "params.yaml")
