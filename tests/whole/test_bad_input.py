"""Bad input ends a stage before it works: a message with file, row or key, value, remedy; nothing written.

Each case runs the real script in a folder that holds older outputs, where torch cannot be imported; the last
ones, of train and predict, need torch and take some seconds each. That every stage refuses bad parameters is
tried once; what is bad, on the function by which all of them read.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ftu.datasets import competition, image_files
from ftu.errors import InputError
from ftu.pipeline.params import load_params
from imports import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))
OLD_OUTPUTS = (
    "data/sample/train.csv", "data/images.csv", "data/masks/1.png", "data/resized/train/1.png",
    "data/normalized/qc.csv", "data/folds.csv", "models/fold_0/model.json",
    "data/predictions/fold_0/prediction.json", "reports/metrics.json", "submissions/submission.csv",
)  # fmt: skip
KAGGLE = "kaggle competitions download -c hubmap-organ-segmentation"


def refused(project, stage: str, *parts: str, fold: int = 0) -> None:
    """The stage says each part, ends with a status that is not 0, and leaves every file as it was."""
    for name in OLD_OUTPUTS:
        path = project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("made by an earlier run")
    before = project.contents()
    done = project.run(stage, *(["--fold", str(fold)] if stage in ("pretrain", "train", "predict") else []))
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


def table_of(project, name: str = "train") -> tuple[Path, pd.DataFrame]:
    path = project.folder / "data" / "raw" / f"{name}.csv"
    return path, pd.read_csv(path, dtype=str, keep_default_na=False)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_names_every_bad_parameter_without_torch(new_project, stage):
    project = new_project(train={"aux_loss": "swiched", "epochs": "many", "learning_rate": 0.1})
    del project.params["resize"]["side"]
    project.set()
    refused(
        project,
        stage,
        "params.yaml",
        "train.aux_loss: Input should be 'none', 'single', 'switched' or 'cascade', got 'swiched'",
        "train.epochs: Input should be a valid integer, got 'many'",
        "train.learning_rate: Extra inputs are not permitted, got 0.1",
        "resize.side: Field required",
        "See docs/parameters.md",
    )


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"aux_loss": "both"}, ("train.aux_loss", "'both'", "'none', 'single', 'switched' or 'cascade'")),
        ({"epochs": "12"}, ("train.epochs", "'12'", "valid integer")),
        ({"aux_los": "none"}, ("train.aux_los", "'none'", "not permitted")),
        (
            {"scheduler": {}},
            (
                "train.scheduler.kind",
                "train.scheduler.min_lr",
                "train.scheduler.factor",
                "train.scheduler.patience",
                "train.scheduler.threshold",
                "train.scheduler.warmup",
                "required",
            ),
        ),
        (
            {"scheduler": {"kind": "step"}},
            ("train.scheduler.kind", "'step'", "'plateau', 'cosine', 'onecycle' or 'poly'"),
        ),
        ({"batch_size": 10, "accumulate": 4}, ("batch_size 10", "1 processes", "4 rounds", "use a multiple")),
        ({"batch_size": 4, "processes": 3}, ("batch_size 4", "3 processes", "1 rounds", "use a multiple")),
        ({"batch_size": 6, "processes": 2, "accumulate": 2}, ("batch_size 6", "2 processes", "2 rounds")),
        ({"ema": 1.0}, ("train.ema", "less than 1")),
        ({"clip": -1.0}, ("train.clip", "greater than or equal to 0")),
        ({"switch_epoch": 1000}, ("switch_epoch", "got 1000", "1..epochs-1")),
    ],
    ids=[
        "misspelt",
        "wrong type",
        "unknown",
        "missing",
        "unknown kind",
        "rounds",
        "processes",
        "rounds and processes",
        "decay",
        "clip",
        "switch after the end",
    ],
)
def test_one_bad_parameter_is_enough(new_project, change, parts):
    path = new_project(train=change).folder / "params.yaml"
    with pytest.raises(InputError) as caught:
        load_params(path)
    for part in (str(path), "docs/parameters.md", *parts):
        assert part in str(caught.value)


# ------------------------------------------------------------------ the data set


@pytest.mark.parametrize("stage", ["sample", "decode"])
def test_a_data_set_that_is_not_there_is_refused_with_the_way_to_get_it(new_project, stage):
    project = new_project(data={"root": "data/raw"})
    refused(project, stage, "data.root", "data/raw does not exist", KAGGLE, "data.root: data/sample")


@pytest.mark.parametrize(("stage", "part"), [("sample", "test_images"), ("decode", "test.csv")])
def test_a_data_set_that_lacks_a_part_is_refused_with_the_way_to_get_it(project, stage, part):
    path = project.folder / "data" / "raw" / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(
        project, stage, f"data.root: the folder data/raw has no {part}. ", KAGGLE, "data.root: data/sample"
    )


def tables_refused(project, *parts: str) -> None:
    """What decode reads first says each part; that nothing is written then, others try with the stage."""
    known = {name: project.params["data"][name] for name in ("organs", "sources")}
    with pytest.raises(InputError) as caught:
        competition.read_both(project.folder / "data" / "raw", **known, told=project.params["data"]["group"])
    for part in parts:
        assert part in str(caught.value)


BOTH_TABLES = pytest.mark.parametrize("name", ["train", "test"])
TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "missing column": (
        lambda table: table.drop(columns="organ"),
        ("has no column organ", "found id, data_source", "fetch the file again"),
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


@BOTH_TABLES
@pytest.mark.parametrize(("change", "parts"), TABLES.values(), ids=TABLES)
def test_a_bad_table_is_refused_with_its_row(project, name, change, parts):
    path, table = table_of(project, name)
    change(table).to_csv(path, index=False)
    tables_refused(project, f"data/raw/{name}.csv: ", *(part.format(id=table["id"][0]) for part in parts))


def test_a_training_table_without_masks_is_refused(project):
    path, table = table_of(project)
    table.drop(columns="rle").to_csv(path, index=False)
    tables_refused(project, "data/raw/train.csv: has no column rle; found id, organ", "fetch the file again")


def test_a_column_of_groups_that_train_csv_lacks_is_refused(project):
    project.set(data={"group": ["organ", "patient"]}, split={"by": "group"})
    refused(
        project,
        "decode",
        "data/raw/train.csv: has no column patient, which data.group names; found id, organ",
        "name columns of it, or set data.group: []",
    )


def test_an_id_that_stands_in_both_tables_is_refused(project):
    path, table = table_of(project, "test")
    twin = table_of(project)[1]["id"][3]
    table.loc[1, "id"] = twin
    table.to_csv(path, index=False)
    refused(project, "decode", f"data/raw: id {twin} stands in train.csv and in test.csv; keep one")


@BOTH_TABLES
@pytest.mark.parametrize("row", [1, -1], ids=["first row", "last row"])
def test_a_row_with_more_cells_than_the_first_line_is_refused(project, name, row):
    path, _ = table_of(project, name)
    lines = path.read_text().splitlines()
    lines[row] += ",7"
    path.write_text("\n".join([*lines, ""]))
    tables_refused(project, f"data/raw/{name}.csv: ", "fetch the file again")


@BOTH_TABLES
def test_a_table_that_is_a_folder_is_refused(project, name):
    path, _ = table_of(project, name)
    path.unlink()
    path.mkdir()
    tables_refused(project, f"data/raw/{name}.csv: cannot be read (Is a directory)", "fetch it")


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
    tables_refused(project, place, part.format(size=size), "correct the row")
    if rle == "1 2 5":  # once with the stage
        refused(project, "decode", place, part, "correct the row")


# ------------------------------------------------------------------ images


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")


def grey(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((300, 300), np.uint8))


def transparent(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((300, 300, 4), np.uint8))


def deep(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((300, 300, 3), np.uint16))


IMAGES = {
    "missing": (Path.unlink, ("image is missing", "restore it")),
    "cut off": (cut_off, ("cannot be read as an image", "fetch the file again")),
    "HTML": (web_page, ("cannot be read as an image", "fetch the file again")),
    "one band": (grey, ("is grey, and data.channels is 3", "set data.channels: 1, or make it RGB: `magick")),
    "four bands": (transparent, ("has 4 bands of uint8", "must have 3 bands (RGB) of uint8")),
    "16-bit": (deep, ("has 3 bands of uint16", "must have 3 bands (RGB) of uint8")),
}


@pytest.mark.parametrize(("damage", "parts"), IMAGES.values(), ids=IMAGES)
def test_a_bad_image_is_refused_by_name(project, damage, parts):
    path = max((project.folder / "data" / "raw" / "test_images").iterdir())
    shape = image_files.image_shape(path)
    damage(path)
    with pytest.raises(InputError) as caught:
        image_files.check_image(path, shape, 0.4)
    for part in (f"data/raw/test_images/{path.name}: ", *parts):
        assert part in str(caught.value)
    if damage is cut_off:  # once with the stage, which has read all others by then
        refused(project, "decode", f"data/raw/test_images/{path.name}: ", *parts)


@BOTH_TABLES
def test_a_size_that_disagrees_with_the_image_is_refused_with_both(project, name):
    path, table = table_of(project, name)
    height, width = table.loc[1, ["img_height", "img_width"]]
    table.loc[1, "img_height"] = "7"
    if name == "train":
        table.loc[1, "rle"] = ""
    table.to_csv(path, index=False)
    found = f"data/raw/{name}_images/{table['id'][1]}.tiff: is {height} x {width} px (height x width)"
    refused(project, "decode", found, f"img_height 7, img_width {width}", "correct the table or the image")


def test_fewer_images_than_folds_are_refused(project):
    table = table_of(project)[1].assign(set="train")
    (project.folder / "data" / "images.csv").write_text(table.to_csv(index=False))
    project.set(split={"count": 7, "run": [0]})
    refused(project, "split", "split.count: 7 folds need at least 7 images, got 6", "use fewer")


# ------------------------------------------------------------------ with torch


@pytest.fixture
def torch_project(new_project, monkeypatch):
    """A project with two folds, where torch can be imported and sees no GPU, whatever the machine has."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    project = new_project()
    (project.first / "torch.py").unlink()
    (project.folder / "data").mkdir()
    (project.folder / "data" / "folds.csv").write_text("id,organ,fold\n1,lung,0\n2,lung,1\n")
    (project.folder / "data" / "images.csv").write_text(
        "id,set,organ,data_source,img_height,img_width,pixel_size\n3,test,lung,HPA,300,300,1\n"
    )
    (project.folder / "data" / "normalized").mkdir()
    (project.folder / "data" / "normalized" / "histogram.json").write_text('{"levels": []}')
    (project.folder / "data" / "shifted").mkdir()
    (project.folder / "data" / "shifted" / "shifted.csv").write_text(
        "id,set,organ,data_source,img_height,img_width,pixel_size\n"
    )
    return project


