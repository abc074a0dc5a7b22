"""The stages before training, run for real on a small sample: what they write, and what they warn of."""

import shutil
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from ftu.datasets import image_files
from ftu.files import csvfile, folds, png, rle
from ftu.files.index import image_rows, read_index
from ftu.preprocessing import staintools_backend

SIZE = 64
STEPS = ("resized", "normalized")  # of normalize: before and after
ONE_PROCESS = """import multiprocessing.context
def refuse(*arguments, **settings):
    raise RuntimeError("a second process")
multiprocessing.context.SpawnProcess.start = refuse
"""


def done(project, stage: str) -> str:
    """Run a stage that has to succeed; what it says on stderr."""
    result = project.run(stage)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def first_run(new_project):
    """Ten training images, one white and one of a single colour, and four test images, in two folds.

    Gives the project with all outputs, and what normalize said.
    """
    project = new_project(
        sample={"train": 10, "test": 4}, resize={"side": SIZE}, split={"count": 2, "run": [0, 1]}
    )
    done(project, "sample")
    raw = project.folder / "data" / "sample"
    train = csvfile.read_csv(raw / "train.csv").assign(set="train")
    for name, colour in zip(odd_ids(train), (255, 130), strict=True):
        path = raw / "train_images" / f"{name}.tiff"
        image_files.write_tiff(path, np.full_like(image_files.read_image(path), colour))
    for stage in ("decode", "resize", "split"):
        assert "warning" not in done(project, stage)
    return project, done(project, "normalize")


@pytest.fixture(scope="module")
def base(first_run):
    return first_run[0]


def odd_ids(index: pd.DataFrame) -> list[str]:
    """The images that are made white and uniform: the last of their organs, so that no mosaic shows them."""
    return sorted(index[index["set"] == "train"].groupby("organ")["id"].max())[:2]


@pytest.fixture
def project(base, new_project):
    """A copy of `base` with all of its outputs."""
    copy = new_project()
    shutil.copytree(base.folder, copy.folder, dirs_exist_ok=True)
    copy.params = deepcopy(base.params)
    return copy


def index_of(project) -> pd.DataFrame:
    return read_index(project.folder / "data" / "images.csv")


def ids_of(project, part: str) -> list[str]:
    raw = project.folder / "data" / "sample"
    return csvfile.read_csv(raw / f"{part}.csv")["id"].tolist()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pngs(ids: list[str]) -> list[str]:
    return sorted(f"{name}.png" for name in ids)


# ------------------------------------------------------------------ outputs


def test_decode_writes_a_mask_of_native_size_for_each_training_image(base):
    folder = base.folder / "data" / "masks"
    train = csvfile.read_csv(base.folder / "data" / "sample" / "train.csv")
    assert names(folder) == pngs(ids_of(base, "train"))
    for row in train.to_dict("records"):
        mask = png.read_mask(folder / f"{row['id']}.png")
        assert mask.shape == (int(row["img_height"]), int(row["img_width"]))
        assert rle.encode(mask) == row["rle"]


def test_decode_writes_an_index_of_both_tables(base):
    index = index_of(base)
    for part in ("train", "test"):
        assert index.loc[index["set"] == part, "id"].tolist() == ids_of(base, part)
        table = csvfile.read_csv(base.folder / "data" / "sample" / f"{part}.csv")
        columns = ["organ", "data_source", "img_height", "img_width", "pixel_size"]
        written = index.loc[index["set"] == part, columns].astype(str).to_numpy()
        np.testing.assert_array_equal(written, table[columns].to_numpy())


