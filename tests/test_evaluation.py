"""Scores of images, their summary by organ and source, and the table for people."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu import evaluation, images

GROUPS = ("organ", "data_source")
shares = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    row = st.fixed_dictionaries(
        {
            "organ": st.sampled_from(["kidney", "lung", "spleen"]),
            "data_source": st.sampled_from(["HPA", "Hubmap"]),
            **dict.fromkeys(("dice", *evaluation.BASELINES), shares),
        }
    )
    rows = draw(st.lists(row, min_size=1, max_size=12))
    return pd.DataFrame(rows).assign(id=[str(number) for number in range(len(rows))])


@given(table=tables())
def test_the_summary_is_the_mean_over_images_whatever_the_groups(table):
    scores = evaluation.summary(table)
    assert scores["images"] == len(table)
    assert scores["dice"] == pytest.approx(table["dice"].mean(), abs=1e-6)
    for group in GROUPS:
        sizes = table[group].value_counts()
        assert set(scores[group]) == set(sizes.index)
        weighted = sum(scores[group][name] * size for name, size in sizes.items()) / len(table)
        assert weighted == pytest.approx(scores["dice"], abs=2e-6)
    for name in evaluation.BASELINES:
        assert scores["baseline"][name] == pytest.approx(table[name].mean(), abs=1e-6)


def test_the_summary_by_hand():
    table = pd.DataFrame(
        {
            "id": ["1", "2", "3"],
            "organ": ["lung", "lung", "kidney"],
            "data_source": ["HPA", "Hubmap", "HPA"],
            "dice": [0.2, 0.4, 0.9],
            "nothing": [0.0, 0.0, 0.0],
            "everything": [0.3, 0.1, 0.2],
            "otsu": [0.3, 0.3, 0.6],
        }
    )
    assert evaluation.summary(table) == {
        "dice": 0.5,
        "images": 3,
        "organ": {"kidney": 0.9, "lung": 0.3},
        "data_source": {"HPA": 0.55, "Hubmap": 0.4},
        "baseline": {"nothing": 0.0, "everything": 0.2, "otsu": 0.4},
    }


@given(table=tables())
def test_the_typical_image_of_each_group_has_its_lower_median(table):
    typical = evaluation.typical(table)
    groups = table.groupby(list(GROUPS))
    assert len(typical) == groups.ngroups
    for image_id, (_, rows) in zip(typical, groups, strict=True):
        chosen = rows.set_index("id").loc[image_id, "dice"]
        assert chosen == sorted(rows["dice"])[(len(rows) - 1) // 2]
    assert evaluation.typical(table.sample(frac=1, random_state=0)) == typical


@given(table=tables())
def test_the_report_is_a_table_that_shows_every_score(table):
    scores = evaluation.summary(table)
    first, _, *lines = evaluation.report(table).splitlines()
    assert f"{scores['dice']:.3f} over {len(table)} images" in first
    assert {line.count("|") for line in lines} == {4}
    for group in GROUPS:
        for name, value in scores[group].items():
            assert f"| {name} | {(table[group] == name).sum()} | {value:.3f} |" in lines
    for name, value in scores["baseline"].items():
        assert f"| baseline: {name} | {len(table)} | {value:.3f} |" in lines


def test_a_case_is_scored_at_native_size(tmp_path):
    """The upper half is the truth and what the model is sure of; height and width differ."""
    truth = np.repeat([1, 0], 20)[:, None] * np.ones((1, 60), int)
    images.write_tiff(tmp_path / "image.tiff", np.full((40, 60, 3), 200, np.uint8))
    images.write_mask(tmp_path / "truth.png", truth.astype(np.uint8))
    images.write_probability(tmp_path / "map.png", np.repeat([0.75, 0.25], 4)[:, None] * np.ones((1, 8)))

    def score(threshold: float) -> dict[str, str | float]:
        paths = {
            name: tmp_path / file
            for name, file in {"image": "image.tiff", "truth": "truth.png", "probability": "map.png"}.items()
        }
        case = evaluation.Case(id="7", organ="lung", data_source="HPA", threshold=threshold, **paths)
        assert evaluation.masks(case)[1].shape == (40, 60)
        return evaluation.score(case)

    assert score(0.5) | {"otsu": 0} == {
        "id": "7", "organ": "lung", "data_source": "HPA",
        "dice": 1.0, "nothing": 0.0, "everything": round(2 / 3, 6), "otsu": 0,
    }  # fmt: skip
    assert score(0.8)["dice"] == 0
    assert score(0.2)["dice"] == round(2 / 3, 6)
