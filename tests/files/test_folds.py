"""Laws of the deal, on made-up tables and on the competition's own."""

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.files import folds

counts, seeds = st.integers(2, 6), st.integers(0, 2**32 - 1)


@st.composite
def image_tables(draw: st.DrawFn) -> pd.DataFrame:
    organs = draw(st.lists(st.sampled_from(["kidney", "lung", "spleen"]), min_size=6, max_size=40))
    ids = draw(st.permutations([str(number) for number in range(len(organs))]))
    return pd.DataFrame({"id": ids, "organ": organs})


def check_laws(images: pd.DataFrame, *, count: int, seed: int) -> None:
    table = folds.assign_folds(images, count=count, seed=seed)
    assert list(table.columns) == ["id", "organ", "fold"]
    assert table["id"].tolist() == sorted(images["id"])  # every image once, sorted
    organs = images.set_index("id")["organ"]
    assert table["organ"].tolist() == organs[table["id"]].tolist()
    assert set(table["fold"]) == set(range(count))
    cells = pd.crosstab(table["organ"], table["fold"]).reindex(columns=range(count), fill_value=0)
    assert (cells.max(axis=1) - cells.min(axis=1)).max() <= 1
    assert cells.sum().max() - cells.sum().min() <= 1
    for fold in range(count):
        learnt, held_out = folds.divide(table, fold)
        assert set(learnt).isdisjoint(held_out)
        assert sorted(learnt + held_out) == sorted(images["id"])
        assert held_out == table.loc[table["fold"] == fold, "id"].tolist()
    shuffled = images.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(folds.assign_folds(shuffled, count=count, seed=seed), table)


@given(images=image_tables(), count=counts, seed=seeds)
def test_the_deal_is_fair_complete_and_blind_to_the_order_of_rows(images, count, seed):
    check_laws(images, count=count, seed=seed)


@pytest.mark.skipif("FTU_DATA" not in os.environ, reason="FTU_DATA does not name the folder of real labels")
def test_the_deal_of_the_competitions_images_is_fair():
    path = Path(os.environ["FTU_DATA"]) / "hubmap2022-labels" / "train_rebuilt_351.csv.gz"
    images = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert len(images) == 351
    check_laws(images, count=5, seed=42)


@given(seed=seeds)
def test_another_seed_deals_differently(seed):
    images = pd.DataFrame({"id": [str(number) for number in range(60)], "organ": "lung"})
    first, again, other = (folds.assign_folds(images, count=5, seed=s) for s in (seed, seed, seed + 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@given(seed=seeds)
def test_the_order_of_ids_does_not_decide_the_fold(seed):
    images = pd.DataFrame({"id": [f"{number:02}" for number in range(60)], "organ": "lung"})
    table = folds.assign_folds(images, count=5, seed=seed)
    assert table["fold"].tolist() != [number % 5 for number in range(60)]


@given(images=image_tables(), more=st.integers(1, 5))
def test_fewer_images_than_folds_is_an_error(images, more):
    with pytest.raises(InputError, match=rf"split\.count: .* got {len(images)}; use fewer"):
        folds.assign_folds(images, count=len(images) + more, seed=0)


@given(images=image_tables(), count=counts)
def test_rare_organs_are_those_that_some_fold_lacks(images, count):
    table = folds.assign_folds(images, count=count, seed=0)
    held = table.groupby("organ")["fold"].nunique()
    rare = folds.rare_organs(images, count=count)
    assert set(rare) == set(held[held < count].index)
    assert all(rare[organ] == (images["organ"] == organ).sum() for organ in rare)


def test_a_fold_that_was_not_dealt_is_refused_by_name() -> None:
    table = folds.assign_folds(pd.DataFrame({"id": ["a", "b"], "organ": ["lung"] * 2}), count=2, seed=0)
    with pytest.raises(InputError, match=r"fold 7 holds no image; the folds are \[0, 1\]"):
        folds.divide(table, 7)
