"""docs/images/augmentation.png: one image of the embedded sample, and what each augmentation does to it at
its ends.

The ends are those of profiles/competition.yaml.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ftu.datasets.synthetic import histology
from ftu.pipeline.params import load_params
from ftu.pipeline.sections.training import Augment
from ftu.pipeline.stage import run
from ftu.preprocessing.dyes import DYES, own_stains, recolour
from ftu.reports.figures import TRUTH, outlined
from ftu.training.augmentation.colour import gain, hue_saturation, noise
from ftu.training.augmentation.compose import MIRROR, MOST_GAIN, RotateScale, strict_augmentation

PROFILE, PICTURE = Path("profiles/competition.yaml"), Path("docs/images/augmentation.png")
SIDE, COLUMNS = 256, 6
CROPS = {0: "a draw", 3: "another"}  # by their seeds
BENT = {0: "a draw", 1: "another", 2: "a third"}
OFF = ("flip", "crop", "rotate", "distort", "colour_picks", "contrast", "hue", "noise", "stain")

Cell = tuple[str, np.ndarray, np.ndarray]  # title, image (SIDE, SIDE, 3) uint8, mask (SIDE, SIDE) of 0 and 1


def cells(image: np.ndarray, mask: np.ndarray, settings: Augment) -> Iterator[Cell]:
    """What each augmentation makes of an image and its mask, twice SIDE wide, of which most see the
    middle."""
    middle = slice(SIDE // 2, -SIDE // 2)
    whole, image, mask = (image, mask), image[middle, middle], mask[middle, middle]
    yield "as it is", image, mask
    yield from (
        drawn(f"crop, {text}", image, mask, settings, crop=1.0, seed=seed) for seed, text in CROPS.items()
    )
    for degrees in (-settings.rotate_degrees, settings.rotate_degrees):
        yield f"rotate_degrees {degrees:g}", *moved(image, mask, degrees, 1.0)
    low, high = settings.rotate_scale
    yield from ((f"rotate_scale {factor:g}", *moved(image, mask, 0.0, factor)) for factor in (low, high))
    yield from (
        drawn(f"distort, {text}", image, mask, settings, distort=1.0, seed=seed)
        for seed, text in BENT.items()
    )
    for factor in (0.5, 2.0):
        window = {"scale_window": [factor, factor], "windows": True}
        yield drawn(f"scale_window {factor:g}", *whole, settings, **window)
    yield from ((title, changed, mask) for title, changed in colours(image, settings))


def colours(image: np.ndarray, settings: Augment) -> Iterator[tuple[str, np.ndarray]]:
    """Each change of colour at both ends, and the image in each pair of dyes."""
    for factor in (1 - settings.contrast_limit, 1 + settings.contrast_limit):
        yield f"gain x {factor:g}", gain(image, factor)
    for factor in (1 - settings.hue_limit, 1 + settings.hue_limit):
        yield f"hue x {factor:g}", hue_saturation(image, factor, 1.0)
    for factor in (1 - settings.hue_limit, 1 + settings.hue_limit):
        yield f"saturation x {factor:g}", hue_saturation(image, 1.0, factor)
    yield f"noise, {settings.noise_limit:g}", noise(image, settings.noise_limit, np.random.default_rng(0))
    own = own_stains(image, seed=0)
    yield from ((f"stain, {name}", recolour(image, own, name, most_gain=MOST_GAIN)) for name in DYES)


def drawn(
    title: str,
    image: np.ndarray,
    mask: np.ndarray,
    settings: Augment,
    *,
    windows: bool = False,
    seed: int = 0,
    **on: object,
) -> Cell:
    """A draw of the augmentation with everything off but what `on` says."""
    values = settings.model_dump() | dict.fromkeys(OFF, 0) | on
    return title, *strict_augmentation(SIDE, windows=windows, **values)(image, mask, seed, None)


def moved(
    image: np.ndarray, mask: np.ndarray, degrees: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    move = RotateScale(rotate=(degrees, degrees), scale=(factor, factor), border_mode=MIRROR, p=1.0)
    result = move(image=image, mask=mask)
    return result["image"], result["mask"]


def draw(path: Path) -> None:
    """Write the picture."""
    rng = np.random.default_rng(1)
    image, mask = histology.draw(
        "largeintestine", "HPA", height=2 * SIDE, width=2 * SIDE, pixel_size=1.2, rng=rng
    )
    shown = list(cells(image, mask, load_params(PROFILE).augment))
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(1.75 * COLUMNS, 1.95 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS).ravel()
    for place in axes:
        place.axis("off")
    for place, (title, changed, outline) in zip(axes, shown, strict=False):
        place.imshow(outlined(changed, outline, TRUTH))
        place.set_title(title, fontsize=9)
    figure.savefig(path, dpi=90, metadata={"Software": None})


def main() -> None:
    """The command line."""
    draw(PICTURE)


if __name__ == "__main__":
    run(main)
