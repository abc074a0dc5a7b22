"""normalize with grey levels: matched to a source, whose own images stay, or evened out."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ftu.errors import InputError
from ftu.files import png
from ftu.preprocessing import histograms, normalization

GREY = {
    "data": {
        "root": "data/own", "layout": "folders", "channels": 1, "organs": ["cortex"], "sources": ["A", "B"],
        "pixel_size": 1.0,
    },
    "augment": {"hue": 0.0, "stain": 0.0},
    "resize": {"side": 32},
}  # fmt: skip


def prepared(new_project, backend, kind="source", **sections):
    target = {"kind": kind, "ids": [], "source": "B", "file": ""}
    project = new_project(**GREY | sections | {"stain": {"backend": backend, "target": target}})
    project.params["thresholds"] = {"A": {"cortex": 0.5}, "B": {"cortex": 0.5}}
    project.set()
    rng = np.random.default_rng(0)
    for source, part, low in (("A", "train", 20), ("B", "test", 120)):
        for folder in ("images", "masks"):
            (project.folder / f"data/own/{source}/{part}/{folder}").mkdir(parents=True)
        for number in range(4):
            image = rng.integers(low, low + 60, (32, 32, 1), dtype=np.uint8)
            place = f"{number}.png"
            png.write_image(project.folder / f"data/own/{source}/{part}/images/{place}", image)
            mask = np.eye(32, dtype=np.uint8)
            if part == "train":
                png.write_mask(project.folder / f"data/own/{source}/{part}/masks/{place}", mask)
    return project


@pytest.fixture(scope="module")
def matched(new_project):
    project = prepared(new_project, "histogram")
    project.prepared("sample", "decode", "resize")
    done = project.run("normalize")
    assert done.returncode == 0, done.stderr
    return project.folder, done.stderr


def image(folder, part, name, of="normalized"):
    return png.read_image(folder / f"data/{of}/{part}/{name}.png")


def test_training_images_get_the_mean_levels_of_the_source(matched):
    folder, _ = matched
    mean = histograms.mean_histogram(image(folder, "test", f"B-{number}", "resized") for number in range(4))
    told = json.loads((folder / "data/normalized/histogram.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(told["levels"], mean, rtol=1e-12)
    for number in range(4):
        before, after = (image(folder, "train", f"A-{number}", of) for of in ("resized", "normalized"))
        np.testing.assert_array_equal(after, histograms.match(before, mean))
        assert before.max() < 100 < after.min()


def test_images_of_the_source_stay_and_the_row_says_why(matched):
    folder, said = matched
    for number in range(4):
        before, after = (image(folder, "test", f"B-{number}", of) for of in ("resized", "normalized"))
        np.testing.assert_array_equal(after, before)
    quality = pd.read_csv(folder / "data/normalized/qc.csv", keep_default_na=False)
    reasons = set(zip(quality["set"], quality["reason"], strict=True))
    assert reasons == {("test", "of the target"), ("train", "")}
    assert "stain.target is made of 4 test images, without their masks" in said
    assert "transductive" in said
    assert "unchanged" not in said


def test_shifted_images_get_the_levels_that_others_get(small_sample, new_project):
    project = new_project(small_sample, stain={"backend": "histogram"}, shift={"enabled": True})
    project.set(resize={"side": 32})
    folder = project.prepared("decode", "resize", "normalize", "shift")
    told = json.loads((folder / "data/normalized/histogram.json").read_text(encoding="utf-8"))["levels"]
    images = [png.read_image(path) for path in (folder / "data/shifted/images").iterdir()]
    assert images
    low, high = (np.array([bound(np.flatnonzero(row)) for row in told]) for bound in (np.min, np.max))
    for image in images:
        assert (image.min(axis=(0, 1)) >= low).all()
        assert (image.max(axis=(0, 1)) <= high).all()
    quality = pd.read_csv(folder / "data/shifted/qc.csv", keep_default_na=False)
    assert set(quality["reason"]) == {""}


def test_what_is_made_of_an_image_hangs_on_no_name(tmp_path):
    """The item cache finds results again by the bytes of what was read."""
    (tmp_path / "train").mkdir()
    for name, low in (("001", 20), ("1e5", 120)):
        shown = np.arange(low, low + 35, dtype=np.uint8).reshape(5, 7, 1)
        png.write_image(tmp_path / "train" / f"{name}.png", shown)
    index = pd.DataFrame({"id": ["1e5"], "set": ["train"], "data_source": ["B"], "organ": ["cortex"]})
    target = {"kind": "source", "ids": [], "source": "B", "file": ""}
    levels = normalization.target_levels(tmp_path, index, "histogram", **target)
    shutil.copyfile(tmp_path / "train/1e5.png", tmp_path / "NA.png")
    made = tmp_path / "made.png"
    for place, reason in (
        ("train/1e5.png", "of the target"),
        ("NA.png", "of the target"),
        ("train/001.png", ""),
    ):
        assert normalization.match_file(tmp_path / place, made, levels=levels)["reason"] == reason
        assert png.read_image(made).min() == 120


@pytest.mark.parametrize(("levels", "flat"), [((7, 7), True), ((0, 7), True), ((7, 8), False)])
def test_a_target_without_contrast_is_refused(tmp_path, levels, flat):
    (tmp_path / "train").mkdir()
    shown = np.full((5, 7, 1), levels[0], np.uint8)
    shown[2:] = levels[1]
    png.write_image(tmp_path / "train" / "NA.png", shown)
    index = pd.DataFrame({"id": ["NA"], "set": ["train"]})
    target = {"kind": "image", "ids": ["NA"], "source": "", "file": ""}
    if not flat:
        assert normalization.target_levels(tmp_path, index, "histogram", **target).histogram
        return
    with pytest.raises(InputError, match=r"stain\.target: a channel has fewer than two levels"):
        normalization.target_levels(tmp_path, index, "histogram", **target)


def test_contrast_is_evened_out_and_no_histogram_is_told(new_project):
    project = prepared(new_project, "clahe")
    folder = project.prepared("sample", "decode", "resize")
    done = project.run("normalize")
    assert (done.returncode, "transductive" in done.stderr) == (0, False)  # no image hangs on another
    for part, name in (("train", "A-0"), ("test", "B-3")):
        before, after = (image(folder, part, name, of) for of in ("resized", "normalized"))
        np.testing.assert_array_equal(after, histograms.clahe(before))
    assert (folder / "data/normalized/histogram.json").read_bytes() == b'{\n  "levels": []\n}\n'


@pytest.mark.parametrize(
    ("backend", "kind", "augment", "words"),
    [
        ("exact", "source", {}, "stain.backend exact is of colours, and data.channels is 1; use histogram"),
        ("none", "mosaic_by_organ", {"match": 0.5}, "augment.match gives images the levels of stain.target"),
        ("clahe", "source", {"match": 0.5}, "augment.match gives images levels as they are before clahe"),
    ],
)
def test_what_does_not_go_together_is_refused(new_project, backend, kind, augment, words):
    project = prepared(new_project, backend, kind, augment=GREY["augment"] | augment)
    done = project.run("decode")
    assert done.returncode == 2
    assert words in done.stderr


def test_a_histogram_is_of_a_source_that_there_is(new_project):
    project = prepared(new_project, "histogram")
    project.params["stain"]["target"]["source"] = "C"
    project.set()
    assert "stain.target.source 'C' is not in data.sources ['A', 'B']" in project.run("decode").stderr


def test_stains_are_not_those_of_a_histogram(new_project):
    project = new_project(stain={"target": {"kind": "source", "ids": [], "source": "HPA", "file": ""}})
    said = project.run("decode").stderr
    assert "stain.target.kind source is a histogram, and stain.backend exact wants stains" in said