@pytest.mark.parametrize("stage", ["resized", "normalized"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_images_have_the_size_of_the_network(base, stage, part):
    folder = base.folder / "data" / stage / part
    assert names(folder) == pngs(ids_of(base, part))
    for path in folder.iterdir():
        image = image_files.read_image(path)  # refuses all but three bands of 8 bits
        assert image.shape == (SIZE, SIZE, 3)


def test_resized_images_and_masks_are_those_of_the_library(base):
    data = base.folder / "data"
    assert names(data / "resized") == ["masks", "test", "train"]
    assert names(data / "resized" / "masks") == pngs(ids_of(base, "train"))
    for row in image_rows(index_of(base)):
        resized = png.read_image(data / "resized" / row.set / f"{row.id}.png")
        source = data / "sample" / row.image
        np.testing.assert_array_equal(resized, image_files.read_resized(source, (SIZE, SIZE)))
    for name in ids_of(base, "train"):
        mask = png.read_mask(data / "resized" / "masks" / f"{name}.png")
        native = png.read_mask(data / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask, image_files.resize_mask(native, (SIZE, SIZE)))


def test_no_stage_leaves_a_temporary_behind(base):
    assert not [name for name in base.contents() if ".tmp-" in name]
    assert names(base.folder / "data") == [
        "folds.csv", "images.csv", "masks", "masks_test", "normalized", "resized", "sample"
    ]  # fmt: skip


# ------------------------------------------------------------------ normalize


def read_qc(project) -> pd.DataFrame:
    return csvfile.read_csv(project.folder / "data" / "normalized" / "qc.csv").set_index("id")


def normalized(project) -> dict[str, bytes]:
    folder = project.folder / "data" / "normalized"
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in folder.rglob("*.png")}


def test_images_without_stains_pass_through_and_say_why(first_run):
    base, said = first_run
    data, qc = base.folder / "data", read_qc(base)
    white, uniform = odd_ids(index_of(base))
    for name in (white, uniform):
        before, after = (png.read_image(data / stage / "train" / f"{name}.png") for stage in STEPS)
        np.testing.assert_array_equal(after, before)
    assert "blank" in qc["reason"][white]
    assert "uniform" in qc["reason"][uniform]
    assert "warning: 2 of 14 images unchanged" in said
    for name in (white, uniform):
        assert f"{name} ({qc['reason'][name]})" in said


def test_the_quality_table_has_a_row_per_image_with_its_stains(base):
    qc, index = read_qc(base), index_of(base)
    assert qc.index.tolist() == index["id"].tolist()
    assert qc["set"].tolist() == index["set"].tolist()
    changed = qc[qc["reason"] == ""]
    assert len(changed) == 12
    for stain_name in ("stain1", "stain2"):
        vectors = changed[[f"{stain_name}_{channel}" for channel in "rgb"]].astype(float).to_numpy()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert changed["residual"].astype(float).between(0, 0.5).all()
    assert changed["clipped"].astype(float).between(0, 1).all()


def test_the_number_of_workers_changes_no_byte(project):
    before = project.contents()
    for name in ("data/normalized", ".ftu"):
        shutil.rmtree(project.folder / name)
    project.set(compute={"workers": 2})
    done(project, "normalize")
    assert project.contents() | {"params.yaml": before["params.yaml"]} == before


def run_target(project, **target: object) -> dict[str, bytes]:
    project.set(stain={"target": project.params["stain"]["target"] | target})
    done(project, "normalize")
    return normalized(project)


def test_an_image_named_by_id_by_file_or_as_a_mosaic_of_one_is_one_target(base, project):
    name = ids_of(project, "test")[1]
    by_id = run_target(project, kind="image", ids=[name])
    shutil.copy(project.folder / "data" / "resized" / "test" / f"{name}.png", project.folder / "target.png")
    assert run_target(project, kind="file", ids=[], file="target.png") == by_id
    assert run_target(project, kind="mosaic", ids=[name]) == by_id
    assert by_id != normalized(base)
    before, after = (
        png.read_image(project.folder / "data" / step / "test" / f"{name}.png") for step in STEPS
    )
    assert np.abs(before.astype(int) - after).mean() < 5  # its own target: hardly changed


def test_the_mosaic_by_organ_is_that_of_the_first_image_of_each_organ(base, project):
    index = index_of(project)
    source = project.params["stain"]["target"]["source"]
    first = index[index["data_source"] == source].groupby("organ")["id"].min()
    assert run_target(project, kind="mosaic", ids=first.tolist()) == normalized(base)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"kind": "image", "ids": ["0815"]}, "stain.target.ids: '0815' is in neither table; name ids of"),
        ({"kind": "file", "file": "gone.png"}, "stain.target.file: gone.png does not exist; give"),
        ({"kind": "image", "ids": ["WHITE"]}, "stain.target: its stains cannot be found (blank"),
    ],
    ids=["unknown id", "missing file", "no stains"],
)
def test_a_target_that_cannot_be_used_is_refused(project, target, message):
    if "WHITE" in target.get("ids", []):
        target = target | {"ids": odd_ids(index_of(project))[:1]}
    project.set(stain={"target": project.params["stain"]["target"] | target})
    before = project.contents()
    result = project.run("normalize")
    assert result.returncode != 0
    assert f"normalize: error: {message}" in result.stderr
    assert project.contents() == before


def test_staintools_says_its_caveat_and_runs_in_one_process(project):
    index = index_of(project)
    index = index[~index["id"].isin(odd_ids(index))][::6]  # a second for each image
    index.to_csv(project.folder / "data" / "images.csv", index=False)
    project.shadow("sitecustomize", ONE_PROCESS)
    project.set(compute={"workers": 2}, stain={"backend": "staintools"})
    assert f"warning: {staintools_backend.CAVEAT}\n" in done(project, "normalize")
    assert set(normalized(project)) == {f"{row.set}/{row.id}.png" for row in image_rows(index)}
    project.set(stain={"backend": "exact"})
    assert "a second process" in project.run("normalize").stderr  # the other backend takes two


def test_backend_none_copies_the_images_and_asks_for_no_target(project):
    target = project.params["stain"]["target"] | {"kind": "image", "ids": ["no such id"]}
    project.set(stain={"backend": "none", "target": target})
    said = done(project, "normalize")
    index = index_of(project)
    assert "unchanged" not in said
    for row in image_rows(index):
        part = f"{row.set}/{row.id}.png"
        resized, normalized = (project.folder / "data" / name / part for name in ("resized", "normalized"))
        assert normalized.read_bytes() == resized.read_bytes()


