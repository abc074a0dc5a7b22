"""Laws of the scores by class: counted per image, summed up by image, volume and in all."""

import numpy as np
import pandas as pd
import pytest

from ftu.masks.scores import overlap
from ftu.reports import class_scores

NAMES = ["membrane", "vesicle", "axon"]
SLICES = {"volume": ["a", "a", "b"], "z": list("120")}
INDEX = pd.DataFrame({"id": ["001", "NA", "1e5"], "data_source": "EM", **SLICES})


def table(pairs) -> pd.DataFrame:
    """The rows of images, of (prediction, truth) by id."""
    rows = [
        {"id": name} | row
        for name, (prediction, truth) in pairs.items()
        for row in class_scores.of_image(prediction, truth, NAMES, pixel_size=0.5, tolerance=0.0)
    ]
    return pd.DataFrame(rows, columns=class_scores.COLUMNS)


@pytest.fixture(scope="module")
def pairs():
    """Three label maps of unequal sides, the last class absent, the last image empty."""
    rng = np.random.default_rng(0)
    maps = {name: rng.integers(0, 3, (2, 7, 9), np.uint8) for name in INDEX["id"]}
    maps["1e5"][:] = 0
    return maps


def test_scores_by_image_by_volume_and_pooled_are_of_the_same_counts(pairs):
    facts = class_scores.Detail(NAMES, INDEX, {"oof": table(pairs)}).facts["oof"]
    counts = np.stack([overlap.count(*pairs[name], classes=3) for name in INDEX["id"]])
    volumes = np.stack([counts[:2].sum(axis=0), counts[2]])
    expected = {
        "dice": overlap.dice(counts).mean(axis=0),
        "iou": overlap.iou(counts).mean(axis=0),
        "iou_paper": overlap.iou(counts, empty=0).mean(axis=0),
        "iou_volume": overlap.iou(volumes).mean(axis=0),
        "dice_volume": overlap.dice(volumes).mean(axis=0),
        "iou_pooled": overlap.iou(counts.sum(axis=0)),
    }
    for score, values in expected.items():
        assert [facts[name][score] for name in NAMES] == pytest.approx(values, abs=1e-6), score
        assert facts["mean"][score] == pytest.approx(values.mean(), abs=1e-6), score
    assert facts["axon"]["iou"] == 1
    assert facts["axon"]["iou_paper"] == 0


def test_what_is_not_defined_is_none_and_a_missed_class_is_counted(pairs):
    facts = class_scores.Detail(NAMES, INDEX, {"oof": table(pairs)}).facts["oof"]
    assert (facts["axon"]["hd95"], facts["axon"]["f1"], facts["axon"]["one_sided"]) == (None, None, 0)
    truth = pairs["001"][1]
    missed = class_scores.Detail(
        NAMES, INDEX, {"oof": table({"001": (np.where(truth == 2, 0, truth), truth)})}
    )
    assert missed.facts["oof"]["vesicle"]["one_sided"] == 1
    assert missed.facts["oof"]["vesicle"]["hd95"] is None
    assert missed.facts["oof"]["membrane"]["hd95"] == 0
    assert missed.facts["oof"]["mean"]["one_sided"] == 1


def test_without_volumes_there_are_no_scores_by_volume(pairs):
    """Nor where a column of the user's is called volume, and nothing says which slice an image is."""
    for lacking in (["volume", "z"], ["z"]):
        index = INDEX.drop(columns=lacking)
        facts = class_scores.Detail(NAMES, index, {"oof": table(pairs)}).facts["oof"]
        assert "iou_volume" not in facts["mean"]
    said = class_scores.Detail(NAMES, INDEX, {"oof": table(pairs)}).words()
    assert "IoU by volume" in said


def test_labelled_test_images_are_told_apart(pairs):
    found = table(pairs)
    detail = class_scores.Detail(NAMES, INDEX, {"oof": found[:6], "test": found[6:]})
    short = detail.in_short()
    assert short["class"] == {name: detail.facts["oof"][name]["dice"] for name in NAMES}
    assert short["test"]["images"] == 1
    assert (short["test"]["dice"], short["test"]["iou"]) == (1.0, 1.0)
    assert detail.table()["part"].tolist() == ["oof"] * 6 + ["test"] * 3
    assert "test" not in class_scores.Detail(NAMES, INDEX, {"oof": found, "test": found[:0]}).in_short()


def test_a_margin_is_two_pixels_where_none_is_given():
    """Of squares three pixels apart: beyond two, within three."""
    prediction, truth = (np.zeros((20, 30), np.uint8) for _ in range(2))
    prediction[4:12, 4:12], truth[4:12, 7:15] = 1, 1

    def outline(tolerance: float) -> float:
        (row, *_) = class_scores.of_image(prediction, truth, NAMES, pixel_size=0.5, tolerance=tolerance)
        return row["surface_dice"]

    assert outline(0.0) == outline(1.0) < 1
    assert outline(1.5) == 1
