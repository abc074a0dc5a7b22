"""An own data set in folders, through the stages as a user runs them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ftu.datasets import image_files
from ftu.files import csvfile, folds, png, rle
from ftu.files.index import read_index

SIDE = 64
NAMES = "{} pät {} no.{:02d}"  # set, patient, image: with letters, blanks and dots


def in_folders(sample: Path, root: Path) -> dict[str, str]:
    """The sample's images as PNGs in folders, with masks of 0 and 255; the name of each id."""
    names = {}
    for part in ("train", "test"):
        table = csvfile.read_csv(sample / f"{part}.csv")
        for number, row in enumerate(table.to_dict("records")):
            names[row["id"]] = name = NAMES.format(part, number // 2, number)
            image = image_files.read_image(sample / f"{part}_images" / f"{row['id']}.tiff")
            (root / part / "images").mkdir(parents=True, exist_ok=True)
            png.write_image(root / part / "images" / f"{name}.png", image)
            if part == "train":
                (root / part / "masks").mkdir(parents=True, exist_ok=True)
                mask = rle.decode(row["rle"], height=image.shape[0], width=image.shape[1])
                png.write_mask(root / part / "masks" / f"{name}.png", mask)
    tables = pd.concat([csvfile.read_csv(sample / f"{part}.csv") for part in ("train", "test")])
    said = tables[["id", "organ", "data_source", "pixel_size"]]
    said.assign(id=said["id"].map(names)).to_csv(root / "images.csv", index=False)
    return names


def test_the_same_images_in_folders_give_the_same_masks_and_pixels(small_sample, new_project):
    theirs = new_project(small_sample, resize={"side": SIDE}, split={"count": 2, "run": [0, 1]})
    ours = new_project(resize={"side": SIDE}, split={"count": 3, "run": [0, 1], "by": "group"})
    names = in_folders(small_sample, ours.folder / "data/raw")
    ours.set(data={"root": "data/raw", "layout": "folders", "pixel_size": 1.0, "group": [r"pät (\d+)"]})
    for project in (theirs, ours):
        project.prepared("sample", "decode", "resize", "split")
    index = read_index(ours.folder / "data/images.csv").set_index("name")
    for image_id, name in names.items():
        own, part = (str(index.loc[name, column]) for column in ("id", "set"))
        folders = ["masks", "resized/masks", "resized/train"] if part == "train" else ["resized/test"]
        for folder in folders:
            found = (ours.folder / "data" / folder / f"{own}.png").read_bytes()
            assert found == (theirs.folder / "data" / folder / f"{image_id}.png").read_bytes(), (name, folder)
    dealt = folds.read_folds(ours.folder / "data/folds.csv").set_index("id")
    pairs = [
        dealt["fold"][index.loc[[names[a], names[b]], "id"]].nunique() for a, b in pairs_of(small_sample)
    ]
    assert pairs == [1, 1, 1]  # two images of each patient


def pairs_of(sample: Path) -> list[tuple[str, str]]:
    ids = csvfile.read_csv(sample / "train.csv")["id"].tolist()
    return list(zip(ids[::2], ids[1::2], strict=True))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda root: shutil.rmtree(root / "train/masks"), "6 of 6 training images have no mask"),
        (lambda root: (root / "train/masks/more.png").write_bytes(b"x"), "more of 1 masks have no image"),
        (lambda root: shutil.rmtree(root), "wants train/images/NAME.png"),
    ],
)
def test_bad_folders_end_decode_in_a_line_and_write_nothing(small_sample, new_project, break_it, words):
    project = new_project()
    in_folders(small_sample, project.folder / "data/raw")
    project.set(data={"root": "data/raw", "layout": "folders", "pixel_size": 1.0})
    break_it(project.folder / "data/raw")
    before = project.contents()
    failed = project.run("decode")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert words in failed.stderr
    assert project.contents() == before
