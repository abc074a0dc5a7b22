"""From maps to masks: what is refused before any image is cut, and what is told of the never-empty guard."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ftu.errors import InputError
from ftu.masks import from_maps
from maps import write_probability

FULL = {"id": "1", "organ": "lung", "asked": 0.5, "used": 0.5, "objects": 3, "action": ""}
LOWERED = FULL | {"id": "2", "used": 0.32, "objects": 1, "action": "lowered"}
EMPTY = FULL | {"id": "3", "organ": "spleen", "objects": 0, "action": "empty"}
ROW: Any = SimpleNamespace(id="1", organ="lung", data_source="HPA")


def test_a_map_that_was_cut_off_is_refused_before_any_image_is_cut(tmp_path, monkeypatch):
    file = tmp_path / "1.tif"
    write_probability(file, np.random.default_rng(0).random((200, 30), np.float32))
    monkeypatch.setattr(from_maps.ensemble, "groups", lambda *_: [([file], 1.0)])
    rules: Any = SimpleNamespace(rule=lambda source, organ: (source, organ))
    (case,) = from_maps.cases([ROW], "test", [], rules)
    assert case == (ROW, [([file], 1.0)], ("HPA", "lung"))
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"1\.tif: is missing or damaged"):
        from_maps.cases([ROW], "test", [], rules)


def test_thresholds_are_told_to_six_digits(monkeypatch):
    made = SimpleNamespace(
        mask=np.eye(2, dtype=np.uint8), asked=0.12345678, threshold=1 / 3, objects=2, action="lowered"
    )
    monkeypatch.setattr(from_maps, "native_cut", lambda *_: made)
    case: Any = SimpleNamespace(row=ROW)
    way: Any = None
    told = from_maps.answer(case, way)
    assert (told["asked"], told["used"], told["rles"]) == (0.123457, 0.333333, ["1 1 4 1"])
    assert list(told) == ["id", "rles", *from_maps.GUARDED[1:]]


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
