"""Who belongs together: equal values, one picture twice, and whatever these lead to."""

import networkx as nx
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ftu.datasets import groups

TEST = pd.DataFrame({"id": ["t", "u"]})


def people(*rows: str) -> pd.DataFrame:
    """Rows `id sex age`, a dot for an empty value."""
    cells = [row.replace(".", "").split(" ") for row in rows]
    return pd.DataFrame(cells, columns=["id", "sex", "age"])


ids = st.lists(st.text("abc123", min_size=1, max_size=3), min_size=1, max_size=12, unique=True)


@given(data=st.data(), names=ids)
def test_joined_are_the_connected_components_by_their_smallest_id(data, names):
    tie = st.lists(st.sampled_from(names), min_size=1, max_size=4)
    ties = data.draw(st.lists(tie, max_size=8))
    graph = nx.Graph()
    graph.add_nodes_from(names)
    for one in ties:
        nx.add_path(graph, one)
    expected = {name: min(part) for part in nx.connected_components(graph) for name in part}
    assert groups.joined(names, ties) == [expected[name] for name in names]


def test_nothing_is_known_without_columns_and_pairs() -> None:
    assert groups.of(people("b M 30", "a M 30"), TEST, [], []) == ([], [])


def test_equal_values_in_all_columns_are_a_group_named_after_its_first_id() -> None:
    train = people("d M 30", "b F 30", "c M 30", "a M 31")
    assert groups.of(train, TEST, ["sex", "age"], []) == (["c", "b", "c", "a"], [])
    assert groups.of(train, TEST, ["sex"], []).names == ["a", "b", "a", "a"]


def test_values_are_compared_column_by_column() -> None:
    assert groups.of(people("a M 11", "b M1 1"), TEST, ["sex", "age"], []).names == ["a", "b"]


def test_a_row_without_a_value_is_a_group_of_its_own_and_counted() -> None:
    found = groups.of(people("a M .", "b M .", "c . .", "d M 9", "e M 9"), TEST, ["sex", "age"], [])
    assert found.names == ["a", "b", "c", "d", "d"]
    (said,) = found.warnings
    assert said.startswith("3 of 5 training images have no value in one of data.group (sex, age)")
    assert said.endswith("a, b, c")


def test_one_picture_twice_joins_two_patients_and_is_told() -> None:
    train = people("a M 30", "b M 30", "c F 40", "d F 40", "e F 50")
    found = groups.of(train, TEST, ["sex", "age"], [(1, 2)])
    assert found.names == ["a", "a", "a", "a", "e"]
    assert found.warnings == ["one picture twice among the training images, of one group: b and c"]


def test_one_picture_twice_in_a_patient_is_not_told() -> None:
    """Neighbouring slices look alike; what data.group has put together already needs no look."""
    train = people("a M 30", "b M 30", "c F 40")
    assert groups.of(train, TEST, ["sex", "age"], [(0, 1)]) == (["a", "a", "c"], [])
    (said,) = groups.of(train, TEST, ["sex", "age"], [(0, 1), (1, 2)]).warnings
    assert said.endswith("of one group: b and c")


def test_one_picture_twice_is_a_group_without_columns() -> None:
    assert groups.of(people("a M 30", "b M 30", "c M 30"), TEST, [], [(0, 2)]).names == ["a", "b", "a"]


def test_one_picture_in_train_and_test_is_told_and_no_group() -> None:
    names, warnings = groups.of(people("a M 30", "b M 30"), TEST, [], [(1, 2), (2, 3)])
    assert names == []
    (said,) = warnings
    assert said.startswith("one picture in train and in test, which flatters scores on the test images")
    assert said.endswith("b and t")  # two of the test images leak nothing


def test_blanks_around_a_value_part_nobody_and_a_blank_is_no_value() -> None:
    train = people("a M 30", "b M 30", "c M 30").assign(age=["30", "30 ", " "])
    found = groups.of(train, TEST, ["sex", "age"], [])
    assert found.names == ["a", "a", "c"]
    assert found.warnings[0].startswith("1 of 3 training images have no value")


def test_two_training_images_are_tied_by_a_test_image_that_both_are() -> None:
    names, warnings = groups.of(people("x M 30", "y F 31", "z F 32"), TEST, [], [(0, 3), (1, 3)])
    assert names == ["t", "t", "z"]
    assert "one picture in train and in test" in warnings[0]
