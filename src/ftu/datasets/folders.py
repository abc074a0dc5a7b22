"""Images and masks in folders: the layout of own data sets; errors name file and value.

ROOT/{train,test}/{images,masks}/NAME.EXT, or one level more, ROOT/SOURCE/..., with SOURCE in data.sources.
A table ROOT/images.csv may say more of them (ftu.datasets.image_table). Masks hold 0 and the numbers of
classes; of one class, 0 and 1, or 0 and 255.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ftu.datasets import image_files, image_table
from ftu.datasets.competition import Decoding, check_named
from ftu.datasets.image_table import SETS, TABLE
from ftu.errors import InputError, some
from ftu.files import csvfile, limits, names
from ftu.files.png import write_mask

IMAGES = {".tif", ".tiff", ".png", ".jpg", ".jpeg"}
MASKS = {".tif", ".tiff", ".png"}
EXPECTED = "train/images/NAME.png and train/masks/NAME.png, and test/images/NAME.png"


def check_root(root: Path) -> None:
    """Raise InputError unless `root` has a folder of training images, or folders of sources that have."""
    if any(root.glob("train/images")) or any(root.glob("*/train/images")):
        return
    what = "has no train/images" if root.is_dir() else "is no folder" if root.exists() else "does not exist"
    raise InputError(
        f"data.root: {root} {what}; data.layout folders wants {EXPECTED} there, or in a folder for each of "
        "data.sources"
    )


def read_both(
    root: Path,
    *,
    organs: Sequence[str],
    sources: Sequence[str],
    pixel_size: float,
    told: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training and the test images: a row each with the columns of the index, `name`, and `mask` (its
    file).

    The organ is the table's, or the first of `organs`; the source that of the table, or the folder's, or
    the first of `sources`; um per px those of the table, or `pixel_size`. Behind these come the table's
    columns in `told`, as text. Test images may have masks or not; then `mask` is ''.
    """
    check_root(root)
    _check_sources(root, sources)
    found = pd.DataFrame(_found(root, sources), columns=["name", "set", "data_source", "image", "mask"])
    _check_paired(root, found)
    table = image_table.with_table(root, found.assign(organ=organs[0], pixel_size=str(pixel_size)), told)
    named = table.assign(id=table["name"])  # as the table names them
    for column, known in (("organ", organs), ("data_source", sources)):
        check_named(root / TABLE, named, column, known)
    sizes = csvfile.numbers(root / TABLE, named, "pixel_size", float)
    table = table.assign(id=_ids(root, table), pixel_size=sizes)
    shapes = [image_files.image_shape(root / image) for image in table["image"]]
    table = table.assign(
        img_height=[height for height, _ in shapes], img_width=[width for _, width in shapes]
    )
    own = ["id", "organ", "data_source", "img_height", "img_width", "pixel_size", "set", "image", "name"]
    columns = [*own, *(column for column in told if column in table and column not in own), "mask"]
    train, test = (table.loc[table["set"] == name, columns].reset_index(drop=True) for name in SETS)
    return train, test


def left_out(root: Path, tables: Sequence[pd.DataFrame], told: Sequence[str]) -> str:  # noqa: ARG001
    """A warning where the table has columns that nothing reads, empty where it has none."""
    return image_table.unread(root, told)


def labelled(test: pd.DataFrame) -> pd.DataFrame:
    """The rows of test images that have a mask."""
    return test[test["mask"] != ""]


def decoding(rows: pd.DataFrame, root: Path, targets: Sequence[Path], classes: Sequence[str]) -> Decoding:
    """What writes the masks of these rows to `targets`, from their files."""
    decode = partial(decode_mask_file, classes=len(classes))
    return Decoding(decode, 1, [[root / mask for mask in rows["mask"]], targets])


