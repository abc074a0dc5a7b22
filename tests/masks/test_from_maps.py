"""What is said of the never-empty guard."""

import pandas as pd
import pytest

from ftu.masks import from_maps

FULL = {"id": "1", "organ": "lung", "asked": 0.5, "used": 0.5, "objects": 3, "action": ""}
LOWERED = FULL | {"id": "2", "used": 0.32, "objects": 1, "action": "lowered"}
EMPTY = FULL | {"id": "3", "organ": "spleen", "objects": 0, "action": "empty"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([FULL], ["1 of 1 masks hold an object"]),
        ([FULL, FULL | {"objects": 0}], ["1 of 2 masks hold an object"]),
        ([LOWERED, FULL], ["2 of 2 masks hold an object", "  lowered: 2 (lung, 0.5 lowered to 0.32)"]),
        ([EMPTY], ["0 of 1 masks hold an object", "  empty: 3 (spleen, nothing left at 0.5)"]),
        (
            [EMPTY, LOWERED, EMPTY | {"id": "4"}],
            [
                "1 of 3 masks hold an object",
                "  lowered: 2 (lung, 0.5 lowered to 0.32)",
                "  empty: 3 (spleen, nothing left at 0.5), 4 (spleen, nothing left at 0.5)",
            ],
        ),
        (
            [EMPTY] * 7,
            [
                "0 of 7 masks hold an object",
                f"  empty: {', '.join(['3 (spleen, nothing left at 0.5)'] * 5)} and 2 more",
            ],
        ),
    ],
)
def test_each_kind_of_deed_has_a_line_that_names_images_and_thresholds(rows, expected):
    first, *others = from_maps.guard_in_words(pd.DataFrame(rows), "lower").split("\n")
    assert first == f"never-empty guard (lower): {expected[0]}"
    assert others == expected[1:]
