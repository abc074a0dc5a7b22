"""Synthetic electron micrographs of nerve tissue, for the second embedded sample: blocks cut into slices.

Cells, mitochondria and vesicles are solids in a block, and a slice is a plane through them, so that slices
continue each other. Grey tells little: of each class some is as dark, and some as bright, as what has none.
Shapes: D slices, H height, W width. Lengths are in nm, places (D, H, W, 3) in the order z, y, x; a distance
is from the nearest centre, a depth from the surface of a solid, positive inside. Greys are 0, black, to 1.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from ftu.datasets.synthetic.texture import below, between, blend

MEMBRANE, MITOCHONDRION, VESICLE = 1, 2, 3  # in a mask; 0 is the rest
CLASSES = 3
SPACING = np.array([24.0, 6.0, 6.0])  # from slice to slice, and from pixel to pixel

CELL = 220  # from cell to cell, across
HALF_WALL = 13  # half of what the membranes of two neighbours and the cleft between them take
VESICLE_RADIUS, GRANULE_RADIUS, ENDOSOME_RADIUS = 25, 17, 48
BOUTON = np.array([55.0, 170.0, 170.0])  # half the extent of a crowd of vesicles
PERIOD = 8  # slices from a layer of boutons to the next; the slice half-way between has no vesicle


class Tissue(NamedTuple):
    """What lies where in a block, each (D, H, W)."""

    cell: np.ndarray  # its number
    border: np.ndarray  # depth in the cell
    mitochondrion: np.ndarray  # depth
    endosome: np.ndarray  # distances
    vesicle: np.ndarray
    granule: np.ndarray


def draw(slices: int, *, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images, (D, H, W) uint8 grey, and masks, (D, H, W) uint8 of 0 to 3, of the slices of a block."""
    places = np.moveaxis(np.indices((slices, height, width)), 0, -1) * SPACING
    tissue = _tissue(places, rng)
    return _photographed(_greys(places, tissue, rng), rng), _labels(tissue)


def _tissue(places: np.ndarray, rng: np.random.Generator) -> Tissue:
    """What the cells hold: nothing overlaps, and vesicles lie in boutons."""
    cell, border = _cells(places, rng)
    mitochondrion = _mitochondria(places, cell, border, rng)
    room = np.minimum(border - HALF_WALL, -mitochondrion)
    endosome = _to_nearest(places, _scattered(places, room > ENDOSOME_RADIUS + 5, 250, rng))
    room = np.minimum(room, endosome - ENDOSOME_RADIUS)
    crowded = (room > VESICLE_RADIUS + 4) & _boutons(places, rng)
    vesicle = _to_nearest(places, _scattered(places, crowded, 2 * VESICLE_RADIUS + 3, rng))
    room = np.minimum(room, vesicle - VESICLE_RADIUS)
    granule = _to_nearest(places, _scattered(places, room > GRANULE_RADIUS + 4, 110, rng))
    return Tissue(cell, border, mitochondrion, endosome, vesicle, granule)


