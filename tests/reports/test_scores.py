"""Scores of images, their summary by organ and source, and the table for people."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.datasets import image_files
from ftu.files import png
from ftu.files.index import ImageRow
from ftu.masks import from_maps, rules
from ftu.masks.cutting import Rule
from ftu.probabilities.ensemble import Experiment
from ftu.reports import scores
from ftu.reports.scores import Trial
from maps import read_probability, write_probability

GROUPS = ("organ", "data_source")
NONE = pd.DataFrame(columns=scores.SCORES)  # no shifted images
WAY = from_maps.Way(mean="probability", method="table", never_empty="warn")
TYPICAL = {
    "id": "1", "organ": "lung", "data_source": "HPA", "dice": 0.5, "objects": 2, "action": "",
    "nothing": 0.0, "everything": 0.3, "otsu": 0.3,
}  # fmt: skip
shares = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    row = st.fixed_dictionaries(
        {
            "organ": st.sampled_from(["kidney", "lung", "spleen"]),
            "data_source": st.sampled_from(["HPA", "Hubmap"]),
            "objects": st.integers(1, 9),
            **dict.fromkeys(("dice", *scores.BASELINES), shares),
        }
    )
    rows = draw(st.lists(row, min_size=1, max_size=12))
    return pd.DataFrame(rows).assign(id=[str(number) for number in range(len(rows))])


@given(table=tables())
def test_the_summary_is_the_mean_over_images_whatever_the_groups(table):
    summary = scores.summary(table, NONE, {})
    assert summary["images"] == len(table)
    assert summary["dice"] == pytest.approx(table["dice"].mean(), abs=1e-6)
    for group in GROUPS:
        sizes = table[group].value_counts()
        assert set(summary[group]) == set(sizes.index)
        weighted = sum(summary[group][name] * size for name, size in sizes.items()) / len(table)
        assert weighted == pytest.approx(summary["dice"], abs=2e-6)
    for name in scores.BASELINES:
        assert summary["baseline"][name] == pytest.approx(table[name].mean(), abs=1e-6)


def test_the_summary_by_hand():
    table = pd.DataFrame(
        {
            "id": ["1", "2", "3"],
            "organ": ["lung", "lung", "kidney"],
            "data_source": ["HPA", "Hubmap", "HPA"],
            "dice": [0.2, 0.4, 0.9],
            "objects": [3, 0, 1],
            "nothing": [0.0, 0.0, 0.0],
            "everything": [0.3, 0.1, 0.2],
            "otsu": [0.3, 0.3, 0.6],
        }
    )
    assert scores.summary(table, NONE, {}) == {
        "dice": 0.5,
        "images": 3,
        "empty": 1,
        "organ": {"kidney": 0.9, "lung": 0.3},
        "data_source": {"HPA": 0.55, "Hubmap": 0.4},
        "baseline": {"nothing": 0.0, "everything": 0.2, "otsu": 0.4},
    }


@given(table=tables())
def test_the_typical_image_of_each_group_has_its_lower_median(table):
    typical = scores.typical(table)
    groups = table.groupby(list(GROUPS))
    if groups.ngroups == 1:
        ranked = table.sort_values(["dice", "id"])["id"].tolist()
        assert typical == list(dict.fromkeys([ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]]))
        return
    assert len(typical) == groups.ngroups
    for image_id, (_, rows) in zip(typical, groups, strict=True):
        chosen = rows.set_index("id").loc[image_id, "dice"]
        assert chosen == sorted(rows["dice"])[(len(rows) - 1) // 2]
    assert scores.typical(table.sample(frac=1, random_state=0)) == typical


@given(table=tables())
def test_the_report_is_a_table_that_shows_every_score(table):
    summary = scores.summary(table, NONE, {})
    first, _, *lines = scores.report(table, NONE, {}).splitlines()
    assert f"{summary['dice']:.3f} over {len(table)} images" in first
    assert {line.count("|") for line in lines} == {4}
    for group in GROUPS:
        for name, value in summary[group].items():
            assert f"| {name} | {(table[group] == name).sum()} | {value:.3f} |" in lines
    for name, value in summary["baseline"].items():
        assert f"| baseline: {name} | {len(table)} | {value:.3f} |" in lines


def test_shifted_images_are_summed_up_by_organ_and_reported():
    table = pd.DataFrame([TYPICAL | {"id": "1", "objects": 0}, TYPICAL | {"id": "2"}])
    shifted = pd.DataFrame(
        [
            TYPICAL | {"organ": organ, "dice": dice}
            for organ, dice in (("lung", 0.1), ("lung", 0.3), ("spleen", 0.8))
        ]
    )
    summary = scores.summary(table, shifted, {})
    assert summary["dice_shifted"] == {"lung": 0.2, "spleen": 0.8, "mean": 0.4}
    assert (summary["empty"], summary["dice"]) == (1, 0.5)
    lines = scores.report(table, shifted, {}).splitlines()
    assert [line for line in lines if "shifted" in line] == [
        "| shifted: lung | 2 | 0.200 |",
        "| shifted: spleen | 1 | 0.800 |",
        "| shifted: mean | 3 | 0.400 |",
    ]
    assert lines[-1] == "1 of 2 masks are empty."


@pytest.mark.parametrize("parts", [[], ["all oof"], ["all oof", "all shifted"]])
def test_what_was_chosen_on_other_folds_stands_beside_what_flatters(parts):
    estimates = {part: {"nested": {"dice": 0.1, "low": 0.0, "high": 0.2}} for part in parts}
    facts = {"enabled": True, "estimates": estimates} if parts else {"enabled": False}
    table = pd.DataFrame([TYPICAL | {"id": "1"}])
    found = scores.nested(facts)
    assert list(found) == ["nested", "nested_shifted"][: len(parts)]
    assert scores.summary(table, NONE, found) == scores.summary(table, NONE, {}) | found
    said = scores.report(table, NONE, found)
    assert said.count("chosen on other folds: 0.100") == len(parts)
    assert ("the shifted images" in said) == ("all shifted" in parts)


def scored(trial: Trial, way=WAY):
    """The row of an image."""
    return scores.score(trial, way, tolerance=0.0).row


@pytest.fixture
def trial(tmp_path):
    """The upper half is the truth and what the models are sure of; height and width differ."""
    truth = np.repeat([1, 0], 20)[:, None] * np.ones((1, 60), int)
    image_files.write_tiff(tmp_path / "image.tiff", np.full((40, 60, 3), 200, np.uint8))
    png.write_mask(tmp_path / "truth.png", truth.astype(np.uint8))
    write_probability(tmp_path / "map.tif", np.repeat([0.75, 0.25], 4)[:, None] * np.ones((1, 8)))

    def make(threshold: float, *, smallest: float = 0, image: bool = True) -> Trial:
        row = ImageRow("7", "train", "lung", "HPA", 40, 60, 2.0)
        rule = Rule(threshold, smallest_object=smallest, largest_hole=0, foreground=math.nan)
        case = from_maps.Case(row, [([tmp_path / "map.tif"], 1.0)], rule)
        return Trial(case, tmp_path / "truth.png", tmp_path / "image.tiff" if image else None, ["ftu"])

    return make


def test_a_trial_is_scored_at_native_size(trial):
    assert scored(trial(0.5)) | {"otsu": 0} == {
        "id": "7", "organ": "lung", "data_source": "HPA", "dice": 1.0, "objects": 1, "action": "",
        "nothing": 0.0, "everything": round(2 / 3, 6), "otsu": 0,
    }  # fmt: skip
    assert scored(trial(0.2))["dice"] == round(2 / 3, 6)
    assert list(scored(trial(0.5, image=False))) == scores.SCORES


def test_an_empty_mask_is_scored_as_the_guard_leaves_it(trial):
    """At 2 um per pixel the upper half is 4800 um2; above 0.8 there is nothing."""
    for rule in (trial(0.8), trial(0.5, smallest=4801)):
        row = scored(rule)
        assert (row["dice"], row["objects"], row["action"]) == (0, 0, "empty")
    assert scored(trial(0.5, smallest=4800))["dice"] == 1
    row = scored(trial(0.8), WAY._replace(never_empty="lower"))
    assert float(row["dice"]) > 0.95  # at 0.64 the level line lies a pixel further in
    assert (row["objects"], row["action"]) == (1, "lowered")


def test_resizing_comes_before_the_cut(tmp_path):
    """A mask that is cut first has stairs; a cut of resized probabilities follows their level line."""
    write_probability(tmp_path / "map.tif", np.tile(np.linspace(0, 1, 8), (8, 1)))
    ramp = read_probability(tmp_path / "map.tif")
    row, rule = ImageRow("7", "test", "lung", "HPA", 64, 64, 2.0), Rule(0.3, 0, 0, math.nan)
    mask = from_maps.native_cut(from_maps.Case(row, [([tmp_path / "map.tif"], 1.0)], rule), WAY).mask
    native = cv2.resize(ramp, (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(mask, native > 0.3)
    stairs = cv2.resize((ramp > 0.3).astype(np.uint8), (64, 64), interpolation=cv2.INTER_NEAREST)
    assert (mask != stairs).any()


def test_scores_carry_the_group_where_it_is_known():
    table = pd.DataFrame({"id": ["b", "a"], "dice": [0.5, 0.6]})
    folds = pd.DataFrame({"id": ["a", "b", "c"], "fold": 0, "group": ["a", "x", "x"]})
    assert scores.with_groups(table, folds).to_dict("list") == table.to_dict("list") | {"group": ["x", "a"]}
    assert scores.with_groups(table, folds.drop(columns="group")) is table
    assert list(scores.with_groups(NONE, folds)) == [*scores.SCORES, "group"]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (40, 60, (40, 60)),
        (1024, 512, (512, 256)),
        (512, 1024, (256, 512)),
        (2000, 1, (512, 1)),
        (1, 2000, (1, 512)),
    ],
)
def test_a_picture_has_the_images_proportions_and_is_not_enlarged(tmp_path, height, width, expected):
    image_files.write_tiff(tmp_path / "image.tiff", np.full((height, width, 3), 200, np.uint8))
    png.write_mask(tmp_path / "truth.png", np.ones((height, width), np.uint8))
    write_probability(tmp_path / "map.tif", np.full((4, 4), 0.75))
    row = ImageRow("7", "train", "lung", "HPA", height, width, 2.0)
    case = from_maps.Case(row, [([tmp_path / "map.tif"], 1.0)], Rule(0.5, 0, 0, math.nan))
    found = scores.picture(Trial(case, tmp_path / "truth.png", tmp_path / "image.tiff", ["ftu"]), WAY, 0.456)
    assert found.title == "lung, HPA: Dice 0.46"
    assert [part.shape[:2] for part in found[1:]] == [expected] * 3
    assert found[1].mean() == pytest.approx(200, abs=1)
    assert all(part.min() == 1 for part in found[2:])


def test_trials_are_of_the_rows_in_their_order_with_truths_and_images_where_they_lie(tmp_path):
    rows = [
        ImageRow(name, "train", "lung", "HPA", 4, 4, 1.0, f"train_images/{name}.tiff") for name in ("b", "a")
    ]
    folder = tmp_path / "fold_0" / "oof" / "none"
    folder.mkdir(parents=True)
    for row in rows:
        write_probability(folder / f"{row.id}.tif", np.zeros((4, 4)))
    rule = Rule(0.5, 0, 0, math.nan)
    known = rules.Rules("none", 1.0, {}, "table", {"HPA": {"lung": rule}}, {})
    own = [Experiment("own", tmp_path, (0,), 1.0, "none")]
    with_images = scores.trials(
        rows, "oof", own, known, masks=tmp_path / "m", classes=["ftu"], root=tmp_path / "r"
    )
    assert [(one.case.row.id, one.case.rule) for one in with_images] == [("b", rule), ("a", rule)]
    assert [one.truth for one in with_images] == [tmp_path / "m/b.png", tmp_path / "m/a.png"]
    assert [one.image for one in with_images] == [tmp_path / f"r/train_images/{n}.tiff" for n in "ba"]
    assert {one.image for one in scores.trials(rows, "oof", own, known, masks=tmp_path, classes=["ftu"])} == {
        None
    }
