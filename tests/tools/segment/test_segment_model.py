"""A model is taken from a project, an experiment or a bundle, and gives an image the pipeline's mask."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ftu.errors import InputError
from ftu.files import csvfile, jsonfile, rle
from ftu.preprocessing import stain
from ftu.probabilities import projects
from ftu_tools.dataset.drawn import qupath
from ftu_tools.kaggle import bundle_layout, infer, pack_experiment
from ftu_tools.segment import maps, one_slide, plan
from ftu_tools.segment.slides import files, reduced, tissue
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.trained import model as models
from slides import dark_model, drawn, options, use, write_ome
from trained import change, write_project, write_rules


@pytest.fixture(scope="module")
def project(small_sample, tmp_path_factory) -> Path:
    """A trained project of random networks that learnt at 3.75 um per px; do not write into it."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    stained = sorted((small_sample / "train_images").glob("*.tiff"))[0]
    change(folder, "stain", target={"kind": "file", "ids": [], "source": "HPA", "file": str(stained)})
    write_rules(folder)
    return folder


@pytest.fixture(scope="module")
def packed(project, tmp_path_factory) -> Path:
    """Its bundle, without wheels and library."""
    data = tmp_path_factory.mktemp("bundle")
    pack_experiment.pack(projects.find(str(project), Path()), data / "own")
    shutil.copy(project / "data/rules.json", data / bundle_layout.RULES)
    jsonfile.write(data / bundle_layout.FACTS, {"own": "own", "members": {}, "device": "cpu"})
    return data


