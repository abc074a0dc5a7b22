"""Windows over images of any size: where they lie, what they see, and how their maps become one.

A window that reaches beyond the image sees it mirrored there: about its outermost pixels, and again and
again where the image is smaller than the border. The two axes are laid out apart from each other; a window's
share of a pixel is the product of its shares along both. Rows of windows go from top to bottom: only one of
them is in memory. Shapes: H, W image; h, w window; N maps of the same window.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ftu.errors import InputError
from ftu.files.limits import COARSEST_STRIDE


class Axis(NamedTuple):
    """The windows along one side of an image, in pixels of the image."""

    length: int  # of the image
    window: int  # of each window
    starts: list[int]  # first pixel of each, rising; negative in the mirrored border
    weights: np.ndarray  # (windows, window) float32: shares of the pixels, which sum to 1 at each; 0 outside

    def inside(self, number: int) -> tuple[int, int]:
        """First pixel of the image that a window holds, and the one after its last."""
        start = self.starts[number]
        return max(start, 0), min(start + self.window, self.length)


def smooth(length: int, window: int, overlap: float) -> Axis:
    """Windows that overlap by at least `overlap` (a share of the window), blended by a raised cosine.

    The mirrored border is half an overlap wide, so that the edge of the image is no worse than its middle. An
    image that fits into one window is one, whose share is 1: what the network gives is what comes out.
    Raises InputError when the overlap leaves no step between two windows.
    """
    if length <= window:
        return _shared(length, window, [-((window - length + 1) // 2)], np.ones(window))
    step = int(window * (1 - overlap))
    if step < 1:
        raise InputError(
            f"predict.window.overlap: {overlap} leaves no step between windows of {window} px; use less"
        )
    border = (window - step) // 2
    last = length + border - window
    count = -(-(last + border) // step) + 1
    starts = np.rint(np.linspace(-border, last, count)).astype(int).tolist()
    return _shared(length, window, starts, np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2)


def centre(length: int, window: int) -> Axis:
    """The relevant-patch rule: windows at steps of half their size, of which the middle half is kept.

    A length that is a multiple of the step gets a border of a quarter window on both sides. Any other is
    mirrored as little as makes it one, the odd pixel in front, and the outermost windows are kept up to the
    edge of the image. Raises InputError unless the window can be quartered.
    Source: A. González Marfil, "Transformer-based architecture for 2D semantic segmentation of mitochondria",
    master's thesis, 2022.
    """
    if window % 4:
        raise InputError(
            f"predict.window: blend centre keeps two quarters of a window, and {window} px have none; "
            f"use {window // 4 * 4 or 4} px, or blend smooth"
        )
    step = window // 2
    if length % step == 0:
        before, count = window // 4, length // step
    else:
        padded = max(-(-length // step) * step, window)
        before, count = (padded - length + 1) // 2, (padded - window) // step + 1
    starts = [number * step - before for number in range(count)]
    edges = [0, *(start + window // 4 for start in starts[1:]), length]
    weights = np.zeros((count, window), np.float32)
    for kept, start, first, end in zip(weights, starts, edges[:-1], edges[1:], strict=True):
        kept[first - start : end - start] = 1
    return Axis(length, window, starts, weights)


def fitted(window: int, length: int) -> int:
    """The side of a window (px) no larger than the image needs: its length, up to a multiple of 32."""
    return min(window, length + -length % COARSEST_STRIDE)


def layout(length: int, window: int, overlap: float, blend: str) -> Axis:
    """`smooth` or `centre`, whose overlap is always a half."""
    return centre(length, window) if blend == "centre" else smooth(length, window, overlap)


def cover(
    shape: tuple[int, int], *, window: int, overlap: float, blend: str, shrink: bool
) -> tuple[Axis, Axis]:
    """The rows and columns of windows over an image of `shape`; `shrink`: they may be smaller (`fitted`)."""
    sides = (fitted(window, length) if shrink else window for length in shape)
    rows, columns = (layout(length, side, overlap, blend) for length, side in zip(shape, sides, strict=True))
    return rows, columns


def mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """The pixels of an image, 0..length-1, that stand at any `positions` of its endless reflection."""
    period = max(2 * (length - 1), 1)
    folded = np.abs(positions) % period
    return np.minimum(folded, period - folded)


def cut(rows: Axis, columns: Axis, read: Callable[[int, int], np.ndarray]) -> Iterator[np.ndarray]:
    """Each window (h, w, ...) of an image, row by row from the left.

    `read(top, bottom)` gives those rows of the image, (bottom - top, W, ...); it is asked for each row once,
    in order.
    """
    top, held = 0, None
    across = [mirrored(start + np.arange(columns.window), columns.length) for start in columns.starts]
    for start in rows.starts:
        down = mirrored(start + np.arange(rows.window), rows.length)
        first, bottom = int(down.min()), int(down.max()) + 1
        if held is None or first >= top + len(held):
            held = read(first, bottom)
        else:
            held = held[first - top :].copy()  # what lies above is let go before more is read
            if first + len(held) < bottom:
                held = np.concatenate([held, read(first + len(held), bottom)])
        top = first
        for pixels in across:
            yield held[np.ix_(down - top, pixels)]


def stitch(rows: Axis, columns: Axis, maps: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The maps (N, h, w) of the windows that `cut` gives, in its order, as bands (N, any, W) of whole rows.

    The bands follow each other from top to bottom; each is given as soon as no window to come adds to it.
    """
    carry = None
    for number in range(len(rows.starts)):
        band = _row(rows, columns, number, maps)
        if carry is not None:
            band[:, : carry.shape[1]] += carry
        last = number + 1 == len(rows.starts)
        done = (rows.length if last else rows.inside(number + 1)[0]) - rows.inside(number)[0]
        carry = band[:, done:].copy()
        if done:
            yield band[:, :done]


def _row(rows: Axis, columns: Axis, number: int, maps: Iterator[np.ndarray]) -> np.ndarray:
    """The sum (N, inside, W) float32 of one row of windows, each times its shares."""
    top, bottom = rows.inside(number)
    down = slice(top - rows.starts[number], bottom - rows.starts[number])
    band = None
    for place, start in enumerate(columns.starts):
        left, right = columns.inside(place)
        part = next(maps)[:, down, left - start : right - start]
        if band is None:
            band = np.zeros((len(part), bottom - top, columns.length), np.float32)
        across = columns.weights[place, left - start : right - start]
        band[..., left:right] += part * (rows.weights[number, down, None] * across)
    if band is None:
        raise ValueError("an axis without windows")
    return band


def _shared(length: int, window: int, starts: list[int], taper: np.ndarray) -> Axis:
    """Windows that share their pixels in proportion to `taper`, (window,) and positive."""
    places = np.array(starts)[:, None] + np.arange(window)
    inside = (places >= 0) & (places < length)
    weights = np.where(inside, taper, 0.0)
    total = np.bincount(places[inside], weights[inside], minlength=length)
    shares = weights / total[np.clip(places, 0, length - 1)]
    return Axis(length, window, starts, shares.astype(np.float32))
