"""Kaggle run-length encoding: "start length" pairs of decimal numbers, column-major order, 1-based starts.

Pixel 1 is the top-left corner and pixel 2 is the one *below* it. Runs increase and never overlap; the empty
mask is the empty string. Inside this module an edge is a 0-based column-major position where the value
differs from the one before it: a run is [start, stop). Masks are sparse in edges, so only the edges are ever
reordered, never the pixels.

https://www.kaggle.com/competitions/hubmap-organ-segmentation/overview/evaluation
"""

import numpy as np

from ftu.files.limits import MOST_PIXELS


def encode(mask: np.ndarray) -> str:
    """Kaggle string of a mask, with every run as long as it can be.

    mask: (H, W), integer or bool, values 0 and 1 only. Fastest in C order; any order is right.
    Raises ValueError if the mask is not 2-D, has no pixels, or holds another type or value.
    """
    _check_mask(mask)
    edges = _edges(mask)
    if not edges.size:
        return ""
    starts, stops = edges[0::2], edges[1::2]
    return _decimal(np.stack([starts + 1, stops - starts], axis=1).ravel())


def decode(rle: str, *, height: int, width: int) -> np.ndarray:
    """Mask of a Kaggle string: (height, width) uint8 of 0 and 1, in C order, as image writers need it.

    Runs that touch ("1 2 3 1") are accepted, and so are spaces around and between the numbers.
    Raises ValueError if the size is not positive or above 2**30 px, before anything is allocated, or naming a
    malformed pair and what is wrong with it.
    """
    _check_size(height, width)
    starts, stops = _runs(rle, height, width)
    mask = np.zeros((height, width), np.uint8)
    for edges in (starts, stops[stops < mask.size]):  # apart: where runs touch, an edge is in both
        columns, rows = np.divmod(edges, height)
        mask.reshape(-1)[rows * width + columns] ^= 1
    tops = np.arange(0, mask.size, height)
    mask[0] = np.searchsorted(starts, tops, "right") - np.searchsorted(stops, tops, "right")
    above = mask[0]
    for row in mask[1:]:  # an edge switches everything below it in its column
        row ^= above
        above = row
    return mask


def check(rle: str, *, height: int, width: int) -> None:
    """Raise the ValueError that `decode` would raise, without painting a mask."""
    _check_size(height, width)
    _runs(rle, height, width)


def _check_size(height: int, width: int) -> None:
    if height <= 0 or width <= 0:
        raise ValueError(
            f"a mask of height {height} and width {width} has no pixels: both must be at least 1"
        )
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"a mask of height {height} and width {width} has {height * width} pixels, more than "
            f"{MOST_PIXELS}"
        )


def _check_mask(mask: np.ndarray) -> None:
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask must be (height, width) with at least one pixel, found shape {mask.shape}")
    if mask.dtype.kind not in "biu":
        raise ValueError(f"a mask must be integer or bool, found {mask.dtype}: threshold it first")
    if mask.min() < 0 or mask.max() > 1:
        raise ValueError(f"a mask must hold 0 and 1 only, found values {mask.min()} to {mask.max()}")


def _edges(mask: np.ndarray) -> np.ndarray:
    """Sorted edges of a (H, W) mask, (2 * runs,) int64: start, stop, start, stop, ..."""
    height, width = mask.shape
    changed = np.empty(mask.shape, bool)
    changed[0, 0] = mask[0, 0]
    np.not_equal(mask[0, 1:], mask[-1, :-1], out=changed[0, 1:])  # the pixel before a top is a bottom
    np.not_equal(mask[1:], mask[:-1], out=changed[1:])
    rows, columns = np.divmod(np.flatnonzero(changed), width)
    edges = np.sort(columns * height + rows)
    return np.append(edges, mask.size) if edges.size % 2 else edges


def _decimal(numbers: np.ndarray) -> str:
    """Text of (N,) positive integers with a space between, several times faster than str of each."""
    places = len(str(numbers.max()))
    characters = np.full((places + 1, numbers.size), ord(" "), np.uint8)  # one number per column
    for place in reversed(range(places)):
        tens = numbers // 10
        characters[place] = np.where(numbers > 0, numbers - 10 * tens + ord("0"), 0)
        numbers = tens
    return characters.T.tobytes().translate(None, b"\0").decode("ascii")[:-1]  # without leading blanks


def _numbers(rle: str) -> np.ndarray:
    """Numbers of the string, (N,) int64; those too large for int64 become its maximum."""
    text = rle.encode("ascii", "replace").strip(b" ")
    if text.translate(None, b" 0123456789"):
        tokens = [token for token in rle.split(" ") if token]
        index = next(i for i, token in enumerate(tokens) if not (token.isascii() and token.isdigit()))
        raise ValueError(f"{_place(index)} {tokens[index][:40]!r} is not a whole number in the digits 0 to 9")
    return np.fromstring(text, np.int64, sep=" ")


def _runs(rle: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops of all runs, 0-based, each (runs,) int64; checked to lie inside the mask in order."""
    numbers, size = _numbers(rle), height * width
    pixels = f"{size} (height {height} x width {width})"
    if (index := _first((numbers < 1) | (numbers > size))) is not None:
        raise ValueError(f"{_place(index)} {rle.split()[index][:40]} is not within 1 to {pixels}")
    if numbers.size % 2:
        raise ValueError(f"{_place(numbers.size - 1)} {numbers[-1]} has no length: odd count of numbers")
    starts, lengths = numbers[0::2], numbers[1::2]
    last = starts + lengths - 1
    if (run := _first(last > size)) is not None:
        raise ValueError(f"{_place(2 * run)} {starts[run]} with length {lengths[run]} ends past {pixels}")
    if (before := _first(starts[1:] <= last[:-1])) is not None:
        raise ValueError(
            f"{_place(2 * before + 2)} {starts[before + 1]} is not after {last[before]}, where the pair "
            "before ends: runs must be sorted and must not overlap"
        )
    return starts - 1, last


def _first(wrong: np.ndarray) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None


def _place(index: int) -> str:
    return f"RLE pair {index // 2 + 1}: {'length' if index % 2 else 'start'}"
