"""Numbers of the page, read from the tables that evaluate wrote."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pages
from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.reports import class_scores
from ftu.reports.page import page, tables


@pytest.fixture
def reports(tmp_path):
    """The folder as evaluate leaves it, of pages.IDS."""
    oof = pages.oof(pages.IDS[:5])
    oof.to_csv(tmp_path / "dice.csv", index=False)
    for name in ("dice_shifted.csv", "dice_test.csv"):
        oof[:0].to_csv(tmp_path / name, index=False)
    rows = [{"part": "oof", "id": name, "class": "ftu"} for name in oof["id"]]
    scores = pd.DataFrame(rows).assign(dice=0.5, iou=0.25, hd95=[1.5, np.nan, 2, 2, 2], surface_dice=0.5)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    facts = dict.fromkeys(class_scores.HEADS, 0.5)
    jsonfile.write(tmp_path / "scores.json", {"oof": {"ftu": facts, "mean": facts}})
    return tmp_path


def folds(ids=pages.IDS):
    return pd.DataFrame({"id": ids, "fold": 0})


def test_ids_and_numbers_survive_the_files(reports):
    found = tables.read(reports, ["ftu"], folds())
    assert found.images["oof"]["id"].tolist() == ["001", "NA", "1e5", "1", "None"]
    assert found.images["oof"]["dice"].tolist() == pages.oof(pages.IDS[:5])["dice"].tolist()
    ((_, means),) = found.classes["oof"].rows
    hd95 = means[found.classes["oof"].heads.index("HD95 um")]
    assert hd95 == (0.5, 4, 1)
    assert "test" not in found.classes


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (
            lambda folder: (folder / "dice.csv").write_text("id,organ\n"),
            "has no column data_source",
        ),
        (lambda folder: (folder / "scores.json").write_text("{}{"), "scores.json: is damaged"),
        (lambda folder: (folder / "scores.json").write_text('{"oof": {"mean": {}}}'), "has no ftu"),
        (lambda folder: (folder / "scores.csv").unlink(), "scores.csv: cannot be read"),
        (lambda folder: pages.oof()[:0].to_csv(folder / "dice.csv", index=False), "dice.csv: has no rows"),
        (lambda folder: pages.oof(["x"]).to_csv(folder / "dice.csv", index=False), "id x; run `dvc repro"),
    ],
)
def test_bad_tables_are_told_in_a_line(reports, break_it, words):
    break_it(reports)
    with pytest.raises(InputError, match=words) as error:
        tables.read(reports, ["ftu"], folds())
    assert "\n" not in str(error.value)


@given(st.lists(st.one_of(st.just(np.nan), st.floats(0, 1)), min_size=1, max_size=9))
def test_means_count_what_is_defined_and_what_is_not(values):
    defined = [value for value in values if not np.isnan(value)]
    mean, n, undefined = tables.mean_of(pd.Series(values))
    assert (n, undefined) == (len(defined), len(values) - len(defined))
    assert mean is None if not defined else mean == pytest.approx(np.mean(defined))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1)), min_size=1, max_size=9))
def test_parts_add_up_to_the_whole(rows):
    table = pd.DataFrame(rows, columns=["organ", "dice"]).assign(objects=[0.0] * len(rows))
    parts = tables.by(table, "organ")
    assert sum(part.images for part in parts) == sum(part.empty for part in parts) == len(rows)
    weighed = sum((part.dice.value or 0) * part.images for part in parts) / len(rows)
    assert weighed == pytest.approx(table["dice"].mean())
    assert min(part.lowest or 0.0 for part in parts) == table["dice"].min()


def test_the_interval_is_over_groups_and_of_two_at_least():
    table = pages.oof()
    found = tables.interval(table, draws=200, seed=1)
    assert found
    low, high = found
    assert low < table["dice"].mean() < high
    grouped = table.assign(group=["a"] * 3 + ["b"] * 3)
    assert tables.interval(grouped, draws=200, seed=1) == (
        pytest.approx(table["dice"][3:].mean()),
        pytest.approx(table["dice"][:3].mean()),
    )
    assert tables.interval(table.assign(group="a"), draws=200, seed=1) is None
    assert tables.interval(table[:1], draws=200, seed=1) is None


def test_warnings_of_geometry_and_stain(tmp_path):
    geometry = pd.DataFrame({"organ": ["lung", "lung"], "data_source": "NA", "set": ["train", "test"]})
    scale = [1.0, 2.0]
    geometry = geometry.assign(images=3, network_um=scale, against_train=scale, against_train_min=scale)
    geometry.assign(against_train_max=scale).to_csv(tmp_path / "geometry.csv", index=False)
    quality = pd.DataFrame({"id": ["001", "NA", "1e5"], "reason": ["", "blank: no tissue", ""]})
    quality = quality.assign(residual=[0.1, np.nan, 0.3], gain=np.nan, clipped=0.0, artefacts=[0.0, 0.5, 0.1])
    quality.to_csv(tmp_path / "qc.csv", index=False)
    found = page.read_warnings(tmp_path / "geometry.csv", tmp_path / "qc.csv")
    assert [sentence[:30] for sentence in found.scales] == ["lung, NA: the network sees 2.0"]
    assert found.reasons == [("blank: no tissue", 1, "NA")]
    by_name = {each.name: each for each in found.qualities}
    assert by_name["residual"] == ("residual", (pytest.approx(0.2), 2, 1), 0.3, "1e5")
    assert by_name["artefacts"].image == "NA"
    assert by_name["gain"] == ("gain", (None, 0, 3), None, "")
