"""Five organs, drawn as what two stains would bind to and where the functional tissue units (FTUs) lie.

Inside and outside of an FTU bind about the same amount of stain, and vessels, fibres and crowds of
nuclei bind more: arrangement, not darkness, marks an FTU. Sizes are in µm, and generous, so that an FTU
spans some twenty pixels of an image 1000 µm and 128 pixels wide.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from ftu.datasets.synthetic.texture import (
    Field,
    below,
    between,
    blend,
    cells,
    cloud,
    fibres,
    outlines,
    scatter,
)

NUCLEUS = 2.6  # µm, standard deviation of a nucleus's profile


class Tissue(NamedTuple):
    """Concentrations of the two stains and the FTU mask, each (H, W)."""

    nuclear: np.ndarray
    counter: np.ndarray
    ftu: np.ndarray


def finish(
    field: Field,
    counter: np.ndarray,
    density: np.ndarray,
    ftu: np.ndarray,
    vessels: np.ndarray,
    rng: np.random.Generator,
) -> Tissue:
    """Add vessels, dark walls about an empty lumen, and strew nuclei at `density` a square µm."""
    rho = outlines(field, vessels, (40, 75), {2: 0.2, 3: 0.1}, rng)
    wall, lumen = between(rho, 0.5, 1), below(rho, 0.5)
    counter = blend(blend(counter, 0.85 + 0.1 * np.cos(30 * np.minimum(rho, 1)), wall), 0.03, lumen)
    density = blend(blend(density, 0.0015, wall), 0, lumen)
    spread = NUCLEUS / field.pixel_size
    hits = rng.poisson(np.clip(density, 0, None) * field.pixel_size**2).astype(np.float32)
    nuclear = 1 - np.exp(-4 * np.pi * spread**2 * gaussian_filter(hits, spread))
    return Tissue(0.12 + nuclear, np.clip(counter, 0.03, None), ftu)


def kidney(field: Field, rng: np.random.Generator) -> Tissue:
    """Glomeruli: a tuft of loops and nuclei, the bright space around it, the capsule; among tubules."""
    centres, vessels = scatter(field, (2, 5), 3, 270, rng)
    rho = outlines(field, centres, (100, 130), {2: 0.08, 3: 0.05}, rng)
    centre, border, tone = cells(field, 56, rng)
    counter = 0.6 + 0.25 * tone - 0.6 * below(centre, 8 + 6 * tone, 5) - 0.45 * below(border, 3, 4)
    density = 0.006 * between(centre, 14, 20, 4)
    tuft, space = below(rho, 0.74), between(rho, 0.74, 0.89)
    loops = below(np.abs(cloud(field, 14, rng)), 0.35, 0.3)
    counter = blend(counter, 0.7 - 0.5 * loops, tuft)
    counter = blend(blend(counter, 0.04, space), 0.9, between(rho, 0.89, 1.0))
    density = blend(blend(density, 0.007, tuft), 0, space)
    return finish(field, counter, density, rho < 1, vessels, rng)


def largeintestine(field: Field, rng: np.random.Generator) -> Tissue:
    """Crypts: a ring of pale goblet cells, nuclei on its rim, a lumen; in a crowded lamina propria."""
    centres, vessels = scatter(field, (8, 13), 5, 180, rng)
    rho = outlines(field, centres, (65, 88), {2: 0.15, 3: 0.05}, rng)
    counter = 0.4 + 0.5 * fibres(field, 12, rng)
    density = 0.0025 + 0.0015 * cloud(field, 90, rng)
    goblets = below(-cloud(field, 14, rng), -0.1, 0.5)
    counter = blend(counter, 0.8 - 0.6 * goblets, between(rho, 0.35, 0.85))
    counter = blend(blend(counter, 0.85, between(rho, 0.8, 1)), 0.04, below(rho, 0.3, 0.1))
    density = blend(density, 0.018 * between(rho, 0.8, 0.97), below(rho, 1.05))
    return finish(field, counter, density, rho < 1, vessels, rng)


def lung(field: Field, rng: np.random.Generator) -> Tissue:
    """Alveoli: clusters of airspaces with thin walls between; among consolidated tissue."""
    centres, vessels = scatter(field, (3, 5), 5, 270, rng)
    rho = outlines(field, centres, (120, 155), {2: 0.15, 3: 0.1}, rng)
    counter = 0.35 + 0.6 * fibres(field, 16, rng)
    density = 0.0025 + 0.0015 * cloud(field, 60, rng)
    inside = below(rho, 1)
    air = below(rho, 0.9) * (1 - below(cells(field, 85, rng)[1], 9, 4))
    counter = blend(blend(counter, 0.75, inside), 0.04, air)
    density = blend(blend(density, 0.006, inside), 0.0002, air)
    return finish(field, counter, density, rho < 1, vessels, rng)


def prostate(field: Field, rng: np.random.Generator) -> Tissue:
    """Glands: a folded epithelium about a branching lumen; in a stroma of smooth muscle."""
    centres, vessels = scatter(field, (3, 6), 4, 260, rng)
    rho = outlines(field, centres, (95, 130), {2: 0.15, 3: 0.12, 5: 0.1, 7: 0.06}, rng)
    counter = 0.35 + 0.6 * fibres(field, 14, rng)
    density = 0.0015 + 0.001 * cloud(field, 60, rng)
    lumen = below(rho + 0.13 * cloud(field, 35, rng), 0.5, 0.1)
    ring = below(rho, 1) * (1 - lumen)
    counter = blend(blend(counter, 0.3 + 0.6 * between(rho, 0.75, 1, 0.2), ring), 0.04, lumen)
    density = blend(blend(density, 0.014 * between(rho, 0.78, 0.96), ring), 0, lumen)
    return finish(field, counter, density, rho < 1, vessels, rng)


def spleen(field: Field, rng: np.random.Generator) -> Tissue:
    """White pulp: soft-edged crowds of lymphocytes about an arteriole; in red pulp full of sinuses."""
    centres, vessels = scatter(field, (2, 4), 4, 310, rng)
    rho = outlines(field, centres, (120, 160), {2: 0.15, 3: 0.1, 5: 0.05}, rng)
    sinuses = between(cloud(field, 30, rng), -0.2, 0.5, 0.3)
    counter = 0.85 - 0.7 * sinuses
    density = 0.003 * (1 - sinuses) + 0.001 * cloud(field, 60, rng)
    pulp = below(rho, 1, 0.15)
    counter = blend(counter, 0.35, pulp)
    density = blend(density, 0.008, pulp)
    counter = blend(counter, 0.9, between(rho, 0.07, 0.16))
    return finish(field, counter, density, rho < 1, vessels, rng)