# ------------------------------------------------------------------ split


def test_split_deals_the_training_images(base):
    table = folds.read_folds(base.folder / "data" / "folds.csv")
    assert table["id"].tolist() == sorted(ids_of(base, "train"))
    assert table["fold"].value_counts().tolist() == [5, 5]
    assert (pd.crosstab(table["organ"], table["fold"]) == 1).all(axis=None)


def test_the_order_of_rows_changes_no_fold(project):
    raw = project.folder / "data" / "sample" / "train.csv"
    csvfile.read_csv(raw).sample(frac=1, random_state=1).to_csv(raw, index=False)
    before = (project.folder / "data" / "folds.csv").read_bytes()
    done(project, "decode")
    assert (
        index_of(project)["id"].tolist()[:10] == ids_of(project, "train") != sorted(ids_of(project, "train"))
    )
    done(project, "split")
    assert (project.folder / "data" / "folds.csv").read_bytes() == before


def test_an_organ_with_fewer_images_than_folds_is_named(project):
    path, index = project.folder / "data" / "images.csv", index_of(project)
    last = index[(index["set"] == "train") & (index["organ"] == "lung")].index[-1]
    index.drop(index=last).to_csv(path, index=False)
    said = done(project, "split")
    assert "warning: lung has 1 images for 2 folds" in said
    assert said.count("warning:") == 1


# ------------------------------------------------------------------ groups


def folds_of(project) -> pd.DataFrame:
    return folds.read_folds(project.folder / "data" / "folds.csv").set_index("id")


def test_patients_lie_in_one_fold_each(project):
    raw = project.folder / "data" / "sample" / "train.csv"
    table = csvfile.read_csv(raw)
    people = {"sex": [*"MMMFFFMMMM"], "age": [*"11122", *"22333"]}
    people["age"][-1] = ""
    table.assign(**people).to_csv(raw, index=False)
    project.set(data={"group": ["sex", "age"]}, split={"by": "group"})
    said = done(project, "decode")
    ids = table["id"].tolist()
    assert "warning: 1 of 10 training images have no value in one of data.group (sex, age)" in said
    assert f"each is a group of its own: {ids[-1]}\n" in said
    done(project, "split")
    dealt = folds_of(project)
    expected = [ids[:3], ids[3:6], ids[6:7], ids[7:9], ids[9:]]
    assert sorted(map(sorted, dealt.groupby("group").groups.values())) == sorted(map(sorted, expected))
    assert dealt.groupby("group")["fold"].nunique().eq(1).all()
    assert set(dealt["fold"]) == {0, 1}


def test_too_few_patients_are_refused_by_split(project):
    raw = project.folder / "data" / "sample" / "train.csv"
    csvfile.read_csv(raw).assign(sex="M").to_csv(raw, index=False)
    project.set(data={"group": ["sex"]}, split={"by": "group"})
    done(project, "decode")
    before = project.contents()
    failed = project.run("split")
    assert failed.returncode == 2
    assert (
        "split.count: 2 folds need at least 2 groups, got 1, the largest of 10 of 10 images" in failed.stderr
    )
    assert "name more columns in data.group" in failed.stderr
    assert project.contents() == before


def test_one_picture_under_two_names_is_told_and_lies_in_one_fold(project):
    raw = project.folder / "data" / "sample"
    train, test, before = ids_of(project, "train"), ids_of(project, "test"), folds_of(project)["fold"]
    first = train[0]
    second = next(name for name in train if before[name] != before[first])
    copies = {("train", second), ("test", test[0])}
    image = image_files.read_image(raw / "train_images" / f"{first}.tiff")
    for part, name in copies:
        row = next(row for row in image_rows(index_of(project)) if row.id == name)
        brighter = cv2.resize(cv2.convertScaleAbs(image, alpha=1.05), (row.img_width, row.img_height))
        image_files.write_tiff(raw / f"{part}_images" / f"{name}.tiff", brighter)
    said = done(project, "decode")
    one, other = sorted([first, second], key=train.index)
    assert f"one picture twice among the training images, of one group: {one} and {other}" in said
    assert "one picture in train and in test" in said
    assert all(f"{name} and {test[0]}" in said for name in (first, second))
    assert done(project, "split").count("10 images of 9 groups in 2 folds") == 1
    dealt = folds_of(project)
    assert dealt["fold"][first] == dealt["fold"][second]
    assert dealt["group"][first] == dealt["group"][second] == min(first, second)
    index = index_of(project)
    assert (index.loc[index["set"] == "test", "group"] == "").all()


def test_without_groups_no_table_names_any(base):
    assert "group" not in index_of(base)
    assert list(folds.read_folds(base.folder / "data" / "folds.csv")) == ["id", "organ", "fold"]
