"""Odd processes for process.yaml: what hangs, eats memory, or ends in a traceback by the environment."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import safetensors.torch
import tables
import timm
import torch
from tables import changed, named, no_file, organ, parameters, saved  # noqa: F401  # process.yaml names them

from ftu.datasets import image_files

TRAIN, PREDICT, CHECK = ["train --fold 1"], ["predict --fold 1"], tables.CHECK
RUN = [*tables.RUN[:2], "normalize", *tables.RUN[2:], *TRAIN]
SHOWN = ["decode", "submit", *CHECK]  # a stage that prints nothing, one that does, and a tool
ENCODER = "tu-mobilenetv3_small_050"


def project(folder: Path) -> None:
    """That of tables.py, whose other fold is trained for real, as little as can be."""
    tables.project(folder)
    small = {"epochs": 2, "switch_epoch": 1, "batch_size": 2, "threads": 1, "model.width": 16}
    parameters(folder, **{f"train.{key}": value for key, value in small.items()})
    parameters(folder, **{"train.model.encoder": ENCODER, "predict.threads": 1})


def first(folder: Path, files: str) -> Path:
    """The first of the files that a glob names."""
    return sorted(folder.glob(files))[0]


def no_image(folder: Path, files: str, kind: str) -> None:
    """A pipe, a device, a folder, a socket or a hole in place of the first of these files."""
    no_file(folder, str(first(folder, files).relative_to(folder)), kind)


def half(folder: Path, files: str, **values: Any) -> None:
    """The first half of the first of these files, and other parameters."""
    path = first(folder, files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    parameters(folder, **values)


def place(folder: Path, name: str, kind: str) -> None:
    """Something else where a folder should be: a file, a link to nowhere, a link to itself."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.touch()
    else:
        path.symlink_to("nowhere/at/all" if kind == "nowhere" else path.name)


def nodata(folder: Path) -> None:
    """A TIFF with a value for no data, which is copied before it is read."""
    path = first(folder, "data/raw/train_images/*")
    image = image_files.read_image(path)
    form = {"driver": "GTiff", "height": image.shape[0], "width": image.shape[1], "count": 3}
    with rasterio.open(path, "w", **form, dtype="uint8", photometric="RGB", nodata=0) as out:
        out.write(np.moveaxis(image, -1, 0))


def letters(folder: Path) -> None:
    """A data set in a folder whose name has other letters."""
    (folder / "data/raw").rename(folder / "data/größe")
    parameters(folder, **{"data.root": "data/größe"})


def fault(folder: Path) -> None:
    """A stage with a fault of the program."""
    words = "from ftu.pipeline.stage import run\ndef main():\n    return {}['x']\nrun(main)\n"
    (folder / "fault.py").write_text(words, encoding="utf-8")


def weights(folder: Path, kind: str) -> None:
    """A file of first weights that is none."""
    path = folder / "w.pt"
    table: dict[str, Any] = {}
    if kind == "itself":
        table["state_dict"] = table
        torch.save(table, path)
    elif kind == "levels":
        for _ in range(400):
            table = {"model": table}
        torch.save(table, path)
    elif kind == "a page":
        path.write_text("<html>proxy</html>", encoding="utf-8")
    else:
        no_file(folder, path.name, kind)
    parameters(folder, **{"train.weights": path.name})


def hub(folder: Path, kind: str) -> None:
    """What the hub has left on this machine: half of a file, a proxy's page, a pipe, or nothing."""
    name = ENCODER.removeprefix("tu-")
    facts: Any = timm.get_pretrained_cfg(name)
    place, revision = folder / "hub" / f"models--{facts.hf_hub_id.replace('/', '--')}", "0" * 40
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text(revision, encoding="utf-8")
    file = place / "snapshots" / revision / "model.safetensors"
    file.parent.mkdir(parents=True)
    if kind == "half":
        whole = safetensors.torch.save(timm.create_model(name).state_dict())
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "a page":
        file.write_text("<html>proxy</html>", encoding="utf-8")
    elif kind != "nothing":
        no_file(folder, str(file.relative_to(folder)), kind)
    parameters(folder, **{"train.weights": "imagenet"})


def member(folder: Path, file: str, kind: str) -> None:
    """Another project in the ensemble, and no file in it."""
    other = folder / "other"
    other.mkdir()
    for name in ("params.yaml", "data", "models"):
        os.symlink(folder / name, other / name)
    (other / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    parameters(folder, **{"ensemble.members": [{"name": "other", "weight": 1.0}]})
    (other / file).unlink()
    no_file(other, file, kind)
