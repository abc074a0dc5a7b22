"""The files of shifted images: network inputs, masks, and a table with a row for each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from ftu.datasets import image_files
from ftu.errors import InputError, some
from ftu.files import png
from ftu.files.index import ImageRow, image_file
from ftu.preprocessing import resize
from ftu.preprocessing.domain_shift import Look, shift
from ftu.preprocessing.normalization import Work

SET = "shifted"  # their `set`, beside train and test
COLUMNS = [*ImageRow._fields, "reason"]  # of shifted.csv; read_index reads it


class Recipe(NamedTuple):
    """What is the same for all images."""

    source: str  # the data_source that they are made to look like
    seed: int  # draws the pixels that stains are learnt from
    shape: Callable[[int, int, float], tuple[int, int]]  # (height, width, um) -> the network's size
    normalize: Work


class Made(NamedTuple):
    """What became of one image; the rows are empty when none of its foreground lies in the field of view."""

    id: str
    row: dict  # of shifted.csv
    quality: dict  # of qc.csv, as normalize writes it


def rows_to_shift(rows: Sequence[ImageRow], source: str) -> list[ImageRow]:
    """The training images of other sources; InputError when there are none."""
    chosen = [row for row in rows if row.set == "train" and row.data_source != source]
    if not chosen:
        raise InputError(
            f"shift.source: every training image is of {source!r} already; name another, or set "
            "shift.enabled: false"
        )
    return chosen


def shift_file(
    raw: Path, native: Path, image: Path, mask: Path, row: ImageRow, look: Look, *, recipe: Recipe
) -> dict:
    """Of a TIFF and its mask write the shifted image and mask; returns `row` and `quality` of Made.

    The shifted image takes the way of every other one: a TIFF, the functions of resize, those of normalize.
    Raises InputError when the image or its mask cannot be read.
    """
    truth = png.read_mask(native)
    made = shift(image_files.read_image(raw), truth, pixel_size=row.pixel_size, look=look, seed=recipe.seed)
    if truth.any() and not made.mask.any():
        return {"row": {}, "quality": {}}
    height, width = made.mask.shape
    png.write_mask(mask, made.mask)
    with TemporaryDirectory(dir=image.parent) as scratch:
        tiff, resized = Path(scratch) / "image.tiff", Path(scratch) / "image.png"
        image_files.write_tiff(tiff, made.image)
        resize.resize_image_file(tiff, resized, recipe.shape(height, width, made.pixel_size))
        quality = {"id": row.id, "set": SET} | recipe.normalize(resized, image)
    moved = ImageRow(row.id, SET, row.organ, recipe.source, height, width, made.pixel_size)
    return {"row": moved._asdict() | {"reason": made.reason}, "quality": quality}


def make(
    each: Callable[..., list],
    folder: Path,
    rows: Sequence[ImageRow],
    looks: Mapping[str, Look],
    *,
    root: Path,
    masks: Path,
) -> list:
    """Call `each`, which maps `shift_file` over columns, for the images of the rows and their masks.

    They go to the folders images and masks in `folder`; `root` and `masks` are where the raw ones lie.
    """
    to = [folder / name for name in ("images", "masks")]
    for part in to:
        part.mkdir()
    names = [f"{row.id}.png" for row in rows]
    raw = [image_file(root, row) for row in rows]
    columns = [[base / name for name in names] for base in (masks, *to)]
    facts = [row._replace(image="") for row in rows]  # where a file lies is no part of what is made of it
    return each(raw, *columns, facts, [looks[row.organ] for row in rows], doing="shift images")


def write_tables(folder: Path, made: Sequence[Made]) -> None:
    """shifted.csv and qc.csv; the first with its header only, and no second, when nothing was made."""
    kept = [one for one in made if one.row]
    pd.DataFrame([one.row for one in kept], columns=COLUMNS).to_csv(folder / "shifted.csv", index=False)
    if kept:
        pd.DataFrame([one.quality for one in kept]).to_csv(folder / "qc.csv", index=False)


def warnings(rows: Sequence[ImageRow], made: Sequence[Made], looks: Mapping[str, Look]) -> Iterator[str]:
    """A sentence for each way in which images are not what was asked for; `made` is of `rows`, in order."""
    empty = [one.id for one in made if not one.row]
    colours = [f"{one.id} ({one.row['reason']})" for one in made if one.row.get("reason")]
    coarse = [row for row in rows if row.pixel_size > looks[row.organ].pixel_size]
    organs = ", ".join(sorted({row.organ for row in coarse}))
    for names, what in (
        (empty, "hold no foreground in the field of view and are left out"),
        (colours, "keep their own colours"),
        (
            [row.id for row in coarse],
            f"of {organs} keep their pixel size, as smaller pixels show no more",
        ),
    ):
        if names:
            yield f"{len(names)} of {len(made)} images {what}: {some(names)}"