@pytest.mark.parametrize("stage", ["train", "predict"])
def test_a_fold_that_was_not_dealt_is_refused(torch_project, stage):
    refused(torch_project, stage, "fold 9 holds no image; the folds are [0, 1]", fold=9)


@pytest.mark.parametrize("stage", ["train", "predict"])
def test_a_gpu_that_is_not_there_is_refused(torch_project, stage):
    torch_project.set(**{stage: {"device": "cuda"}})
    refused(torch_project, stage, "device cuda: torch sees no GPU", f"{stage}.device", "to cpu")


def write_images(project, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """Black PNGs of this shape at these places under data/."""
    for name in names:
        path = project.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("stage", "odd"),
    [
        ("train", "normalized/train/1.png"),
        pytest.param("train", "normalized/train/2.png", marks=pytest.mark.slow),
        pytest.param("train", "resized/masks/2.png", marks=pytest.mark.slow),
        ("predict", "normalized/train/1.png"),
        pytest.param("predict", "normalized/test/3.png", marks=pytest.mark.slow),
    ],
)
def test_an_image_of_another_side_is_refused_where_all_are_to_have_one(torch_project, stage, odd):
    pictures = ("normalized/train/1.png", "normalized/train/2.png", "normalized/test/3.png")
    write_images(torch_project, pictures, (96, 96, 3))
    write_images(torch_project, ("resized/masks/1.png", "resized/masks/2.png"), (96, 96))
    write_images(torch_project, (odd,), (128, 96, 3))
    torch_project.set(resize={"side": 96})
    found = f"data/{odd}: is 128 x 96 px (height x width) but resize.side is 96"
    refused(torch_project, stage, found, "run `dvc repro`")