def decode_mask_file(source: Path, target: Path, shape: tuple[int, int], classes: int = 1) -> None:
    """Write the mask of a file of numbers as a stage reads it; InputError unless it is one of this
    (height, width), and of no more `classes`."""
    labels = image_files.read_labels(source)
    if labels.shape != shape:
        raise InputError(
            f"{source}: is {labels.shape[0]} x {labels.shape[1]} px (height x width) but its image "
            f"{shape[0]} x {shape[1]}; correct one of them"
        )
    values = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256])).tolist()
    if classes == 1 and set(values) <= {0, 255}:
        labels = (labels > 0).astype(np.uint8)
    elif values[-1] > classes:
        expected = (
            f"{classes} classes has 0 to {classes}" if classes > 1 else "one class has 0 and 1, or 0 and 255"
        )
        raise InputError(
            f"{source}: has the values {some(values)}; a mask of {expected}; name more data.classes, or map "
            "them with `python -m ftu_tools.dataset.make`"
        )
    write_mask(target, labels, classes)


def _check_sources(root: Path, sources: Sequence[str]) -> None:
    """Raise InputError for a folder of a source that `sources` does not name: nobody would see it."""
    for folder in sorted(root.iterdir()):
        if folder.name in {*SETS, *sources} or folder.name.startswith("."):
            continue
        if any((folder / part).is_dir() for part in SETS):
            raise InputError(
                f"{folder}: data.sources names no {folder.name}, so that its images would be passed over; "
                "name it there, or take the folder away"
            )


def _found(root: Path, sources: Sequence[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """name, set, source, and the files of image and mask in `root`, of every image in its folders."""
    places = [(root, sources[0])] + [(root / name, name) for name in sources]
    for folder, source in places:
        for part in SETS:
            masks = _by_name(folder / part / "masks", MASKS)
            images = _by_name(folder / part / "images", IMAGES)
            if lost := sorted(set(masks) - set(images)):
                raise InputError(
                    f"{folder / part / 'masks'}: {some(lost)} of {len(lost)} masks have no image of that "
                    f"name in {folder / part / 'images'}; add the images, or take the masks away"
                )
            for name, path in images.items():
                mask = str(masks[name].relative_to(root)) if name in masks else ""
                yield name, part, source, str(path.relative_to(root)), mask


def _by_name(folder: Path, endings: Collection[str]) -> dict[str, Path]:
    """The files of a folder by their names without the ending; none where there is no folder.

    What begins with a dot is no image. InputError for another ending, a folder, one name twice, or a name
    that tables cannot hold or DVC does not see.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if fault := _name_fault(path.name):
            raise InputError(
                f"{folder}: the file {path.name[:80]!r} {fault}; rename it, and its mask or image"
            )
        if path.suffix.lower() not in endings:
            raise InputError(
                f"{path}: ends in none of {', '.join(sorted(endings))}; convert it, or take it away"
            )
        name = names.composed(path.stem)
        if name in found:
            raise InputError(f"{path}: {found[name].name} has the same name; keep one of them")
        found[name] = path
    return found


def _name_fault(name: str) -> str:
    """What is wrong with the name of a file, '' if nothing: it may have any letters of a language."""
    if limits.RESERVED in name:
        return f"holds {limits.RESERVED!r}, which marks unfinished files, so that DVC would not see it"
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of another encoding
        return "has a name that is not UTF-8"
    return ""


def _check_paired(root: Path, table: pd.DataFrame) -> None:
    train = table[table["set"] == "train"]
    if train.empty:
        raise InputError(f"{root}: has no training image; data.layout folders wants {EXPECTED}")
    alone = train.loc[train["mask"] == "", "image"]
    if len(alone):
        raise InputError(
            f"{root}: {len(alone)} of {len(train)} training images have no mask: {some(alone)}; "
            "add masks of the same names, or move these images to test"
        )


def _ids(root: Path, table: pd.DataFrame) -> list[str]:
    """An id for each image: its name, with the source's where sources have folders.

    Where a training image has the id of a test image, that is test-ID. InputError where two have one id.
    """
    folders = [Path(image).parts[:-3] for image in table["image"]]
    made = [names.as_id("-".join([*parts, name])) for parts, name in zip(folders, table["name"], strict=True)]
    sets = list(zip(made, table["set"], strict=True))
    trained = {name for name, part in sets if part == "train"}
    ids = [names.as_id(f"test-{name}") if part == "test" and name in trained else name for name, part in sets]
    first: dict[str, str] = {}
    for image_id, image in zip(ids, table["image"], strict=True):
        if image_id in first:
            raise InputError(
                f"{root}: {first[image_id]} and {image} would both have the id {image_id}; rename one of them"
            )
        first[image_id] = image
    return ids
