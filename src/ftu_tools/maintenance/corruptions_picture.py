"""docs/images/corruptions.png: an image of cells, and what each task of pre-training does to it."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ftu.datasets.synthetic import cells
from ftu.pipeline.stage import run
from ftu.training.pretraining.corruptions import CORRUPTIONS

PICTURE = Path("docs/images/corruptions.png")
SIDE, ROWS = 256, 3


def shown(image: np.ndarray) -> dict[str, np.ndarray]:
    """The image (S, S, C) uint8, and it after each task."""
    made = {name: task(image, np.random.default_rng(5)) for name, task in CORRUPTIONS.items()}
    return {"none": image} | made


def draw(path: Path) -> None:
    """Write the picture."""
    images, _ = cells.draw(1, height=SIDE, width=SIDE, rng=np.random.default_rng(3))
    found = shown(images[0][..., None])
    figure = Figure(figsize=(9, 9.6), layout="constrained")
    for place, (name, image) in zip(figure.subplots(ROWS, ROWS).ravel(), found.items(), strict=True):
        place.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255)
        place.set_title(name, fontsize=11)
        place.axis("off")
    figure.savefig(path, dpi=90, metadata={"Software": None})


def main() -> None:
    """The command line."""
    draw(PICTURE)


if __name__ == "__main__":
    run(main)