def drawn_again(out: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    features = json.loads((out / f"{name}.geojson").read_text(encoding="utf-8"))["features"]
    return qupath.draw(out, features, shape).values > 0


@pytest.mark.parametrize("kind", ["project", "bundle"])
def test_a_competition_image_gets_the_mask_of_the_submission(project, packed, small_sample, tmp_path, kind):
    infer.submit(small_sample, packed, tmp_path / "submission.csv")
    answers = csvfile.read_csv(tmp_path / "submission.csv")
    masks = dict(zip(answers["id"], answers["rle"], strict=True))
    test = csvfile.read_csv(small_sample / "test.csv")
    for row in test.to_dict("records"):
        um, shape = float(row["pixel_size"]), (int(row["img_height"]), int(row["img_width"]))
        asked = options(
            tmp_path / "out",
            model=str(project if kind == "project" else packed),
            organ=row["organ"],
            source=row["data_source"],
            um=um,
            network_um=um * np.sqrt(shape[0] * shape[1]) / 32,  # what squeezing makes of it
        )
        result = one_slide.segment(small_sample / "test_images" / f"{row['id']}.tiff", asked)
        assert result["rows"][0]["windows"] == 1
        expected = rle.decode(masks[row["id"]], height=shape[0], width=shape[1])
        assert expected.any()
        np.testing.assert_array_equal(drawn_again(tmp_path / "out", row["id"], shape), expected > 0)


def test_a_slide_is_seen_at_the_scale_of_training_and_what_squeezing_would_do_is_told(project, tmp_path):
    asked = options(tmp_path / "out", model=str(project))
    far = write_ome(tmp_path / "far.ome.tif", drawn(480, 640, []), 1.0, levels=1)  # 17 um per px as a square
    near = write_ome(tmp_path / "near.ome.tif", drawn(120, 130, []), 1.0, levels=1)  # 3.9
    with files.opened(far) as one, files.opened(near) as other:
        windows, whole = plan.of(one, asked), plan.of(other, asked)
    assert windows.network_um == pytest.approx(3.75)
    assert windows.grid == Grid(128, 171, (480, 640))
    (told,) = windows.warnings
    assert told.startswith("as one square it would be seen at 17.3 um/px, 4.6 times what the network learnt")
    assert whole.grid is None
    assert whole.warnings == []
    coarse = write_ome(tmp_path / "coarse.ome.tif", drawn(480, 640, []), 8.0, levels=1)
    with files.opened(coarse) as one:
        assert plan.of(one, asked).warnings[1].startswith("is magnified 2.1 times")


def test_an_organ_without_a_scale_needs_one(project, tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", drawn(480, 640, []), 1.0, levels=1)
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    (copy / "reports/geometry.csv").unlink()
    asked = options(tmp_path / "out", model=str(copy))
    with files.opened(path) as one:
        with pytest.raises(InputError, match=r"does not say at which scale it learnt kidney.*--network-um"):
            plan.of(one, asked)
        assert plan.of(one, asked._replace(network_um=2.0)).network_um == 2


def test_windows_get_the_stains_that_a_slide_is_brought_to(project, small_sample, tmp_path):
    path = sorted((small_sample / "test_images").glob("*.tiff"))[0]
    model = models.load(str(project), device="", scratch=tmp_path)
    with files.opened(path) as one:
        grid = Grid(200, 170, one.shape)
        laid = maps.lay(model, grid, tissue.look(one, find=False))
        read, why = maps._normalized(model, one, grid, laid)
        plain = reduced.rows_of(one, grid)(0, 200)
        own = stain.fit(maps._sample(one, grid, laid), seed=model.params.stain.seed)
        assert model.stains is not None
        expected, _ = stain.normalize(plain, own, stain.damp(model.stains, own, 3))
        assert why == ""
        np.testing.assert_array_equal(np.concatenate([read(0, 70), read(70, 200)]), expected)
        assert not np.array_equal(expected, plain)


def test_a_slide_without_stains_keeps_its_colours_and_that_is_told(project, tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", drawn(480, 640, []), 1.0, levels=1)
    (row,) = one_slide.segment(path, options(tmp_path / "out", model=str(project)))["rows"]
    assert "its stains stayed as they are: blank" in row["warnings"]


def test_an_experiment_is_fetched(project, tmp_path, monkeypatch):
    files = DirFileSystem(str(project), LocalFileSystem())
    monkeypatch.setattr(projects, "find", lambda *_: projects.Source("exp", files, "abc", (OSError,)))
    fetched = models.load("exp", device="", scratch=tmp_path)
    assert fetched.identity == models.load(str(project), device="", scratch=tmp_path / "other").identity
    assert models.trained_scale("exp", "kidney", tmp_path) == pytest.approx(3.75)


def spoil_weights(project: Path) -> None:
    (project / "models/fold_1/weights.safetensors").unlink()


def add_member(project: Path) -> None:
    facts = jsonfile.read(project / "data/rules.json", "")
    jsonfile.write(project / "data/rules.json", facts | {"members": {"brave-exp": 1.0}})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_weights, r"fold_1/weights\.safetensors: cannot be loaded"),
        (add_member, r"is an ensemble with brave-exp; take one of .* --model brave-exp"),
        (lambda project: (project / "data/rules.json").unlink(), r"rules\.json: is missing"),
        (lambda project: (project / "params.yaml").unlink(), r"holds no params\.yaml; give the folder of"),
        (shutil.rmtree, "is no folder, and no experiment"),
    ],
)
def test_what_is_no_model_is_refused_in_words(project, tmp_path, spoil, said):
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    spoil(copy)
    with pytest.raises(InputError, match=said):
        models.load(str(copy), device="", scratch=tmp_path)


@pytest.mark.parametrize("backend", ["histogram", "clahe"])
def test_what_looks_at_an_image_whole_takes_no_windows(tmp_path, monkeypatch, backend):
    use(monkeypatch, dark_model(tmp_path / "model", stain={"backend": backend}))
    monkeypatch.setattr(plan, "WHOLE", 0)
    path = write_ome(tmp_path / "a.ome.tif", drawn(48, 64, []), 1.0, levels=1)
    with pytest.raises(InputError, match=rf"stain\.backend {backend} looks at an image whole"):
        plan.check(path, options(tmp_path))
