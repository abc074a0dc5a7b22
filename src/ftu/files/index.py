"""data/images.csv: a row per image, whichever table it came from."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ftu.errors import InputError
from ftu.files.csvfile import check_columns, check_ids, numbers, read_csv, with_sizes

SETS = ("train", "test", "shifted")


class ImageRow(NamedTuple):
    """What is known of one image, whichever table it stands in."""

    id: str
    set: str  # train or test
    organ: str
    data_source: str
    img_height: int  # px
    img_width: int  # px
    pixel_size: float  # um
    image: str = ""  # its file, relative to the data set's folder; '' where a stage made it


def um_of_pixels(row: ImageRow, height: int, width: int) -> tuple[float, float]:
    """The height and the width (um) of a pixel of the image once it has `height` x `width` px."""
    return row.pixel_size * row.img_height / height, row.pixel_size * row.img_width / width


def read_index(path: Path) -> pd.DataFrame:
    """data/images.csv: the checked rows of both tables, with the column `set` (train or test).

    Where groups are known the column `group` names that of each training image. Checked again, because other
    projects' and edited ones are read, too.
    """
    table = read_csv(path)
    if "image" not in table:  # of a project that an earlier version made
        table = table.assign(image="")
    check_columns(path, table, list(ImageRow._fields))
    check_ids(path, table["id"])
    for image_id, name in zip(table["id"], table["set"], strict=True):
        if name not in SETS:
            raise InputError(f"{path}: id {image_id}: set {name!r} is not one of {', '.join(SETS)}")
    for image_id, name in zip(table["id"], table["image"], strict=True):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                f"{path}: id {image_id}: image {name[:200]!r} leads out of the data set; run `dvc repro`"
            )
    if "group" in table:
        lonely = table.loc[(table["set"] == "train") & (table["group"] == ""), "id"]
        if len(lonely):
            raise InputError(f"{path}: id {lonely.iloc[0]}: group is empty; run `dvc repro -f -s decode`")
    numbers(path, table, "pixel_size", float)
    return with_sizes(path, table).astype({"pixel_size": float})  # which rounds as Python does


def image_file(root: Path, row: ImageRow) -> Path:
    """The raw image of a row in the data set at `root`; InputError where the index does not say it."""
    if not row.image:
        raise InputError(
            "data/images.csv is of an earlier version and does not say where images lie; run "
            "`dvc repro -f -s decode`, then `dvc repro`"
        )
    return root / row.image


def image_rows(index: pd.DataFrame) -> list[ImageRow]:
    """The rows of data/images.csv, typed."""
    return [ImageRow(*values) for values in index[list(ImageRow._fields)].itertuples(index=False, name=None)]
