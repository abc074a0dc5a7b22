"""Laws of masks of several classes: the likeliest one, tidied class by class, as rules and as submissions."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from ftu.errors import InputError
from ftu.files import png, rle
from ftu.masks import classes, rules, submission
from ftu.masks.classes import ClassRule
from ftu.masks.cutting import Guard
from ftu.masks.rules import Rules

NAMES = ["membrane", "vesicle", "axon"]
EIGHT, FOUR = np.ones((3, 3)), None


def parts(mask: np.ndarray, structure: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The connected parts of a mask by number, and how many there are."""
    found: Any = ndimage.label(mask, structure)
    return found


shapes = st.tuples(st.integers(1, 9), st.integers(1, 12))
labels = shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3)))
maps = shapes.flatmap(
    lambda shape: arrays(np.float32, (3, *shape), elements=st.sampled_from([0, 0.125, 0.25, 0.5]))
)
areas = st.sampled_from([0.0, 1.0, 4.0, 9.0, 16.0])


def sure(mask: np.ndarray) -> np.ndarray:
    """Probabilities of 1 for what a mask says, (3, H, W) float32."""
    return np.stack([mask == number for number in (1, 2, 3)]).astype(np.float32)


def cut(probability, smallest=(0.0,) * 3, largest=(0.0,) * 3, pixel_size=1.0, never_empty: Guard = "warn"):
    return classes.cut(
        probability, ClassRule(smallest, largest), pixel_size=pixel_size, never_empty=never_empty
    )


@given(probability=maps)
def test_a_pixel_is_of_the_likeliest_class_background_among_them(probability):
    probability /= np.maximum(probability.sum(axis=0), 1)
    whole = np.concatenate([1 - probability.sum(axis=0, keepdims=True), probability])
    np.testing.assert_array_equal(classes.likeliest(probability), whole.argmax(axis=0))


@given(mask=labels)
def test_what_is_sure_is_the_mask(mask):
    made = cut(sure(mask))
    np.testing.assert_array_equal(made.mask, mask)
    assert made.mask.dtype == np.uint8
    assert made.objects == sum(parts(mask == number, EIGHT)[1] for number in (1, 2, 3))
    assert made.action == ("" if mask.any() else "empty")
    assert cut(sure(mask), never_empty="off").action == ""


@given(mask=labels, smallest=st.tuples(areas, areas, areas))
def test_small_objects_of_each_class_become_background_by_its_own_size(mask, smallest):
    expected = mask.copy()
    for number, size in zip((1, 2, 3), smallest, strict=True):
        found, count = parts(mask == number, EIGHT)
        for one in range(1, count + 1):
            if np.count_nonzero(found == one) * 4 < size:  # pixels of 2 um
                expected[found == one] = 0
    np.testing.assert_array_equal(cut(sure(mask), smallest, pixel_size=2.0).mask, expected)


@given(mask=labels, largest=areas)
def test_a_hole_of_background_alone_is_filled_and_no_other(mask, largest):
    expected = mask.copy()
    found, count = parts(mask != 2, FOUR)
    outer = set(np.unique(np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])))
    for one in set(range(1, count + 1)) - outer:
        part = found == one
        if not mask[part].any() and np.count_nonzero(part) <= largest:
            expected[part] = 2
    np.testing.assert_array_equal(cut(sure(mask), largest=(0.0, largest, 0.0)).mask, expected)


def test_a_nucleus_in_a_cell_is_no_hole():
    mask = np.full((5, 5), 1, np.uint8)
    mask[1:4, 1:4] = 0
    hollow = mask.copy()
    mask[2, 2] = 3
    np.testing.assert_array_equal(cut(sure(mask), largest=(99.0,) * 3).mask, mask)
    np.testing.assert_array_equal(cut(sure(hollow), largest=(99.0,) * 3).mask, np.ones((5, 5)))


# ------------------------------------------------------------------ rules and submissions


def written(path, **changes):
    table = rules.of_classes(NAMES, ["EM"], ["brain"], smallest_object={"vesicle": 2.5}, largest_hole=7.0)
    rules.write(path, Rules("none", 1.0, {}, "argmax", {}, {}, tuple(NAMES), table))
    if changes:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["rules"]["EM"]["brain"] |= changes
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_rules_have_a_size_for_each_class_by_its_name(tmp_path):
    path = written(tmp_path / "rules.json")
    known = rules.read(path, organs=["brain"], sources=["EM"], classes=NAMES)
    assert known.rule("EM", "brain") == ClassRule((0.0, 2.5, 0.0), (7.0, 7.0, 7.0))
    facts = json.loads(path.read_text(encoding="utf-8"))["rules"]["EM"]["brain"]
    assert facts["smallest_object"] == {"membrane": 0.0, "vesicle": 2.5, "axon": 0.0}


def test_rules_of_other_classes_are_refused(tmp_path):
    path = written(tmp_path / "rules.json", largest_hole={"membrane": 1.0})
    for known, words in {
        tuple(NAMES): "largest_hole is .* not a size for each of membrane, vesicle, axon",
        ("ftu",): "has no foreground",
    }.items():
        with pytest.raises(InputError, match=words):
            rules.read(path, organs=["brain"], sources=["EM"], classes=known)


@given(mask=labels)
def test_a_submission_of_classes_gives_their_masks_back(tmp_path_factory, mask):
    test = {"id": ["001", "NA"], "img_height": [mask.shape[0]] * 2, "img_width": [mask.shape[1]] * 2}
    texts = [rle.encode(mask == number) for number in (1, 2, 3)]
    table = submission.build(test["id"], [texts, texts[::-1]])
    assert list(table.columns) == ["id", "class", "rle"]
    assert table["id"].tolist() == ["001"] * 3 + ["NA"] * 3
    assert table["class"].tolist() == [1, 2, 3, 1, 2, 3]
    submission.check(table, submission.pd.DataFrame(test), 3)
    path = tmp_path_factory.getbasetemp() / "masks" / "001.png"
    submission.write_mask_file(path, texts, mask.shape)
    np.testing.assert_array_equal(png.read_mask(path), mask)


def test_a_class_that_is_not_answered_is_named():
    test = submission.pd.DataFrame({"id": ["a", "b"], "img_height": [2, 2], "img_width": [2, 2]})
    table = submission.build(["a", "b"], [["1 1", ""], ["", "1 9"]])
    with pytest.raises(InputError, match="class 2: id b: rle"):
        submission.check(table, test, 2)
    with pytest.raises(InputError, match="class 1: has no row for id b"):
        submission.check(table[table["id"] == "a"], test, 2)
