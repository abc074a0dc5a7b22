"""Laws of the encoding, literals that pin its direction, and agreement with an independent encoder."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from ftu.files import rle

MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1))


@given(MASKS)
def test_decode_inverts_encode(mask):
    height, width = mask.shape
    decoded = rle.decode(rle.encode(mask), height=height, width=width)
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous


@st.composite
def canonical_strings(draw):
    """A valid string whose runs do not touch, with the size of its mask."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = height * width
    edges = sorted(draw(st.sets(st.integers(1, size + 1), max_size=size + 1)))
    pairs = zip(edges[0::2], edges[1::2], strict=False)  # an odd edge out is dropped
    return " ".join(f"{start} {stop - start}" for start, stop in pairs), height, width


@given(canonical_strings())
def test_encode_inverts_decode(case):
    text, height, width = case
    assert rle.encode(rle.decode(text, height=height, width=width)) == text


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("", [[0, 0, 0], [0, 0, 0]]),
        ("1 6", [[1, 1, 1], [1, 1, 1]]),
        ("1 1", [[1, 0, 0], [0, 0, 0]]),
        ("2 1", [[0, 0, 0], [1, 0, 0]]),  # the second pixel is below the first
        ("3 1", [[0, 1, 0], [0, 0, 0]]),
        ("6 1", [[0, 0, 0], [0, 0, 1]]),
        ("2 2", [[0, 1, 0], [1, 0, 0]]),  # from the bottom of a column to the top of the next
        ("2 4", [[0, 1, 1], [1, 1, 0]]),  # over a whole column
        ("1 1 4 1 6 1", [[1, 0, 0], [0, 1, 1]]),
        ("1 1", [[1]]),
        ("", [[0]]),
        ("2 2", [[0, 1, 1]]),
        ("2 2", [[0], [1], [1]]),
    ],
)
def test_literals(text, mask):
    mask = np.array(mask, np.uint8)
    height, width = mask.shape
    assert rle.encode(mask) == text
    np.testing.assert_array_equal(rle.decode(text, height=height, width=width), mask)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("1 2 3 1", "1 3"), ("1 1 2 1 3 4", "1 6"), (" 1  2 ", "1 2"), ("  ", ""), ("01 2", "1 2")],
)
def test_decode_accepts_what_encode_would_write_shorter(text, canonical):
    assert rle.encode(rle.decode(text, height=2, width=3)) == canonical


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int32, np.uint64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_encode_takes_any_type_and_order(dtype, order):
    assert rle.encode(np.array([[0, 0, 1], [1, 0, 1]], dtype, order=order)) == "2 1 5 2"


def test_encode_takes_a_strided_view():
    assert rle.encode(np.array([[0, 9, 1, 9], [9, 9, 9, 9], [1, 9, 0, 9]], np.uint8)[::2, ::2]) == "2 2"


def coco_counts(text: str, size: int) -> list[int]:
    """Lengths of zeros, ones, zeros, ... in column-major order, as pycocotools takes them."""
    numbers = [int(token) for token in text.split()]
    edges = [0]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        edges += [start - 1, start - 1 + length]
    edges += [size] if edges[-1] < size else []
    return np.diff(edges).tolist()


def agrees(mask: np.ndarray) -> None:
    """pycocotools encodes the mask to our runs, and decodes our runs to the mask, as we do."""
    height, width = mask.shape
    text = rle.encode(mask)
    ours: Any = {"size": mask.shape, "counts": coco_counts(text, mask.size)}
    peer = coco.frPyObjects(ours, height, width)
    assert coco.encode(np.asfortranarray(mask)) == peer
    np.testing.assert_array_equal(coco.decode(peer), mask)
    np.testing.assert_array_equal(rle.decode(text, height=height, width=width), mask)


def painted(shape: tuple[int, int], pixels: slice) -> np.ndarray:
    """A mask of ones in these places of column-major order."""
    mask = np.zeros(shape[0] * shape[1], np.uint8)
    mask[pixels] = 1
    return mask.reshape(shape, order="F")


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (64, 65), (512, 387)])
@pytest.mark.parametrize("density", [0.02, 0.5, 0.98])
def test_agrees_with_pycocotools(shape, density):
    agrees((np.random.default_rng(0).random(shape) < density).astype(np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 5), (4, 7), (7, 4)])
@pytest.mark.parametrize(
    "pixels",
    [slice(None), slice(0, 0), slice(0, 1), slice(-1, None), slice(0, None, 2), slice(2, -2)],
    ids=["full", "empty", "first", "last", "every second", "all but the ends"],
)
def test_agrees_with_pycocotools_at_the_extremes(shape, pixels):
    agrees(painted(shape, pixels))


