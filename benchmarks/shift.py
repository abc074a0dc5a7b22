"""Draw docs/images/shift.png: of each organ of the sample one image, as it is and shifted, with its mask.

PYTHONPATH=src python benchmarks/shift.py

Needs what the stages sample and decode write; the look is that of params.yaml, enabled or not.
"""

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ftu.datasets import image_files
from ftu.files import png
from ftu.files.index import image_rows, read_index
from ftu.pipeline import paths
from ftu.pipeline.params import load_params
from ftu.preprocessing.domain_shift import Look, shift
from ftu.reports import figures

PICTURE = Path("docs/images/shift.png")
COLOURS = 128  # of the picture's palette, which makes it small


def main() -> None:
    params = load_params(paths.PARAMS)
    settings = params.shift
    rows = image_rows(read_index(paths.IMAGES))
    shown = {row.organ: row for row in reversed(rows) if row.set == "train"}
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for pair, organ in zip(figure.subplots(2, len(shown)).T, sorted(shown), strict=True):
        row = shown[organ]
        image = image_files.read_image(Path(params.data.root) / row.image)
        mask = png.read_mask(paths.MASKS / f"{row.id}.png")
        look = Look(settings.pixel_size[organ], settings.field, settings.blur, settings.stain)
        made = shift(image, mask, pixel_size=row.pixel_size, look=look, seed=params.stain.seed)
        sizes = row.pixel_size, made.pixel_size
        for axes, picture, truth, size in zip(
            pair, (image, made.image), (mask, made.mask), sizes, strict=True
        ):
            axes.imshow(figures.outlined(picture, truth, figures.TRUTH))
            axes.set_title(f"{organ}, {len(truth)} px of {size:.3g} um", fontsize=8)
            axes.axis("off")
    figure.savefig(PICTURE, dpi=100, metadata={"Software": None})
    Image.open(PICTURE).convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
