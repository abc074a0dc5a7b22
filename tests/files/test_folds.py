"""Laws of the deal, on made-up tables and on the competition's own."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.files import folds

counts, seeds = st.integers(2, 6), st.integers(0, 2**32 - 1)
few = settings(max_examples=25)  # each deals a table or more, and takes 10 ms for it


@st.composite
def image_tables(draw: st.DrawFn) -> pd.DataFrame:
    organs = draw(st.lists(st.sampled_from(["kidney", "lung", "spleen"]), min_size=6, max_size=40))
    ids = draw(st.permutations([str(number) for number in range(len(organs))]))
    return pd.DataFrame({"id": ids, "organ": organs})


def check_laws(images: pd.DataFrame, *, count: int, seed: int) -> None:
    table = folds.assign_folds(images, by="image", count=count, seed=seed)
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
    pd.testing.assert_frame_equal(folds.assign_folds(shuffled, by="image", count=count, seed=seed), table)


@few
@given(images=image_tables(), count=counts, seed=seeds)
def test_the_deal_is_fair_complete_and_blind_to_the_order_of_rows(images, count, seed):
    check_laws(images, count=count, seed=seed)


@pytest.mark.skipif("FTU_DATA" not in os.environ, reason="FTU_DATA does not name the folder of real labels")
def test_the_deal_of_the_competitions_images_is_fair():
    path = Path(os.environ["FTU_DATA"]) / "hubmap2022-labels" / "train_rebuilt_351.csv.gz"
    images = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert len(images) == 351
    check_laws(images, count=5, seed=42)


@few
@given(seed=seeds)
def test_another_seed_deals_differently(seed):
    images = pd.DataFrame({"id": [str(number) for number in range(60)], "organ": "lung"})
    first, again, other = (
        folds.assign_folds(images, by="image", count=5, seed=s) for s in (seed, seed, seed + 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@few
@given(seed=seeds)
def test_the_order_of_ids_does_not_decide_the_fold(seed):
    images = pd.DataFrame({"id": [f"{number:02}" for number in range(60)], "organ": "lung"})
    table = folds.assign_folds(images, by="image", count=5, seed=seed)
    assert table["fold"].tolist() != [number % 5 for number in range(60)]


@given(images=image_tables(), more=st.integers(1, 5))
def test_fewer_images_than_folds_is_an_error(images, more):
    with pytest.raises(InputError, match=rf"split\.count: .* got {len(images)}; (use fewer|add images)"):
        folds.assign_folds(images, by="image", count=len(images) + more, seed=0)


@few
@given(images=image_tables(), count=counts)
def test_rare_organs_are_those_that_some_fold_lacks(images, count):
    table = folds.assign_folds(images, by="image", count=count, seed=0)
    held = table.groupby("organ")["fold"].nunique()
    rare = folds.rare_organs(images, count=count)
    assert set(rare) == set(held[held < count].index)
    assert all(rare[organ] == (images["organ"] == organ).sum() for organ in rare)


def test_a_fold_that_was_not_dealt_is_refused_by_name() -> None:
    table = folds.assign_folds(
        pd.DataFrame({"id": ["a", "b"], "organ": ["lung"] * 2}), by="image", count=2, seed=0
    )
    with pytest.raises(InputError, match=r"fold 7 holds no image; the folds are \[0, 1\]"):
        folds.divide(table, 7)


# ------------------------------------------------------------------ groups


@st.composite
def grouped_tables(draw: st.DrawFn, *, one_organ: bool = True) -> pd.DataFrame:
    """Images of up to 20 groups, each of one organ or of any."""
    images = draw(image_tables())
    size = len(images)
    numbers = draw(st.lists(st.integers(0, 19), min_size=size, max_size=size))
    names = pd.Series([f"g{number}" for number in numbers])
    return images.assign(group=names + (images["organ"] if one_organ else ""))


def dealt_by_hand(images: pd.DataFrame, *, count: int, seed: int) -> list[int]:
    """The deal without groups as it is told: shuffle, sort by organ, deal round."""
    names = sorted(images["id"])
    organ = images.set_index("id")["organ"]
    deck = sorted(zip(np.random.default_rng(seed).permutation(len(names)), names, strict=True))
    deck.sort(key=lambda card: organ[card[1]])
    fold = {name: place % count for place, (_, name) in enumerate(deck)}
    return [fold[name] for name in names]


@few
@given(images=image_tables(), count=counts, seed=seeds)
def test_groups_of_one_image_are_dealt_as_if_there_were_none(images, count, seed):
    plain = folds.assign_folds(images, by="image", count=count, seed=seed)
    assert plain["fold"].tolist() == dealt_by_hand(images, count=count, seed=seed)
    grouped = folds.assign_folds(images.assign(group="g" + images["id"]), by="image", count=count, seed=seed)
    assert list(grouped.columns) == ["id", "organ", "fold", "group"]
    pd.testing.assert_frame_equal(grouped.drop(columns="group"), plain)


@few
@given(images=st.one_of(grouped_tables(), grouped_tables(one_organ=False)), count=counts, seed=seeds)
def test_no_group_lies_in_two_folds_and_every_image_is_dealt_once(images, count, seed):
    if images["group"].nunique() < count:
        with pytest.raises(InputError, match=r"groups, got .*; (use fewer|add images).*, or name"):
            folds.assign_folds(images, by="image", count=count, seed=seed)
        return
    table = folds.assign_folds(images, by="image", count=count, seed=seed)
    assert table["id"].tolist() == sorted(images["id"])
    assert table["group"].tolist() == images.set_index("id")["group"][table["id"]].tolist()
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert set(table["fold"]) == set(range(count))  # no fold is empty
    shuffled = images.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(folds.assign_folds(shuffled, by="image", count=count, seed=seed), table)


@few
@given(images=grouped_tables(), count=counts, seed=seeds)
def test_folds_differ_by_no_more_images_of_an_organ_than_its_largest_group(images, count, seed):
    if images["group"].nunique() < count:
        return
    table = folds.assign_folds(images, by="image", count=count, seed=seed)
    cells = pd.crosstab(table["organ"], table["fold"]).reindex(columns=range(count), fill_value=0)
    largest = images.groupby(["organ", "group"]).size().groupby("organ").max()
    assert ((cells.max(axis=1) - cells.min(axis=1)) <= largest).all()
    held = table.groupby("organ")["fold"].nunique()
    assert set(folds.rare_organs(images, count=count)) == set(held[held < count].index)


def test_the_largest_groups_are_dealt_first_to_the_emptiest_fold() -> None:
    images = pd.DataFrame({"id": list("abcdefg"), "organ": "lung", "group": list("xxxyyzw")})
    table = folds.assign_folds(images, by="image", count=2, seed=0)
    assert table["fold"].value_counts().tolist() == [4, 3]
    fold = table.groupby("group")["fold"].first()
    assert (fold["x"], fold["y"]) == (0, 1)  # then one of z and w to y, the other to either


def test_a_group_that_leaves_folds_empty_is_refused_with_the_way_out() -> None:
    images = pd.DataFrame({"id": list("abcdef"), "organ": "lung", "group": list("bbbbbf")})
    message = (
        "split.count: 3 folds need at least 3 groups, got 2, the largest of 5 of 6 images (b and others); "
        "use fewer folds, or name more columns in data.group"
    )
    with pytest.raises(InputError) as caught:
        folds.assign_folds(images, by="image", count=3, seed=0)
    assert str(caught.value) == message


@few
@given(images=grouped_tables(), seed=seeds)
def test_what_is_dealt_is_read_again(tmp_path_factory, images, seed):
    path = tmp_path_factory.getbasetemp() / "folds.csv"
    for table in (images, images.drop(columns="group")):
        if table.get("group", table["id"]).nunique() < 2:
            continue
        dealt = folds.assign_folds(table, by="image", count=2, seed=seed)
        dealt.to_csv(path, index=False)
        pd.testing.assert_frame_equal(folds.read_folds(path), dealt)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,lung,0,a\nb,lung,1,a\n", "group 'a' has images in folds 0, 1; run `dvc repro"),
        ("a,lung,0,a\nb,lung,1,\n", "id b: group is empty; run `dvc repro`"),
    ],
)
def test_a_table_whose_groups_are_wrong_is_refused(tmp_path, rows, words):
    (tmp_path / "folds.csv").write_text("id,organ,fold,group\n" + rows)
    with pytest.raises(InputError, match=r"folds\.csv: ") as caught:
        folds.read_folds(tmp_path / "folds.csv")
    assert words in str(caught.value)


def test_folds_are_of_the_training_images_of_the_index_and_of_no_others(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("id,organ,fold\na,lung,0\nb,lung,1\n")
    index = pd.DataFrame({"id": ["b", "a", "c"], "set": ["train", "train", "test"]})
    assert folds.read_dealt(path, index)["id"].tolist() == ["a", "b"]
    for other, odd in ((index.iloc[1:], "b"), (index.assign(set="train"), "c")):
        with pytest.raises(
            InputError, match=rf"folds\.csv: .* id {odd} in one of the two alone; run `dvc repro`"
        ):
            folds.read_dealt(path, other)


def test_rare_organs_come_in_the_order_of_their_names_whatever_that_of_the_rows():
    images = pd.DataFrame({"id": ["1", "2", "3"], "organ": ["spleen", "kidney", "lung"]})
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        assert list(folds.rare_organs(images.iloc[order], count=2)) == ["kidney", "lung", "spleen"]


# ------------------------------------------------------------------ slices and sources


@st.composite
def volumes(draw) -> pd.DataFrame:
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    rows = [
        {
            "id": f"{name}{z:02d}",
            "organ": "o",
            "data_source": f"s{name % 2}",
            "volume": f"v{name // 2}",
            "z": str(z * 3),
        }
        for name, size in enumerate(sizes)
        for z in draw(st.permutations(range(size)))
    ]
    return pd.DataFrame(rows)


@given(images=volumes(), count=st.integers(2, 5))
def test_by_z_each_fold_is_an_interval_of_each_volume(images, count):
    per_volume = images.groupby(["data_source", "volume"])["id"].size()
    if per_volume.max() < count:  # then no volume reaches all folds
        with pytest.raises(InputError, match=f"split.count: {count} folds, of which .* get no slices"):
            folds.assign_folds(images, by="z", count=count, seed=0)
        return
    table = folds.assign_folds(images.assign(group="one"), by="z", count=count, seed=0)
    assert not folds.rare_organs(table, count=count)  # each fold has slices, though of one group
    assert table["id"].is_monotonic_increasing
    both = images.merge(table[["id", "fold", "group"]], on="id").astype({"z": int})
    assert (both.groupby("group")["fold"].nunique() == 1).all()
    for (_, name), rows in both.groupby(["data_source", "volume"]):
        ordered = rows.sort_values("z")["fold"]
        assert ordered.is_monotonic_increasing, name
        sizes = ordered.value_counts()
        assert len(rows) < count or (set(sizes.index) == set(range(count)) and sizes.max() - sizes.min() <= 1)


def test_by_source_each_fold_is_a_source():
    images = pd.DataFrame({"id": list("abcd"), "organ": "o", "data_source": ["y", "x", "y", "z"]})
    table = folds.assign_folds(images, by="source", count=3, seed=0)
    assert dict(zip(table["id"], table["fold"], strict=True)) == {"a": 1, "b": 0, "c": 1, "d": 2}
    with pytest.raises(InputError, match=r"2 folds by source.* of 3 \(x, y, z\); set split.count: 3"):
        folds.assign_folds(images, by="source", count=2, seed=0)
    with pytest.raises(InputError, match=r"split.by source: group g has images of several sources"):
        folds.assign_folds(images.assign(group=["g", "g", "c", "d"]), by="source", count=3, seed=0)
    with pytest.raises(InputError, match=r"are of 1 \(x\); use another split.by"):
        folds.assign_folds(images.assign(data_source="x"), by="source", count=2, seed=0)


def of_volumes(**columns: list[str]) -> pd.DataFrame:
    """Slices 1 and 2 of volumes v and w."""
    table = pd.DataFrame({"id": ["v1", "v2", "w1", "w2"], "organ": "o", "data_source": "lab"})
    return table.assign(volume=list("vvww"), z=list("1212"), **columns)


def test_one_picture_in_two_folds_of_slices_is_refused_and_in_one_fold_is_not():
    with pytest.raises(InputError, match="v1 and w2 are one picture, and would be in two folds; take one"):
        folds.assign_folds(of_volumes(picture=["v1", "v2", "w1", "v1"]), by="z", count=2, seed=0)
    table = folds.assign_folds(of_volumes(picture=["v1", "v2", "v1", "w2"]), by="z", count=2, seed=0)
    assert table["fold"].tolist() == [0, 1, 0, 1]


def test_slices_of_a_volume_are_of_one_group():
    table = folds.assign_folds(of_volumes(group=list("aabb")), by="group", count=2, seed=0)
    assert table.groupby("group")["fold"].nunique().tolist() == [1, 1]
    with pytest.raises(InputError, match=r"volume 'w' of lab has slices of 2 groups \(b, c\), and slices"):
        folds.assign_folds(of_volumes(group=list("aabc")), by="group", count=2, seed=0)


def test_two_folds_are_the_fewest_that_are_advised():
    for by, columns in (("image", {}), ("group", {"group": ["v1"]})):
        one = of_volumes().drop(columns=["volume", "z"])[:1].assign(**columns)
        with pytest.raises(InputError, match=r"add images, or use another split\.by"):
            folds.assign_folds(one, by=by, count=2, seed=0)