@pytest.mark.parametrize("pixel", range(12))
def test_agrees_with_pycocotools_on_any_single_pixel(pixel):
    mask = painted((3, 4), slice(pixel, pixel + 1))
    agrees(mask)
    assert rle.encode(mask) == f"{pixel + 1} 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 5", "pair 2: start 5 has no length"),
        ("3", "pair 1: start 3 has no length"),
        ("1 2 x 1", "pair 2: start 'x' is not a whole number"),
        ("1 2 5 nan", "pair 2: length 'nan' is not a whole number"),
        ("1.5 2", "pair 1: start '1.5' is not a whole number"),
        ("1 +3", r"pair 1: length '\+3' is not a whole number"),
        ("1e3 1", "pair 1: start '1e3' is not a whole number"),
        ("1 2 5 \u0661", "pair 2: length '\u0661' is not a whole number"),
        ("² 1", "pair 1: start '²' is not a whole number"),
        ("1_0 1", "pair 1: start '1_0' is not a whole number"),
        ("1,2", "pair 1: start '1,2' is not a whole number"),
        ("1\t2", r"pair 1: start '1\\t2' is not a whole number"),
        ("1 2\n", r"pair 1: length '2\\n' is not a whole number"),
        ("1 2\0", r"pair 1: length '2\\x00' is not a whole number"),
        ("1 \ud800", r"pair 1: length '\\ud800' is not a whole number"),
        ("1 2 5 -1", "pair 2: length '-1' is not a whole number"),
        ("-1 2", "pair 1: start '-1' is not a whole number"),
        ("1 2 5 0", r"pair 2: length 0 is not within 1 to 12 \(height 3 x width 4\)"),
        ("0 2", "pair 1: start 0 is not within 1 to 12"),
        ("1 2 13 1", "pair 2: start 13 is not within 1 to 12"),
        ("1 13", "pair 1: length 13 is not within 1 to 12"),
        ("1 2 12 2", r"pair 2: start 12 with length 2 ends past 12 \(height 3 x width 4\)"),
        ("1 9223372036854775808", "pair 1: length 9223372036854775808 is not within"),
        ("18446744073709551617 1", "pair 1: start 18446744073709551617 is not within"),
        ("9223372036854775807 9223372036854775807", "pair 1: start 9223372036854775807 is not within"),
        ("1 3 3 1", "pair 2: start 3 is not after 3, where the pair before ends"),
        ("1 1 8 2 5 1", "pair 3: start 5 is not after 9, where the pair before ends"),
        ("1 1 1 1", "pair 2: start 1 is not after 1, where the pair before ends"),
    ],
)
def test_decode_names_what_is_malformed(text, message):
    with pytest.raises(ValueError, match=message):
        rle.decode(text, height=3, width=4)


@pytest.mark.parametrize(("height", "width"), [(0, 4), (3, 0), (-3, -4)])
def test_decode_needs_a_positive_size(height, width):
    with pytest.raises(ValueError, match=f"height {height} and width {width}"):
        rle.decode("", height=height, width=width)


@given(st.text(alphabet="0123456789 -+._e\t\u0661", max_size=30))
def test_decode_returns_a_mask_or_a_value_error(text):
    try:
        mask = rle.decode(text, height=3, width=5)
    except ValueError as error:
        assert "RLE pair" in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert mask.sum() == sum(map(int, text.split()[1::2]))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[0, 255]], np.uint8), "found values 0 to 255"),
        (np.array([[-1, 1]]), "found values -1 to 1"),
        (np.array([[0.0, 1.0]]), "found float64"),
        (np.zeros((2, 3, 1), np.uint8), r"found shape \(2, 3, 1\)"),
        (np.zeros((0, 3), np.uint8), r"found shape \(0, 3\)"),
    ],
)
def test_encode_names_what_is_no_mask(mask, message):
    with pytest.raises(ValueError, match=message):
        rle.encode(mask)


@pytest.mark.skipif("FTU_DATA" not in os.environ, reason="FTU_DATA does not name the folder of real labels")
def test_real_labels_survive_a_round_trip_verbatim():
    path = Path(os.environ["FTU_DATA"]) / "hubmap2022-labels" / "train_rebuilt_351.csv.gz"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    assert len(rows) == 351
    for row in rows[::3]:
        mask = rle.decode(row["rle"], height=int(row["img_height"]), width=int(row["img_width"]))
        assert rle.encode(mask) == row["rle"], row["id"]
