"""What a run needs and will be given: a data set, first weights, a stain target, room on the disk."""

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftu.errors import some
from ftu_tools.doctor.findings import Finding, counted, error, ok, size, warning

if TYPE_CHECKING:
    from ftu.files.index import ImageRow

RGB, PROBABILITY, MASK = 3, 2, 0.01  # bytes of a pixel on disk, at most; masks pack well
COPIES = 2  # the workspace's, and DVC's cache's
MODEL = 210e6  # bytes of the weights of a fold of the largest network (docs/models.md)
STATE = 600e6  # bytes of an unfinished training (docs/training.md)


def rows(params: Mapping[str, Any], sample: Path) -> list["ImageRow"]:
    """The images of the data set; of the sample, which `dvc repro` draws at `sample`, what will be drawn.

    Raises InputError when the tables are not there or not valid.
    """
    from ftu.datasets.layouts import LAYOUTS
    from ftu.datasets.sample import LARGEST
    from ftu.files.index import ImageRow, image_rows

    settings, drawn = params["data"], params["sample"]
    root = Path(settings["root"])
    if drawn_later(root, sample):
        parts = [part for part in ("train", "test") for _ in range(drawn[part])]
        return [ImageRow("", part, "", "", *LARGEST[drawn["kind"]]) for part in parts]
    told = [*settings["group"], *filter(None, [settings["z"]])]
    facts = {name: settings[name] for name in ("organs", "sources", "pixel_size")}
    both = LAYOUTS[settings["layout"]].read_both(root, **facts, told=told)
    return [row for table in both for row in image_rows(table)]


def drawn_later(root: Path, sample: Path) -> bool:
    """Whether the data set is the sample, and its stage has not run."""
    return root == sample and not root.exists()


def data(root: Path, rows: Sequence["ImageRow"], sample: Path) -> Iterator[Finding]:
    """Whether the images that the tables name are there."""
    if drawn_later(root, sample):
        yield ok(
            "data",
            f"{root} is not drawn yet; the first stage of `dvc repro` draws {counted(len(rows), 'image')}",
        )
        return
    missing = [row.id for row in rows if not (root / row.image).is_file()]
    train = sum(row.set == "train" for row in rows)
    if missing:
        words = f"{root}: {len(missing)} of {counted(len(rows), 'image')} not there: {some(missing)}"
        yield error("data", f"{words}; unpack the data set again, or take their rows out of the tables")
    else:
        yield ok(
            "data", f"{root}: {train} training and {counted(len(rows) - train, 'test image')}, tables valid"
        )


def weights(params: Mapping[str, Any], imagenet: Mapping[str, str] | None) -> Iterator[Finding]:
    """Whether training finds its first weights; `imagenet` is what torch_facts says of the encoder's."""
    wanted, encoder = params["train"]["weights"], params["train"]["model"]["encoder"]
    if wanted == "none":
        yield ok("weights", "none: training starts from random ones")
    elif wanted != "imagenet" and Path(wanted).is_file():
        yield ok("weights", f"{wanted}, {size(Path(wanted).stat().st_size)}, under the licence of that file")
    elif wanted != "imagenet":
        yield error(
            "weights", f"train.weights: {wanted} does not exist; give none, imagenet or a file's path"
        )
    elif imagenet is None:
        yield warning("weights", f"whether ImageNet's of {encoder} are here only torch can tell; make env")
    elif not imagenet["cached"]:
        yield warning(
            "weights",
            f"ImageNet's of {encoder} ({imagenet['licence']}) are not on this machine: training will fetch "
            "them; go online for it, or give the path of a local file",
        )
    elif "non-commercial" in imagenet["licence"]:
        words = f"ImageNet's of {encoder} are under the {imagenet['licence']}, and so is what comes of them"
        yield warning("weights", f"{words}; choose another encoder for other uses")
    else:
        yield ok("weights", f"ImageNet's of {encoder} ({imagenet['licence']}), {imagenet['cached']}")


def target(params: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether an image that is named as the stain target is there."""
    wanted = params["stain"]["target"]
    if (
        params["stain"]["backend"] != "none"
        and wanted["kind"] == "file"
        and not Path(wanted["file"]).is_file()
    ):
        yield error(
            "target", f"stain.target.file: {wanted['file']} does not exist; give the path of an image"
        )


def disk(due: float, outputs: Sequence[Path]) -> Iterator[Finding]:
    """Whether the folders of outputs can be written, and have room for what is not there of `due` bytes."""
    if closed := [str(path) for path in outputs if path.exists() and not os.access(path, os.W_OK)]:
        yield error(
            "disk", f"{some(closed)} cannot be written; chmod u+w, or clone into a folder of your own"
        )
    free, there = shutil.disk_usage(".").free, sum(map(occupied, outputs))
    words = f"{size(free)} free; a whole run takes up to {size(due)}, of which {size(there)} is there"
    if free < due - there:
        yield warning(
            "disk", f"{words}; make room, `dvc gc -w` drops results that this workspace does not use"
        )
    else:
        yield ok("disk", words)


def room(params: Mapping[str, Any], rows: Sequence["ImageRow"]) -> float:
    """Bytes that the outputs of a run take at most, in the workspace and in DVC's cache."""
    from ftu.preprocessing.resize import network_shape

    folds, sets = len(params["split"]["run"]), {params["predict"]["tta"], *params["predict"]["candidates"]}
    total = folds * MODEL
    for row in rows:
        native = row.img_height * row.img_width
        pixels = math.prod(network_shape(row.img_height, row.img_width, row.pixel_size, **params["resize"]))
        train = row.set == "train"
        images = 2 + (train and params["shift"]["enabled"])  # resized, normalised, shifted
        maps = len(sets) * (images - 1 if train else folds)
        total += RGB * native * (row.id == "") + MASK * native * train  # drawn, decoded
        total += pixels * (RGB * images + PROBABILITY * maps)
    return COPIES * total + STATE


def occupied(path: Path) -> int:
    """Bytes of the files at or under a path."""
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
