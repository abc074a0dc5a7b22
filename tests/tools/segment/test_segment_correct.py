"""What is segmented comes back as masks to train on, corrected or not; and which slide to correct first."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ftu.files import png
from ftu.probabilities.map_file import FULL_SCALE
from ftu_tools.dataset import make, pairs
from ftu_tools.segment import __main__ as command
from ftu_tools.segment import plan, review, written
from slides import DISC, Dark, dark_model, drawn, use, write_ome

UM = 1.0
DISCS = {  # name of the slide -> its discs, of unlike sizes
    "001": [(40.0, 30.0, 11.0), (90, 60, 14)],
    "NA": [(30, 60, 9), (70, 30, 12), (100, 66, 7)],
    "1e5": [],
}
SHAPE = (96, 128)


class Blind(nn.Module):
    """Finds nothing anywhere."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.full_like(maps[:, :1], -60.0)


def write_slides(folder: Path) -> dict[str, np.ndarray]:
    """The slides as OME-TIFFs, and what is disc in each, (H, W) bool."""
    folder.mkdir()
    images = {name: drawn(*SHAPE, discs) for name, discs in DISCS.items()}
    for name, image in images.items():
        write_ome(folder / f"{name}.ome.tif", image, UM, levels=1)
    return {name: (image == DISC).all(axis=-1) for name, image in images.items()}


def segmented(folder: Path) -> Path:
    out = folder.with_name("results")
    command.segment(command.parsed([str(folder), "--organ", "kidney", "--source", "HPA", "--out", str(out)]))
    return out


def taken_back(images: Path, outlines: Path, root: Path) -> dict[str, np.ndarray]:
    """The masks that the data set gets, (H, W) bool."""
    words = [str(images), str(outlines), "--to", str(root), "--classes", "ftu"]
    make.make(make.parsed(words), root.with_name("scratch"))
    return {path.stem: png.read_mask(path) > 0 for path in sorted((root / "train/masks").iterdir())}


def as_qupath_saves(path: Path, features: list[dict]) -> None:
    """QuPath writes what it read anew: indented, without measurements that it would compute again."""
    for feature in features:
        feature["properties"].pop("measurements")
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": features}, indent=2), encoding="utf-8"
    )


@pytest.mark.parametrize("whole", [0, plan.WHOLE])  # in windows, and as one image
def test_what_nobody_edits_comes_back_and_an_edit_changes_its_image_alone(tmp_path, monkeypatch, whole):
    use(monkeypatch, dark_model(tmp_path / "model", um=UM))
    monkeypatch.setattr(plan, "WHOLE", whole)
    discs = write_slides(tmp_path / "slides")
    out = segmented(tmp_path / "slides")
    before = taken_back(tmp_path / "slides", out, tmp_path / "before")
    assert sorted(before) == sorted(f"{name}.ome" for name in discs)
    for name, expected in discs.items():
        np.testing.assert_array_equal(before[f"{name}.ome"], expected)
    path = out / "NA.geojson"
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    as_qupath_saves(path, features[:1] + features[2:])
    after = taken_back(tmp_path / "slides", out, tmp_path / "after")
    for name in ("001.ome", "1e5.ome"):
        np.testing.assert_array_equal(after[name], before[name])
    second = (drawn(*SHAPE, [DISCS["NA"][0]]) == DISC).all(axis=-1)  # objects go from top to bottom
    np.testing.assert_array_equal(before["NA.ome"] & ~after["NA.ome"], second)
    assert not (after["NA.ome"] & ~before["NA.ome"]).any()
    as_qupath_saves(path, [])
    assert not taken_back(tmp_path / "slides", out, tmp_path / "none")["NA.ome"].any()


def test_the_importer_knows_the_folder_that_segment_leaves():
    assert pairs.SEGMENTED == written.KEPT


