"""Slides that are drawn, and a model that knows what is on them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from ftu.files import tiff
from ftu.masks import rules
from ftu.networks.common.contract import Features, pad_to_stride
from ftu.pipeline.params import load_params
from ftu.prediction.one_image import Trained
from ftu.preprocessing import normalization, resize
from ftu_tools.segment import plan
from ftu_tools.trained.model import Model
from imports import ROOT

GLASS, TISSUE, DISC = (240, 241, 239), (200, 120, 170), (90, 40, 120)
HALF = (TISSUE[1] + DISC[1]) / 2 / 255  # the green of a pixel that a disc covers half of
Discs = Sequence[tuple[float, float, float]]  # x, y of the centre, radius; px


def drawn(height: int, width: int, discs: Discs, margin: float = 0.1) -> np.ndarray:
    """(height, width, 3) uint8: discs on tissue, around which a share of each side is glass."""
    image = np.full((height, width, 3), GLASS, np.uint8)
    top, left = round(height * margin), round(width * margin)
    image[top : height - top, left : width - left] = TISSUE
    y, x = np.mgrid[:height, :width] + 0.5
    for across, down, radius in discs:
        image[(x - across) ** 2 + (y - down) ** 2 < radius**2] = DISC
    return image


def smaller(image: np.ndarray, times: int) -> np.ndarray:
    """A copy whose pixels are the means of squares of `times` px."""
    height, width, _ = image.shape
    return cv2.resize(image, (width // times, height // times), interpolation=cv2.INTER_AREA)


def write_ome(path: Path, image: np.ndarray, um: float | None, *, levels: int = 3, **facts: Any) -> Path:
    """A tiled OME-TIFF whose smaller copies are SubIFDs, as bioformats2raw and QuPath write it."""
    size = {"axes": "YXS"} | facts
    if um:
        size |= {"PhysicalSizeX": um, "PhysicalSizeY": um} | facts
    with tifffile.TiffWriter(path, ome=True) as file:
        for number in range(levels):
            file.write(
                smaller(image, 2**number),
                photometric="rgb",
                tile=(64, 64),
                subifds=None if number else levels - 1,
                subfiletype=1 if number else 0,
                metadata=None if number else size,
            )
    return path


def spoil_tile(path: Path, number: int = 8) -> None:
    """Let a tile of the first level lie behind the end of its file."""
    with path.open("r+b") as file:
        content = file.read()
        places = next(tiff.pages(io.BytesIO(content)))[tiff.PLACES[1]].astype("<u4")
        file.seek(content.index(places.tobytes()) + 4 * number)
        file.write((len(content) + 1000).to_bytes(4, "little"))


def write_svs(path: Path, image: np.ndarray, mpp: str, times: Sequence[int] = (4,)) -> Path:
    """A slide as Aperio's scanners lay it out: the image, a thumbnail, smaller copies, a photograph of the
    glass."""
    height, width, _ = image.shape
    told = (
        f"Aperio Image Library v11\r\n{width}x{height} [0,0 {width}x{height}] (64x64)|AppMag = 20|MPP = {mpp}"
    )
    with tifffile.TiffWriter(path) as file:

        def write(pixels: np.ndarray, description: str, **kind: Any) -> None:
            file.write(
                np.ascontiguousarray(pixels),
                photometric="rgb",
                description=description,
                metadata=None,
                **kind,
            )

        write(image, told, tile=(64, 64))
        write(image[::3, ::3], "Aperio thumbnail", rowsperstrip=16)
        for each in times:
            write(smaller(image, each), f"{told} -> {width // each}x{height // each}", tile=(64, 64))
        write(image[::5, ::5], "Aperio macro", subfiletype=9, rowsperstrip=16)
    return path


class Dark(nn.Module):
    """A network that says of a pixel by its green alone, or its grey, how much of it a disc covers.

    Of several classes the others are nowhere.
    """

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = Whole(), First(), Green(classes)
        self.outputs = 1 if classes == 1 else classes + 1


class Whole(nn.Module):
    stride = 32

    def pad(self, images: Tensor) -> Tensor:
        return pad_to_stride(images, self.stride)

    def forward(self, images: Tensor) -> Features:
        return Features([images], [], [])


class First(nn.Module):
    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0]


class Green(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        green = images[:, min(1, images.shape[1] - 1), None]  # or grey
        logit = 60 * (HALF - green)
        if self.classes == 1:
            return logit
        absent = torch.full_like(logit, -60).repeat(1, self.classes - 1, 1, 1)
        return torch.cat([torch.zeros_like(logit), logit, absent], dim=1)


def dark_model(
    folder: Path, *, um: float = 2.0, side: int = 64, base: str = "params.yaml", **sections: dict[str, Any]
) -> Model:
    """A model that finds discs, the first of its classes, at `um` um per px, in windows of `side` px.

    `sections` change the parameters of `base`.
    """
    yaml = YAML(typ="safe")
    values = yaml.load((ROOT / base).read_text(encoding="utf-8"))
    changes: dict[str, dict[str, Any]] = {
        "resize": {"mode": "microns", "microns": um},
        "stain": {"backend": "none"},
        "predict": {"tta": "none", "threads": 1, "batch_size": 3},
    }
    for section, change in {**changes, **sections}.items():
        values[section] |= change
    folder.mkdir(exist_ok=True)
    yaml.dump(values, folder / "params.yaml")
    params = load_params(folder / "params.yaml")
    channels = params.data.channels
    facts = {"architecture": {"encoder": "resnet18", "size": side}}
    facts |= {"mean": [0.0] * channels, "std": [1.0] * channels}
    classes = params.data.classes
    known = _rules(params, classes)
    trained = Trained(
        "own",
        1.0,
        lambda *of: resize.network_shape(*of, **params.resize.model_dump()),
        normalization.prepare("none", lambda: np.empty(0), seed=0, most_gain=3),
        {0: (Dark(len(classes)), facts)},  # pyright: ignore[reportArgumentType] # what of it is used is there
        params.predict.scales,
        params.predict.window.model_dump(),
        params.predict.batch_size,
        params.predict.threads,
        params.predict.precision,
    )
    return Model(params, known, trained, None, "cpu", "dark")


def _rules(params, classes) -> rules.Rules:
    sizes = {"smallest_object": params.postprocess.smallest_object}
    sizes["largest_hole"] = params.postprocess.largest_hole
    if len(classes) > 1:
        table = rules.of_classes(classes, params.data.sources, params.data.organs, **sizes)
        return rules.Rules("none", 1.0, {}, "argmax", {}, {}, tuple(classes), table)
    table = rules.from_thresholds(params.thresholds, foreground={}, **sizes)
    return rules.Rules("none", 1.0, {}, "table", table, {})


def use(monkeypatch, model: Model, scale: float = np.nan) -> None:
    """Let segmenting take this model, which learnt at `scale`, whatever model it is asked for."""
    monkeypatch.setattr(plan, "loaded", lambda *_: (model, lambda _organ: scale))


def options(out: Path, **changes: Any) -> plan.Options:
    return plan.Options(model="", organ="kidney", source="HPA", out=out, quiet=True)._replace(**changes)
