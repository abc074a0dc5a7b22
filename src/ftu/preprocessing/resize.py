"""How large things are: an image's field of view in um, and the scale at which the network sees it.

A pixel size alone misleads. The images of the competition are all about 1 mm wide, so that squeezing each
to one square nearly equals their scales, while 160 px of 6.263 um (HuBMAP prostate) hold as much tissue as
3000 px of 0.4 um, only less of its detail.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ftu.datasets import image_files
from ftu.errors import InputError
from ftu.files import limits
from ftu.files.index import ImageRow
from ftu.files.png import read_mask, write_image, write_mask

TOLERATED = 1.3  # times by which the scales of train and test may differ before anybody is warned


def network_shape(
    height: int, width: int, pixel_size: float, *, mode: str, side: int, microns: float
) -> tuple[int, int]:
    """(height, width) in px to which an image is brought for the network.

    fixed: `side` x `side`, the whole image squeezed (paper section 5). microns: as many px of `microns` um
    as its field of view takes, both axes alike. Raises InputError where that is more than is worked on.
    """
    if mode == "fixed":
        return side, side
    most, scale = limits.LONGEST_SIDE + 1, pixel_size / microns
    rows, columns = (max(round(min(length * scale, most)), 1) for length in (height, width))
    if fault := limits.size_fault(rows, columns):
        raise InputError(
            f"resize.microns: {microns:g} um for an image of {height} x {width} px of {pixel_size:g} um: "
            f"{fault}; use more"
        )
    return rows, columns


def scale_table(rows: Sequence[ImageRow], *, mode: str, side: int, microns: float) -> pd.DataFrame:
    """A row per organ, data source and set: what the network sees of such images (medians).

    native_px and field_um are the images' longer side, network_um the um that one px of the network's input
    stands for (the geometric mean of both axes), detail the native px in each: below 1 the image is
    magnified. `against_train` is network_um over that of the organ's training images, nan where there are
    none; `against_train_min` and `_max` are those of the single images that are farthest off.
    """
    table = pd.DataFrame(_seen(row, mode=mode, side=side, microns=microns) for row in rows)
    seen = table.groupby(["organ", "data_source", "set"], as_index=False).agg(
        images=("network_um", "size"),
        pixel_size=("pixel_size", "median"),
        native_px=("native_px", "median"),
        field_um=("field_um", "median"),
        network_um=("network_um", "median"),
        against_train_min=("network_um", "min"),
        against_train_max=("network_um", "max"),
        detail=("detail", "median"),
    )
    trained = table[table["set"] == "train"].groupby("organ")["network_um"].median()
    scale = seen["organ"].map(trained)
    extremes = {name: seen.pop(name) / scale for name in ("against_train_min", "against_train_max")}
    return seen.assign(against_train=seen["network_um"] / scale, **extremes).round(4)


def scale_warnings(table: pd.DataFrame) -> list[str]:
    """A sentence for each organ and source that the network sees at another scale in test than in train: all
    of its images by their median, or single ones."""
    sentences = []
    for row in table[table["set"] == "test"].to_dict("records"):
        which = f"{row['organ']}, {row['data_source']}: the network sees"
        if _off(row["against_train"]):
            sentences.append(
                f"{which} {row['network_um']:.2f} um/px in test images, {row['against_train']:.2f} times "
                "what it learns from; see resize.mode"
            )
        elif _off(row["against_train_min"]) or _off(row["against_train_max"]):
            sentences.append(
                f"{which} single test images at {row['against_train_min']:.2f} to "
                f"{row['against_train_max']:.2f} times the scale that it learns from; see resize.mode"
            )
    return sentences


def _off(ratio: float) -> bool:
    return ratio > TOLERATED or ratio < 1 / TOLERATED


def _seen(row: ImageRow, *, mode: str, side: int, microns: float) -> dict:
    height, width = network_shape(
        row.img_height, row.img_width, row.pixel_size, mode=mode, side=side, microns=microns
    )
    detail = np.sqrt(row.img_height / height * row.img_width / width)
    longer = max(row.img_height, row.img_width)
    return {
        "organ": row.organ,
        "data_source": row.data_source,
        "set": row.set,
        "pixel_size": row.pixel_size,
        "native_px": longer,
        "field_um": longer * row.pixel_size,
        "network_um": detail * row.pixel_size,
        "detail": detail,
    }


def resize_image_file(source: Path, target: Path, shape: tuple[int, int]) -> None:
    """`read_resized` from one file to another."""
    write_image(target, image_files.read_resized(source, shape))


def resize_mask_file(source: Path, target: Path, shape: tuple[int, int], classes: int = 1) -> None:
    """`resize_mask` from one file to another."""
    write_mask(target, image_files.resize_mask(read_mask(source), shape), classes)