@pytest.mark.parametrize("whole", [0, plan.WHOLE])
def test_what_one_fold_alone_finds_is_to_be_looked_at(tmp_path, monkeypatch, whole):
    model = dark_model(tmp_path / "model", um=UM, predict={"tta": "none", "threads": 1, "batch_size": 3})
    seeing, facts = model.trained.networks[0]
    blind = Dark()
    blind.head = Blind()  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(plan, "WHOLE", whole)
    discs = write_slides(tmp_path / "slides")
    use(monkeypatch, model)
    rows = _review(segmented(tmp_path / "slides"))
    assert [float(row["disagreement"]) for row in rows] == [0, 0, 0]
    assert [row["why"] for row in rows] == ["nothing was found", "", ""]
    assert rows[0]["slide"] == "1e5"
    both = {0: (seeing, facts), 1: (blind, facts)}
    trained = model.trained._replace(networks=both)
    use(monkeypatch, model._replace(trained=trained, identity="two"))
    rows = {row["slide"]: row for row in _review(segmented(tmp_path / "slides"))}
    tissue = 0.8 * 0.8 * SHAPE[0] * SHAPE[1]  # px, about: the picture of it is smoothed
    for name in ("001", "NA"):
        share = discs[name].sum() / tissue
        assert float(rows[name]["disagreement"]) == pytest.approx(share / 2, rel=0.06)
        assert float(rows[name]["uncertainty"]) == pytest.approx(share, rel=0.06)
    assert int(rows["001"]["place"]) < int(rows["NA"]["place"])  # its discs are larger


def _review(out: Path) -> list[dict[str, str]]:
    with (out / "review.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_doubt_is_a_mean_over_tissue():
    half, spread = FULL_SCALE // 2 + 1, FULL_SCALE // 5
    map_ = np.zeros((2, 300, 4), np.uint16)
    map_[0, :150], map_[1, 290:] = half, spread
    found = review.doubt(map_, share=0.5)
    assert found["uncertainty"] == pytest.approx(1, abs=1e-3)  # of half of the pixels, and half are tissue
    assert found["disagreement"] == pytest.approx(0.2 * 10 / 150, abs=1e-4)


def test_an_even_chance_of_three_is_the_most_uncertain():
    third = round(FULL_SCALE / 3)
    map_ = np.full((3, 5, 7), third, np.uint16)
    map_[2] = 0
    assert review.doubt(map_, share=1.0) == {"disagreement": 0, "uncertainty": pytest.approx(1, abs=1e-4)}


def test_the_spread_is_that_of_the_class_on_which_folds_differ_most():
    one, other = np.zeros((2, 1, 2, 1, 1)), np.zeros((2, 1, 2, 1, 1))
    one[1, 0, 0], one[1, 0, 1] = 0.2, 0.8
    found = review.mean_and_spread(list(one))
    np.testing.assert_allclose(found.ravel(), [0.1, 0.4, 0.4])
    np.testing.assert_allclose(review.mean_and_spread(list(other)).ravel(), [0, 0, 0])


def row(slide: str, count: int, area: float, disagreement: float, uncertainty: float) -> dict:
    names = ("slide", "count", "area_um2", "disagreement", "uncertainty")
    values = (slide, count, area, disagreement, uncertainty)
    return {"file": f"{slide}.tif", "tissue_mm2": 1.0} | dict(zip(names, values, strict=True))


def test_odd_masks_come_first_then_disagreement_then_uncertainty():
    rows = [
        row("a", 3, 1e5, 0.01, 0.5),
        row("b", 3, 1e5, 0.02, 0.1),
        row("c", 3, 1e5, 0.01, 0.6),
        row("d", 0, 0, 0.0, 0.0),
        row("d", 2, 1e5, 0.0, 0.0),  # another class
        row("e", 0, 0, 0.0, 0.0),
        row("f", 1, 5e5, 0.0, 0.1),
        row("f", 1, 4.5e5, 0.0, 0.1),
    ]
    found = review.order(rows)
    assert [each["slide"] for each in found] == ["f", "e", "b", "c", "a", "d"]
    assert [each["place"] for each in found] == [1, 2, 3, 4, 5, 6]
    assert [each["why"] for each in found] == ["nearly all of the tissue", "nothing was found", *[""] * 4]
    assert found[0]["foreground"] == 0.95
