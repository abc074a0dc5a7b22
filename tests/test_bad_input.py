"""Bad input ends a stage before it works: a message with file, row or key, value, remedy; nothing written.

Each case runs the real script in a folder that holds older outputs, where torch cannot be imported.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from imports import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))
OLD_OUTPUTS = (
    "data/sample/train.csv", "data/images.csv", "data/masks/1.png", "data/resized/train/1.png",
    "data/normalized/qc.csv", "data/folds.csv", "models/fold_0/model.json",
    "data/predictions/fold_0/prediction.json", "reports/metrics.json", "submissions/submission.csv",
)  # fmt: skip
KAGGLE = "kaggle competitions download -c hubmap-organ-segmentation"


def refused(project, stage: str, *parts: str) -> None:
    """The stage says each part, ends with a status that is not 0, and leaves every file as it was."""
    for name in OLD_OUTPUTS:
        path = project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("made by an earlier run")
    before = project.contents()
    done = project.run(stage, *(["--fold", "0"] if stage in ("train", "predict") else []))
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.index(f"{stage}: error: ") :]  # after the progress bars
    for part in parts:
        assert part in message
    assert project.contents() == before


@pytest.fixture
def project(new_project, small_sample):
    return new_project(small_sample)


def table_of(project) -> tuple[Path, pd.DataFrame]:
    path = project.folder / "data" / "raw" / "train.csv"
    return path, pd.read_csv(path, dtype=str, keep_default_na=False)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_names_every_bad_parameter_without_torch(new_project, stage):
    project = new_project(train={"aux_loss": "swiched", "epochs": "many", "learning_rate": 0.1})
    del project.params["resize"]["size"]
    project.set()
    refused(
        project,
        stage,
        "params.yaml",
        "train.aux_loss: Input should be 'none', 'single' or 'switched', got 'swiched'",
        "train.epochs: Input should be a valid integer, got 'many'",
        "train.learning_rate: Extra inputs are not permitted, got 0.1",
        "resize.size: Field required",
        "See the table of parameters in README.md",
    )


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"aux_loss": "both"}, ("train.aux_loss", "'both'", "'none', 'single' or 'switched'")),
        ({"epochs": "12"}, ("train.epochs", "'12'", "valid integer")),
        ({"aux_los": "none"}, ("train.aux_los", "'none'", "not permitted")),
        ({"plateau": {}}, ("train.plateau.factor", "required")),
        ({"switch_epoch": 1000}, ("switch_epoch", "got 1000", "1..epochs-1")),
    ],
    ids=["misspelt", "wrong type", "unknown", "missing", "switch after the end"],
)
def test_one_bad_parameter_is_enough(new_project, change, parts):
    refused(new_project(train=change), "split", "params.yaml", "README.md", *parts)


# ------------------------------------------------------------------ the data set


@pytest.mark.parametrize("stage", ["sample", "decode"])
def test_a_data_set_that_is_not_there_is_refused_with_the_way_to_get_it(new_project, stage):
    project = new_project(data={"root": "data/raw"})
    refused(project, stage, "data.root", "data/raw does not exist", KAGGLE, "data.root: data/sample")


TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "missing column": (
        lambda table: table.drop(columns="rle"),
        ("has no column rle", "found id, organ", "fetch the file again"),
    ),
    "duplicate id": (
        lambda table: pd.concat([table, table[:1]]),
        ("id {id} stands in more than one row", "keep one"),
    ),
    "unknown organ": (
        lambda table: table.replace({"organ": {"kidney": "liver"}}),
        ("id {id}: organ 'liver'", "kidney, largeintestine", "correct the row"),
    ),
    "unknown data_source": (
        lambda table: table.assign(data_source="GTEX"),
        ("id {id}: data_source 'GTEX'", "HPA, Hubmap", "correct the row"),
    ),
    "size that is none": (
        lambda table: table.assign(img_width="-5"),
        ("id {id}: img_width '-5'", "correct the row"),
    ),
}


@pytest.mark.parametrize(("change", "parts"), TABLES.values(), ids=TABLES)
def test_a_bad_table_is_refused_with_its_row(project, change, parts):
    path, table = table_of(project)
    change(table).to_csv(path, index=False)
    refused(project, "decode", "data/raw/train.csv", *(part.format(id=table["id"][0]) for part in parts))


RLES = {
    "odd count": ("1 2 5", "start 5 has no length"),
    "no number": ("1 2 x 1", "start 'x' is not a whole number"),
    "zero length": ("1 2 5 0", "length 0 is not within 1 to {size}"),
    "negative length": ("1 2 5 -1", "length '-1' is not a whole number"),
    "start 0": ("0 2", "start 0 is not within 1 to {size}"),
    "past the end": ("{size} 2", "start {size} with length 2 ends past {size}"),
    "overlapping": ("1 3 3 1", "start 3 is not after 3"),
    "unsorted": ("9 2 1 2", "runs must be sorted"),
}


@pytest.mark.parametrize(("rle", "part"), RLES.values(), ids=RLES)
def test_a_bad_rle_is_refused_with_its_row(project, rle, part):
    path, table = table_of(project)
    row = len(table) - 1
    size = int(table["img_height"][row]) * int(table["img_width"][row])
    table.loc[row, "rle"] = rle.format(size=size)
    table.to_csv(path, index=False)
    place = f"data/raw/train.csv: id {table['id'][row]}: rle"
    refused(project, "decode", place, part.format(size=size), "correct the row")


# ------------------------------------------------------------------ images


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")


def grey(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((300, 300), np.uint8))


def deep(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((300, 300, 3), np.uint16))


IMAGES = {
    "missing": (Path.unlink, ("image is missing", "restore it")),
    "cut off": (cut_off, ("cannot be read as an image", "fetch the file again")),
    "HTML": (web_page, ("cannot be read as an image", "fetch the file again")),
    "one band": (grey, ("has 1 bands of uint8", "must have 3 bands (RGB) of uint8")),
    "16-bit": (deep, ("has 3 bands of uint16", "must have 3 bands (RGB) of uint8")),
}


@pytest.mark.parametrize(("damage", "parts"), IMAGES.values(), ids=IMAGES)
def test_a_bad_image_is_refused_by_name(project, damage, parts):
    name = sorted((project.folder / "data" / "raw" / "test_images").iterdir())[-1].name
    damage(project.folder / "data" / "raw" / "test_images" / name)
    refused(project, "decode", f"data/raw/test_images/{name}: ", *parts)


def test_a_size_that_disagrees_with_the_image_is_refused_with_both(project):
    path, table = table_of(project)
    table.loc[2, "img_height"] = "7"
    table.loc[2, "rle"] = ""
    table.to_csv(path, index=False)
    side = table["img_width"][2]
    found = f"data/raw/train_images/{table['id'][2]}.tiff: is {side} x {side} px (height x width)"
    refused(project, "decode", found, f"img_height 7, img_width {side}", "correct the table or the image")


def test_fewer_images_than_folds_are_refused(project):
    table = table_of(project)[1].assign(set="train")
    (project.folder / "data" / "images.csv").write_text(table.to_csv(index=False))
    project.set(split={"count": 7, "run": [0]})
    refused(project, "split", "split.count: 7 folds need at least 7 images, got 6", "use fewer")