def test_windows_larger_than_every_image_are_refused(torch_project):
    torch_project.set(
        resize={"mode": "microns"}, predict={"window": {"side": 512, "overlap": 0.25, "blend": "smooth"}}
    )
    write_images(torch_project, ("normalized/train/1.png", "normalized/test/3.png"), (300, 200, 3))
    refused(
        torch_project, "predict", "predict.window.side: 512 px is larger", "longest side is 300 px", "or 0"
    )


@pytest.mark.parametrize(
    ("scales", "part"), [([0.8, 0.8], "names a factor twice"), ([1.0], "so that d4_scales would be d4")]
)
def test_odd_scales_are_refused(torch_project, scales, part):
    torch_project.set(predict={"candidates": ["d4_scales"], "scales": scales})
    refused(torch_project, "predict", "predict.scales: ", part)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ("does not exist", "give none, imagenet or the path of a file")),
        (
            "<!DOCTYPE html>",
            ("cannot be read as weights", "give a file that torch.save or safetensors wrote"),
        ),
    ],
    ids=["missing", "text"],
)
def test_weights_that_cannot_be_read_are_refused(torch_project, content, parts):
    torch_project.set(train={"weights": "data/encoder.pth"})
    if content:
        (torch_project.folder / "data" / "encoder.pth").write_text(content)
    refused(torch_project, "train", "train.weights: data/encoder.pth ", *parts)


@pytest.mark.parametrize("cache", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_step_of_more_images_than_the_fold_has_is_refused_with_both_numbers(torch_project, cache):
    torch_project.set(train={"batch_size": 12, "cache": cache})
    for part, shape in (("normalized/train", (128, 128, 3)), ("resized/masks", (128, 128))):
        write_images(torch_project, (f"{part}/1.png", f"{part}/2.png"), shape)
    refused(
        torch_project, "train", "train.batch_size: a step of 12 images", "the 1 training images of this fold"
    )
