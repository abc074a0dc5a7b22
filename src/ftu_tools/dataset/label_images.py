"""Masks that are images: a number or a colour for each pixel."""

from collections.abc import Sequence

import numpy as np

from ftu.errors import InputError, some
from ftu_tools.dataset import pictures
from ftu_tools.dataset.labels import Labels, Meaning, counts
from ftu_tools.dataset.rasters import Page, Raster

TOLERANCE = 96  # of a colour, in RGB; in JPEGs of quality 75 the farthest of four colours were off by 66
APART = 64  # grey levels between labels that a JPEG leaves apart


def labels(raster: Raster, page: Page, meaning: Meaning, nearest: bool) -> Labels:
    """What a mask's page says; InputError where that is no label.

    Where values were changed, in a JPEG or by smoothing (`nearest`), each pixel has the nearest label.
    """
    array = pictures.without_alpha(raster, page) if page.alpha else page.array
    if array.ndim == 3 and array.shape[-1] == 3 and (array == array[..., :1]).all():
        array = array[..., 0]  # grey, saved as RGB
    if array.ndim == 3 and array.shape[-1] != 3:
        raise InputError(f"{raster.path}: has {array.shape[-1]} bands; a mask has 1, or 3 for colours")
    values = _whole_numbers(raster, array)
    if array.ndim == 3 or meaning.colours:
        packed, palette = _colours(raster, page, values)
        return (
            _nearest_colour(raster, packed, meaning) if raster.lossy or nearest else Labels(packed, palette)
        )
    if raster.lossy or nearest:
        return _nearest_grey(raster, values, meaning)
    return Labels(values, {label: str(label) for label in counts(values)})


def _whole_numbers(raster: Raster, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    with np.errstate(invalid="ignore"):
        wrong = array[array != np.rint(array)]  # NaN, too
    if wrong.size or np.abs(array).max(initial=0) > 2**31:
        value = wrong.flat[0] if wrong.size else array.max()
        raise InputError(
            f"{raster.path}: has values like {value:g}, and a mask has whole numbers; are these "
            "probabilities? Cut them at a threshold"
        )
    return array.astype(np.int64)


def _colours(raster: Raster, page: Page, values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Each pixel's colour as a number, red first, and how it is written."""
    if values.dtype.kind not in "ui" or values.max(initial=0) > 255 or values.min(initial=0) < 0:
        raise InputError(
            f"{raster.path}: has values of {page.bits} bits where --labels names colours of 8; convert it"
        )
    if values.ndim == 2 and page.palette is not None:
        table = np.zeros((256, 3), np.uint8)
        for label, colour in page.palette.items():
            table[label] = colour[:3]
        values = table[values]
    bands = np.broadcast_to(values[..., np.newaxis], (*values.shape, 3)) if values.ndim == 2 else values
    packed = bands.astype(np.int32) @ np.array([2**16, 2**8, 1], np.int32)
    return packed, {colour: f"#{colour:06x}" for colour in counts(packed)}


def _nearest_colour(raster: Raster, packed: np.ndarray, meaning: Meaning) -> Labels:
    if not meaning.colours:
        raise InputError(
            f"{raster.path}: has {len(counts(packed))} colours, blurred where it was saved; name those that "
            "are meant: --labels '#ff0000=gland,#00ff00=vessel'"
        )
    keys = [tuple(bytes.fromhex(colour[1:])) for colour in meaning.colours]
    found, places = np.unique(packed, return_inverse=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    far, values, off = _assigned(colours, places.reshape(packed.shape), keys)
    if (lost := far > TOLERANCE).any():
        pixels = int(lost[places].sum())
        names = some(f"#{colour:06x}" for colour in found[lost])
        raise InputError(
            f"{raster.path}: {pixels} px have colours that are far from all of --labels: {names}; name "
            "these, too"
        )
    return Labels(values, dict(enumerate(meaning.colours)), odd=_told(raster, off, values.size))


def _nearest_grey(raster: Raster, values: np.ndarray, meaning: Meaning) -> Labels:
    """The nearest of the numbers of --labels, or of 0 and 255 for one class."""
    keys = sorted({0, *map(int, meaning.numbers)}) if meaning.numbers else [0, 255]
    if min(np.diff(keys), default=0) < APART or (not meaning.numbers and len(meaning.classes) > 1):
        raise InputError(
            f"{raster.path}: is a JPEG, or smoothed, which mixes labels that lie within {APART} grey levels; "
            "save masks as PNG where they are made"
        )
    brightest = int(values.max(initial=0))
    if 0 < brightest <= keys[1] // 2:
        raise InputError(
            f"{raster.path}: its brightest value is {brightest}, and a JPEG keeps no labels as close as 0 "
            "and 1; save masks as PNG where they are made"
        )
    found, places = np.unique(values, return_inverse=True)
    _, assigned, off = _assigned(found[:, np.newaxis], places.reshape(values.shape), [(key,) for key in keys])
    words = {place: str(key) for place, key in enumerate(keys)}
    return Labels(assigned, words, odd=_told(raster, off, values.size))


def _assigned(
    found: np.ndarray, places: np.ndarray, keys: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Of each value found the distance to its nearest key; of each pixel that key's place; pixels off one."""
    away = np.linalg.norm(found[:, np.newaxis].astype(float) - np.array(keys, float), axis=-1)
    nearest, distance = away.argmin(axis=1), away.min(axis=1)
    return distance, nearest.astype(np.uint8)[places], int((distance > 0)[places].sum())


def _told(raster: Raster, off: int, size: int) -> list[tuple[str, str]]:
    what = "have pixels between labels, which took the nearest"
    return [(what, f"{raster.path} ({off} of {size} px)")] if off else []
