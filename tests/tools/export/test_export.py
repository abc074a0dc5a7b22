"""A model leaves home: the folder of an export gives the pipeline's answers, says what it is, and refuses in
words."""

import argparse
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from ruamel.yaml import YAML

from exported import NETWORKS, by_pipeline, by_runtime, drawn, grown
from ftu.cache import hashes
from ftu.errors import InputError
from ftu.files import csvfile, jsonfile, png
from ftu.files.index import ImageRow
from ftu.networks.common import saved
from ftu.prediction import one_image
from ftu.probabilities import map_file
from ftu_tools.export import __main__ as command
from ftu_tools.export import about as abouts
from ftu_tools.export import network, package
from ftu_tools.segment import one_slide
from ftu_tools.trained import export_layout as layout
from ftu_tools.trained import model as models
from slides import options
from trained import change, write_project, write_rules

UNET = NETWORKS["U-Net"] | {"size": 32}
LICENCE = "CC-BY-4.0"


def asked(*words: str) -> argparse.Namespace:
    return command.parsed(words)


@pytest.fixture(scope="module")
def project(small_sample, tmp_path_factory) -> Path:
    """A trained project of two random folds, each with statistics of its own; do not write into it."""
    folder = tmp_path_factory.mktemp("project") / "renal"
    folder.mkdir()
    write_project(folder, UNET)
    for fold, mean in enumerate((0.3, 0.6)):
        path = folder / "models" / f"fold_{fold}" / "model.json"
        jsonfile.write(path, jsonfile.read(path, "") | {"mean": [mean, 0.5, 0.4]})
    stained = sorted((small_sample / "train_images").glob("*.tiff"))[0]
    change(folder, "stain", target={"kind": "file", "ids": [], "source": "HPA", "file": str(stained)})
    write_rules(folder)
    dice = [("001", "kidney", 0.5), ("NA", "kidney", 0.9), ("1e5", "kidney", 0.7), ("7", "lung", 0.25)]
    rows = [f"{name},{organ},HPA,{value}" for name, organ, value in dice]
    text = "\n".join(["id,organ,data_source,dice", *rows]) + "\n"
    (folder / "reports/dice.csv").write_text(text, encoding="utf-8")
    png.write_image(folder / "reports/gallery.png", np.zeros((5, 7, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def exported(project, tmp_path_factory) -> Path:
    """Its export; do not write into it."""
    out = tmp_path_factory.mktemp("out") / "export"
    package.export(
        asked("--model", str(project), "--out", str(out), "--licence", LICENCE, "--author", "A. B.")
    )
    return out


def folds_of(project: Path) -> dict:
    return {fold: saved.load(project / "models" / f"fold_{fold}") for fold in (0, 1)}


@pytest.mark.parametrize("shape", [(32, 32), (32, 96), (64, 32)])
def test_onnx_is_the_mean_of_the_folds(project, exported, shape):
    images = drawn(2, *shape)
    found = by_runtime(exported / layout.ONNX, images)
    expected = by_pipeline(folds_of(project), images)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=network.WITHIN)


def test_an_image_gets_the_same_alone_and_beside_another(exported):
    """Its statistics are numbers, not those of the batch or the tile."""
    images = drawn(2, 32, 64)
    images[1] = 0
    both = by_runtime(exported / layout.ONNX, images)
    alone = by_runtime(exported / layout.ONNX, images[:1])
    np.testing.assert_allclose(both[:1], alone, rtol=0, atol=1e-6)


def test_nothing_is_stored_in_half_precision_or_tells_of_this_machine(exported):
    model = onnx.load(exported / layout.ONNX)
    floats = {each.data_type for each in model.graph.initializer if each.data_type != onnx.TensorProto.INT64}
    assert floats == {onnx.TensorProto.FLOAT}
    content = (exported / layout.ONNX).read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content
    assert str(package.CODE_LICENCE.parent).encode() not in content


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
@pytest.mark.parametrize("shape", [(32, 32), (45, 70)])
def test_predict_averages_views_of_any_size_as_the_pipeline_does(project, exported, tmp_path, shape, tta):
    shutil.copy(exported / layout.ONNX, tmp_path)
    facts = jsonfile.read(exported / layout.FACTS, "") | {"views": package.symmetries(tta)}
    jsonfile.write(tmp_path / layout.FACTS, facts)
    predict_py = runpy.run_path(str(exported / layout.PREDICT))
    image = drawn(1, *shape)
    found = predict_py["probabilities"](tmp_path, image[0])
    (expected,) = by_pipeline(folds_of(project), image, tta)
    np.testing.assert_allclose(found, expected, rtol=0, atol=network.WITHIN)


def test_predict_gives_the_map_of_a_competition_image(project, exported, small_sample, tmp_path, monkeypatch):
    """From a TIFF through resize and normalize, and what predict writes of it."""
    row = csvfile.read_csv(small_sample / "test.csv").iloc[0]
    shape, um = (int(row["img_height"]), int(row["img_width"])), float(row["pixel_size"])
    image = ImageRow(row["id"], "test", row["organ"], row["data_source"], *shape, um)
    model = models.load(str(project), device="cpu", scratch=tmp_path)
    file = small_sample / "test_images" / f"{row['id']}.tiff"
    one_image.predict(model.trained, image, file, tmp_path / "maps", tta=model.rules.tta, device="cpu")
    found = []
    for fold in (0, 1):
        (path,) = (tmp_path / "maps" / f"fold_{fold}").rglob("*.tif*")
        found.append(map_file.read(path))
    normalized = png.read_image(tmp_path / "maps/normalized" / f"{row['id']}.png")
    np.save(tmp_path / "image.npy", normalized)
    monkeypatch.setattr("sys.argv", ["predict.py", str(tmp_path / "image.npy"), str(tmp_path / "map.npy")])
    runpy.run_path(str(exported / layout.PREDICT), run_name="__main__")
    half_step = 0.5 / map_file.FULL_SCALE
    np.testing.assert_allclose(
        np.load(tmp_path / "map.npy").ravel(),
        np.mean(found, axis=0).ravel(),
        rtol=0,
        atol=half_step + network.WITHIN,
    )


def test_segment_takes_the_export_for_the_project(project, exported, small_sample, tmp_path):
    file = sorted((small_sample / "test_images").glob("*.tiff"))[0]
    outlines = []
    for name, model in (("a", project), ("b", exported)):
        wanted = options(tmp_path / name, model=str(model), organ="kidney", source="HPA", um=2.9)
        one_slide.segment(file, wanted)
        outlines.append(json.loads((tmp_path / name / f"{file.stem}.geojson").read_text(encoding="utf-8")))
    assert outlines[0] == outlines[1]
    assert models.trained_scale(str(exported), "kidney", tmp_path) == pytest.approx(
        models.trained_scale(str(project), "kidney", tmp_path)
    )


def test_bioimage_io_finds_raw_pixels_and_what_becomes_of_them(exported):
    rdf = YAML(typ="safe").load((exported / "rdf.yaml").read_text(encoding="utf-8"))
    (given,), (wanted,) = rdf["inputs"], rdf["outputs"]
    for described in (given["test_tensor"], wanted["test_tensor"], rdf["weights"]["onnx"]):
        assert described["sha256"] == hashes.sha256(exported / described["source"])
    image = np.load(exported / given["test_tensor"]["source"])
    assert image.dtype == np.float32
    assert image.max() > 100  # nobody has standardised it
    sizes = [axis["size"] for axis in given["axes"] if axis["type"] == "space"]
    assert sizes == [{"min": 32, "step": 32}] * 2
    pixels = np.moveaxis(image, 1, -1).astype(np.uint8)
    found = by_runtime(exported / rdf["weights"]["onnx"]["source"], pixels)
    np.testing.assert_allclose(
        found, np.load(exported / wanted["test_tensor"]["source"]), atol=network.WITHIN
    )
    assert rdf["license"] == LICENCE
    assert rdf["authors"] == [{"name": "A. B."}]
    assert all((exported / each["source"]).is_file() for each in rdf["attachments"])
    assert (exported / rdf["documentation"]).is_file()


def test_the_card_says_what_hugging_face_and_a_reader_want_to_know(exported):
    card = ModelCard.load(exported / layout.CARD)
    header: ModelCardData = card.data  # pyright: ignore[reportAssignmentType]
    assert header.license == LICENCE.lower()
    assert header.pipeline_tag == "image-segmentation"
    assert header.eval_results is not None
    values = {result.dataset_name.split(": ")[1]: result.metric_value for result in header.eval_results}
    assert values == {"kidney": 0.7, "lung": 0.25, "HPA": 0.5875, "all": 0.5875}
    for words in ("not a medical device", "3.75", "![gallery](gallery.png)", "kidney", LICENCE):
        assert words in card.text
    assert (exported / "gallery.png").is_file()
    assert "| out of fold | lung | 1 | 0.250 |  |" in card.text  # one image has no interval
    for command_line in ("hf upload", "kagglehub", "zenodo"):
        assert command_line in card.text


def test_patients_are_drawn_whole_where_they_are_known(project, tmp_path):
    copy = Path(shutil.copytree(project, tmp_path / "copy", ignore=shutil.ignore_patterns("models")))
    names = ["001", "NA", "1e5", "7"]
    rows = "\n".join(f"{name},a" for name in names)
    (copy / "data/images.csv").write_text(f"id,group\n{rows}\n", encoding="utf-8")
    whole = abouts.scores(models.find(str(copy), tmp_path))
    assert all(np.isnan(score.low) for score in whole)  # one patient has no interval
    (copy / "data/images.csv").write_text("id,group\n001,a\nNA,a\n1e5,b\n7,c\n", encoding="utf-8")
    kidney = next(score for score in abouts.scores(models.find(str(copy), tmp_path)) if score.of == "kidney")
    assert (kidney.low, kidney.high) == pytest.approx((0.7, 0.7))  # both patients have the same mean
    each = abouts.scores(models.find(str(project), tmp_path))
    kidney = next(score for score in each if score.of == "kidney")
    assert 0.5 <= kidney.low < 0.7 < kidney.high <= 0.9


def remove_fold(project: Path) -> None:
    shutil.rmtree(project / "models/fold_1")


def another_network(project: Path) -> None:
    other = UNET | {"decoder": "attunet"}
    segmenter = grown(other)
    first = {"encoder_weights": {"source": "none", "licence": "none"}}
    saved.save(project / "models/fold_1", segmenter, segmenter.state_dict(), other, first)


def bound(project: Path) -> None:
    path = project / "models/fold_1/model.json"
    first = {"source": "hub", "licence": "NVIDIA, non-commercial"}
    jsonfile.write(path, jsonfile.read(path, "") | {"encoder_weights": first})


@pytest.mark.parametrize(
    ("spoil", "words", "said"),
    [
        (remove_fold, [], r"fold_1/model\.json: is missing; the fold was not trained"),
        (another_network, [], r"models/fold_1: is another network than fold 0"),
        (shutil.rmtree, [], r"is no folder, and no experiment"),
        (lambda _: None, ["--fold", "7"], r"--fold: 7 was not trained; give one of 0, 1"),
        (bound, ["--licence", "MIT"], r"--licence: MIT allows more .* fold_1.*non-commercial"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_any_work(
    project, tmp_path, monkeypatch, spoil, words, said
):
    monkeypatch.setattr(network, "write_onnx", lambda *_: pytest.fail("work"))
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    spoil(copy)
    with pytest.raises(InputError, match=said):
        package.export(asked("--model", str(copy), "--out", str(tmp_path / "out"), *words))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fold", "a"], r"--fold: 'a' is no number of a fold"),
        (["--licence", "mine; rm"], r"--licence: 'mine; rm' is no identifier of SPDX"),
        (["--name", "a\nb"], r"--name: .* cannot be printed"),
    ],
)
def test_odd_options_are_refused(words, said):
    with pytest.raises(InputError, match=said):
        asked(*words)


def test_only_an_export_is_written_over(exported, tmp_path):
    command.check_out(exported)
    command.check_out(tmp_path / "new")
    command.check_out(tmp_path)  # empty
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="is there, and is no export"):
            command.check_out(place)
    jsonfile.write(tmp_path / "model.json", {"architecture": {}})
    with pytest.raises(InputError, match="is there, and is no export"):
        command.check_out(tmp_path)


def test_a_missing_package_is_named_with_the_way_to_it(monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(InputError, match=r"^onnxscript: cannot be imported; .*uv sync --extra export"):
        command.check_installed()


@pytest.fixture
def unwritten(monkeypatch) -> None:
    """Without the exporter, which takes seconds: model.onnx is an empty file."""
    monkeypatch.setattr(network, "write_onnx", lambda *of: of[-1].touch())
    monkeypatch.setattr(network, "check_parity", lambda *_: 0.0)


@pytest.mark.usefixtures("unwritten")
def test_one_fold_is_an_export_that_segment_takes(project, tmp_path):
    package.export(asked("--model", str(project), "--out", str(tmp_path / "one"), "--fold", "1"))
    found = models.load(str(tmp_path / "one"), device="cpu", scratch=tmp_path)
    assert list(found.trained.networks) == [1]
    assert jsonfile.read(tmp_path / "one" / layout.FACTS, "")["folds"] == ["fold_1"]
    assert not (tmp_path / "one/fold_0").exists()
    package.export(asked("--model", str(tmp_path / "one"), "--out", str(tmp_path / "again")))  # of an export
    weights = "fold_1/weights.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (project / "models" / weights).read_bytes()


@pytest.mark.usefixtures("unwritten")
def test_an_export_takes_the_place_of_an_earlier_one(project, tmp_path):
    out = tmp_path / "out"
    for fold in ("0", "1"):
        words = asked("--model", str(project), "--out", str(out), "--fold", fold)
        command.check_out(out)
        package.export(words)
    assert sorted(path.name for path in out.glob("fold_*")) == ["fold_1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("unwritten")
def test_without_reports_and_a_licence_the_card_says_so(project, tmp_path):
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    shutil.rmtree(copy / "reports")
    package.export(asked("--model", str(copy), "--out", str(tmp_path / "out")))
    card = (tmp_path / "out" / layout.CARD).read_text(encoding="utf-8")
    assert "license: other" in card
    assert "Not known: what was exported holds no reports." in card
    assert "um per px that it learnt from: not known" in card
    rdf = YAML(typ="safe").load((tmp_path / "out/rdf.yaml").read_text(encoding="utf-8"))
    assert "license" not in rdf
    assert "scale" not in rdf["inputs"][0]["axes"][2]


@pytest.mark.parametrize("full", [1.0, 255.0])
def test_pixels_of_either_range_give_the_same(project, full):
    folds, images = folds_of(project), drawn(1, 32, 64)
    pixels = np.moveaxis(images, -1, 1).astype(np.float32) * np.float32(full / 255)
    found = network.answer(network.Exported(folds, full), pixels)
    np.testing.assert_allclose(found, by_pipeline(folds, images), rtol=0, atol=1e-6)


def test_torchscript_gives_the_same(project, tmp_path):
    folds = folds_of(project)
    sizes, exported = network.sizes_of(folds, fixed=False), network.Exported(folds, 255.0)
    network.write_torchscript(exported, sizes, 3, tmp_path / layout.TORCHSCRIPT)
    loaded = torch.jit.load(tmp_path / layout.TORCHSCRIPT)
    images = drawn(3, 96, 32)  # another batch and size than those that were traced
    found = loaded(torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32))).numpy()
    np.testing.assert_allclose(found, by_pipeline(folds, images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 96])
def test_the_test_image_is_drawn_and_always_the_same(side, channels):
    image = package.drawn(side, channels)
    assert image.shape == (side, side, channels)
    assert image.dtype == np.uint8
    assert np.ptp(image) > 50
    np.testing.assert_array_equal(image, package.drawn(side, channels))


def test_parity_is_tried_and_its_lack_refused(project, exported):
    folds = folds_of(project)
    (image,) = np.moveaxis(drawn(1, 32, 32), -1, 1).astype(np.float32)[None]
    right = network.Exported(folds, 255.0)
    assert network.check_parity(right, [image], exported / layout.ONNX) <= network.WITHIN
    wrong = network.Exported({0: folds[0]}, 255.0)
    with pytest.raises(InputError, match="cannot be exported: ONNX Runtime's probabilities differ by"):
        network.check_parity(wrong, [image], exported / layout.ONNX)


def test_the_folder_of_a_fold_is_no_model(project, tmp_path):
    """It has a model.json, too."""
    with pytest.raises(InputError, match=r"holds no params\.yaml; give .* or an export"):
        models.find(str(project / "models/fold_0"), tmp_path)
