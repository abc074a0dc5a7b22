"""Synthetic histology images with known functional tissue units (FTUs), for the embedded sample data set.

Tissue takes up two stains and light is absorbed by Beer-Lambert: OD = C·M, I = I0·exp(-OD), with
C (H, W, 2) the concentrations of the stains and M (2, 3) their unit vectors of absorption in R, G, B.
"""

from collections.abc import Callable

import numpy as np

from ftu.datasets.synthetic.shapes import Tissue, kidney, largeintestine, lung, prostate, spleen
from ftu.datasets.synthetic.texture import Field, below, cloud, field_of_view
from ftu.errors import InputError

ORGANS: dict[str, Callable[[Field, np.random.Generator], Tissue]] = {
    "kidney": kidney,
    "largeintestine": largeintestine,
    "lung": lung,
    "prostate": prostate,
    "spleen": spleen,
}


def _unit(*rows: tuple[float, float, float]) -> np.ndarray:
    vectors = np.array(rows)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# Hematoxylin first, then what stains the rest. DAB and PAS: Landini's Colour Deconvolution plugin, after
# Ruifrok and Johnston, Anal Quant Cytol Histol 23, 2001; hematoxylin and eosin: Macenko et al., ISBI 2009.
DAB = _unit((0.650, 0.704, 0.286), (0.268, 0.570, 0.776))
PAS = _unit((0.644, 0.717, 0.267), (0.175, 0.972, 0.155))
EOSIN = _unit((0.563, 0.720, 0.406), (0.216, 0.801, 0.558))
STAINS: dict[str, tuple[np.ndarray, ...]] = {"HPA": (DAB,), "Hubmap": (PAS, EOSIN)}

FIELD_UM = (400.0, 2500.0)  # the competition's images are about 1000 µm wide


def draw(
    organ: str, data_source: str, *, height: int, width: int, pixel_size: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An image, (H, W, 3) uint8 RGB, and its FTU mask, (H, W) uint8 of 0 and 1; pixel_size in µm."""
    _check(organ, data_source, min(height, width) * pixel_size, max(height, width) * pixel_size)
    field = field_of_view(height, width, pixel_size)
    tissue = ORGANS[organ](field, rng)
    present = _spot(field, rng) if data_source == "HPA" else np.ones((height, width))
    thickness = present * np.exp(0.15 * cloud(field, 300, rng))
    concentrations = np.stack([tissue.nuclear, tissue.counter], axis=-1) * thickness[..., None]
    stains = STAINS[data_source][rng.integers(len(STAINS[data_source]))]
    return _develop(concentrations, _batch(stains, rng), rng), (tissue.ftu & (present > 0.5)).astype(np.uint8)


def _check(organ: str, data_source: str, shorter: float, longer: float) -> None:
    for value, name, options in ((organ, "organ", ORGANS), (data_source, "data source", STAINS)):
        if value not in options:
            raise InputError(f"unknown {name} {value!r}; choose from {', '.join(options)}")
    if shorter < FIELD_UM[0] or longer > FIELD_UM[1]:
        raise InputError(
            f"the field of view is {shorter:.0f} to {longer:.0f} µm; choose a size and a pixel_size "
            f"whose products lie between {FIELD_UM[0]:.0f} and {FIELD_UM[1]:.0f} µm, best about 1000"
        )


def _spot(field: Field, rng: np.random.Generator) -> np.ndarray:
    """Where a round core of a tissue microarray lies, (H, W) from 0 to 1: white corners, over 80 % tissue."""
    height, width = field.extent
    dy, dx = field.y / height - rng.uniform(0.48, 0.52), field.x / width - rng.uniform(0.48, 0.52)
    radius, angle = rng.uniform(0.54, 0.58), np.arctan2(dy, dx)
    for frequency in (3, 5, 11):
        radius = radius + 0.006 * np.cos(frequency * angle + rng.uniform(0, 2 * np.pi))
    return below(np.hypot(dy, dx) - radius, 0, 0.01)


def _batch(stains: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The stain vectors as one laboratory's batch has them: turned a little, and of its own strengths."""
    turned = np.clip(stains + rng.normal(0, 0.03, stains.shape), 0.02, None)
    strengths = rng.uniform(0.7, 1.4) * rng.uniform(0.85, 1.15, (2, 1))
    return strengths * turned / np.linalg.norm(turned, axis=1, keepdims=True)


def _develop(concentrations: np.ndarray, stains: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph: light of the lamp's tint, absorbed, with the sensor's noise."""
    lamp = rng.uniform(238, 252, 3)
    light = lamp * np.exp(-(concentrations @ stains))
    return np.clip(np.round(light + rng.normal(0, 3, light.shape)), 0, 255).astype(np.uint8)
