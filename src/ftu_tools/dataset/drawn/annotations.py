"""What files of annotations share: JSON, and points in px, x first, from the image's top left corner."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ftu.errors import InputError
from ftu.files import limits

SUFFIXES = (".json", ".geojson")
LARGEST = 2**31  # bytes: a COCO file of a million objects
Json = dict[str, Any] | list[Any]
AGAIN = "export the annotations again"


def read(path: Path) -> Json:
    """What a JSON file holds; InputError where it cannot be read."""
    try:
        content = json.loads(limits.text(limits.content(path, LARGEST)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); put the annotations there") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error}); {AGAIN}") from error
    if not isinstance(content, dict | list):
        raise InputError(f"{path}: holds a {type(content).__name__} and no annotations; {AGAIN}")
    return content


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what is missing or of another type in a file's content into an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error}); {AGAIN}") from error


def points(path: Path, which: str, found: Sequence[Any], least: int) -> np.ndarray:
    """(N, 2) float of x and y; InputError unless they are `least` pairs of numbers of px, or more."""
    try:
        array = np.array([[point[0], point[1]] for point in found], float)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(f"{path}: {which} has points that are no pairs of numbers; {AGAIN}") from error
    if len(array) < least:
        raise InputError(f"{path}: {which} has {len(array)} points and needs {least} or more; draw it again")
    if not (np.abs(array) <= limits.LONGEST_SIDE).all():
        raise InputError(f"{path}: {which} has points beyond {limits.LONGEST_SIDE} px; draw it again")
    return array


def check_inside(path: Path, which: str, array: np.ndarray, shape: tuple[int, int]) -> None:
    """Raise InputError where a shape lies wholly outside of its image: it was drawn on another."""
    height, width = shape
    low, high = array.min(axis=0), array.max(axis=0)
    if (high < 0).any() or low[0] > width or low[1] > height:
        raise InputError(
            f"{path}: {which} lies outside of its image (x {low[0]:g} to {high[0]:g}, y {low[1]:g} to "
            f"{high[1]:g}, of {width} x {height} px, width x height); take the image that it was drawn on"
        )