def _cells(places: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each place, and the depth there: the winding axons of a slanting bundle."""
    winding = 45 * np.stack([_cloud(places.shape[:-1], 200, rng) for _ in range(2)], axis=-1)
    across = places[..., 1:] + rng.uniform(-0.4, 0.4, 2) * places[..., :1] + winding
    low, high = across.min(axis=(0, 1, 2)) - 2 * CELL, across.max(axis=(0, 1, 2)) + 2 * CELL
    corners = np.indices(np.ceil((high - low) / CELL).astype(int)).reshape(2, -1).T
    centres = low + CELL * (corners + rng.uniform(0, 1, corners.shape))
    centres = centres[rng.random(len(centres)) < 0.8]  # so that some cells are large
    away, nearest = map(np.asarray, KDTree(centres).query(across, k=2))
    apart = np.linalg.norm(centres[nearest[..., 1]] - centres[nearest[..., 0]], axis=-1)
    return nearest[..., 0], (away[..., 1] ** 2 - away[..., 0] ** 2) / (2 * apart)


def _mitochondria(
    places: np.ndarray, cell: np.ndarray, border: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The depth in mitochondria: bent ellipsoids of any direction that shun the border of their cell."""
    bent = places + 22 * np.stack([_cloud(border.shape, 130, rng) for _ in range(3)], axis=-1)
    deepest = np.full(border.shape, -1e3)
    for centre in _scattered(places, border > 75, 300, rng):
        axis = rng.standard_normal(3)
        axis /= np.linalg.norm(axis)
        radius, stretch = rng.uniform(80, 125), rng.uniform(1.3, 2.8)
        z, y, x = np.round(centre / SPACING).astype(int)
        own = cell == cell[z, y, x]
        away = bent[own] - centre
        along = away @ axis
        across = np.linalg.norm(away - along[:, None] * axis, axis=1)
        depth = radius - np.hypot(across, along / stretch)
        depth = -15 * np.logaddexp(-depth / 15, (HALF_WALL + 4 - border[own]) / 15)  # a round minimum
        deepest[own] = np.maximum(deepest[own], depth)
    return deepest


def _boutons(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where vesicles may crowd, (D, H, W) bool: layer behind layer."""
    depth, *extent = places.max(axis=(0, 1, 2))
    layers = SPACING[0] * np.arange(PERIOD / 2, depth / SPACING[0] + PERIOD, PERIOD)
    centres = np.array([(layer, *rng.uniform(0, extent)) for layer in layers for _ in range(7)])
    return _to_nearest(places / BOUTON, centres / BOUTON) < 1


def _scattered(places: np.ndarray, allowed: np.ndarray, gap: float, rng: np.random.Generator) -> np.ndarray:
    """Centres (n, 3) near allowed places, `gap` from each other, as many as 300 tries a slice find."""
    last = SPACING * (np.array(places.shape[:3]) - 1)
    chosen = np.empty((0, 3))
    for place in rng.permutation(places[allowed])[: 300 * len(places)]:
        centre = np.clip(place + SPACING * rng.uniform(-0.5, 0.5, 3), 0, last)
        if (np.linalg.norm(chosen - centre, axis=1) >= gap).all():
            chosen = np.vstack([chosen, centre])
    return chosen


def _to_nearest(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The distance of each place, (D, H, W); infinite where there are no centres."""
    return KDTree(centres).query(places)[0]


def _cloud(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in a block or a slice, features about `scale` wide, mean 0 and standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(shape), scale / 2 / SPACING[-len(shape) :], mode="wrap")
    return (noise - noise.mean()) / noise.std()


def _labels(tissue: Tissue) -> np.ndarray:
    labels = np.zeros(tissue.border.shape, np.uint8)
    labels[tissue.border < HALF_WALL] = MEMBRANE
    labels[tissue.mitochondrion > 0] = MITOCHONDRION
    labels[tissue.vesicle < VESICLE_RADIUS] = VESICLE
    return labels


def _greys(places: np.ndarray, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """How bright each place is, (D, H, W): every cell and the mitochondria in it of their own tones.

    Of what has no class, granules are as dark as the rims of vesicles, endosomes have a rim like them, and
    a reticulum runs through the cells in pairs of membranes.
    """
    shape = tissue.border.shape
    tone, other_tone = rng.uniform(-1, 1, (2, tissue.cell.max() + 1))[:, tissue.cell]
    grey = 0.6 + 0.09 * tone + 0.05 * _cloud(shape, 22, rng) + 0.04 * _cloud(shape, 80, rng)
    reticulum = np.abs(np.abs(_cloud(shape, 110, rng)) - 0.16)
    grey = blend(grey, 0.3, below(reticulum, 0.07) * below(-_cloud(shape, 200, rng), -0.5, 0.3))
    grey = blend(grey, 0.3, below(tissue.granule, GRANULE_RADIUS, 7))
    for distance, radius in ((tissue.endosome, ENDOSOME_RADIUS), (tissue.vesicle, VESICLE_RADIUS)):
        grey = blend(grey, 0.75, below(distance, radius, 5))
        grey = blend(grey, 0.29, between(distance, radius - 9, radius, 5))
    cristae = np.sin(0.09 * places @ rng.standard_normal(3) + 3 * _cloud(shape, 130, rng) + 9 * other_tone)
    grey = blend(grey, 0.45 + 0.1 * other_tone + 0.16 * cristae, below(-tissue.mitochondrion, 0, 4))
    grey = blend(grey, 0.28, between(tissue.mitochondrion, 0, 10, 4))
    cleft = 0.25 + 0.25 * below(tissue.border, 4, 4)
    return blend(grey, cleft, below(tissue.border, HALF_WALL, 6))


def _photographed(greys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slices as a microscope records them, uint8: a little blurred, unevenly lit, with noise, each of its own
    contrast."""
    images = []
    for grey in greys:
        light = rng.uniform(0.85, 1.1) * (1 + 0.12 * _cloud(grey.shape, 500, rng))
        seen = gaussian_filter(grey, rng.uniform(0.6, 1.0)) * light + rng.uniform(-0.06, 0.06)
        images.append(np.clip(np.round(255 * (seen + rng.normal(0, 0.05, grey.shape))), 0, 255))
    return np.array(images, np.uint8)
