"""Textures and outlines that synthetic tissue is made of.

Lengths are in µm, so that a structure keeps its size whatever the pixel size. Shapes: H height, W width.
rho is the distance from the centre of a closed outline in units of that outline: 0 at the centre, 1 on it.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Field(NamedTuple):
    """The field of view: coordinates of each pixel in µm, (H, W) float32."""

    y: np.ndarray
    x: np.ndarray
    pixel_size: float

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width in µm."""
        height, width = self.y.shape
        return height * self.pixel_size, width * self.pixel_size


def field_of_view(height: int, width: int, pixel_size: float) -> Field:
    y, x = np.mgrid[:height, :width].astype(np.float32) * np.float32(pixel_size)
    return Field(y, x, pixel_size)


def cloud(field: Field, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with features of about `scale` µm, mean 0 and standard deviation about 1."""
    height, width = field.y.shape
    rows, columns = (round(length / scale) + 4 for length in field.extent)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(1.3)


def fibres(field: Field, thickness: float, rng: np.random.Generator) -> np.ndarray:
    """Wavy strands of about `thickness` µm that run one way, 0 to 1."""
    angle = rng.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across = field.x * cosine + field.y * sine + 30 * cloud(field, 200, rng)
    along = field.y * cosine - field.x * sine
    strands = rng.random((64, 256)).astype(np.float32)
    where = across / np.float32(thickness), along / np.float32(8 * thickness)
    return cv2.remap(strands, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def cells(field: Field, size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Irregular cells about `size` µm wide: distance to the cell's centre, to its border, its random tone."""
    rows, columns = (int(length / size) + 3 for length in field.extent)
    seeds = np.mgrid[-1 : rows - 1, -1 : columns - 1] + rng.uniform(0.1, 0.9, (2, rows, columns))
    seed_y, seed_x = (seeds * size).astype(np.float32)
    tones = rng.random((rows, columns)).astype(np.float32)
    row, column = (field.y / size).astype(np.intp), (field.x / size).astype(np.intp)
    nearest = np.full(field.y.shape, np.inf, np.float32)
    second, tone = nearest, nearest
    for at in ((row + i, column + j) for i in range(3) for j in range(3)):
        away = np.hypot(seed_y[at] - field.y, seed_x[at] - field.x)
        tone = np.where(away < nearest, tones[at], tone)
        second = np.minimum(second, np.maximum(nearest, away))
        nearest = np.minimum(nearest, away)
    return nearest, (second - nearest) / 2, tone


def scatter(
    field: Field, ftus: tuple[int, int], vessels: int, gap: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) in µm of FTUs, first to be placed, and of vessels, as far as they fit `gap` apart."""
    count = int(rng.integers(*ftus, endpoint=True))
    chosen: list[np.ndarray] = []
    for candidate in rng.uniform(0.12, 0.88, (300, 2)) * field.extent:
        if len(chosen) < count + vessels and all(np.hypot(*(candidate - one)) >= gap for one in chosen):
            chosen.append(candidate)
    return np.array(chosen[:count]), np.array(chosen[count:]).reshape(-1, 2)


def outlines(
    field: Field,
    centres: np.ndarray,
    radii: tuple[float, float],
    lobes: dict[int, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """rho of the nearest of several closed outlines; `lobes`: angular frequency -> largest amplitude."""
    rho = np.full(field.y.shape, np.inf, np.float32)
    for centre in centres.astype(np.float32):
        radius = rng.uniform(*radii)
        corners = np.array([centre - 1.6 * radius, centre + 1.6 * radius]) / field.pixel_size
        box = tuple(slice(low, high) for low, high in corners.clip(0).astype(int).T)
        dy, dx = field.y[box] - centre[0], field.x[box] - centre[1]
        angle = np.arctan2(dy, dx)
        outline = np.full_like(angle, radius)
        for frequency, amplitude in lobes.items():
            swing, phase = rng.uniform(0.4, 1.0) * amplitude, rng.uniform(0, 2 * np.pi)
            outline *= 1 + np.float32(swing) * np.cos(frequency * angle + np.float32(phase))
        rho[box] = np.minimum(rho[box], np.hypot(dy, dx) / outline)
    return rho


def below(values: np.ndarray, bound: float | np.ndarray, soft: float = 0.05) -> np.ndarray:
    """1 where values are under the bound, 0 above, with a step `soft` wide between."""
    return np.clip((bound - values) / soft + 0.5, 0, 1)


def between(values: np.ndarray, low: float, high: float, soft: float = 0.05) -> np.ndarray:
    return below(values, high, soft) * (1 - below(values, low, soft))


def blend(base: np.ndarray, value: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    return base + share * (value - base)
