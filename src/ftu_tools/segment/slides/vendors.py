"""Slides as scanners write them, by openslide (an optional dependency): the part within their bounds.

Photographs of the label and of the whole glass, which may show a patient's name, are never read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import openslide

from ftu.errors import InputError
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.slide import Slide


@contextmanager
def opened(path: Path) -> Iterator[Slide]:
    """As `files.opened`."""
    try:
        file = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise InputError(f"{path}: openslide cannot read it ({error}); fetch the file again") from error
    with file:
        facts = file.properties
        left, top = (int(facts.get(f"openslide.bounds-{axis}", 0)) for axis in "xy")
        width = int(facts.get("openslide.bounds-width", file.dimensions[0]))
        height = int(facts.get("openslide.bounds-height", file.dimensions[1]))
        levels = tuple(
            (max(int(height / times), 1), max(int(width / times), 1)) for times in file.level_downsamples
        )
        background = tuple(bytes.fromhex(facts.get("openslide.background-color", "FFFFFF")))
        read = partial(_read, path, file, (top, left), np.array(background))
        yield Slide(path, levels, 3, _stated(facts), read)


def _stated(facts: Mapping[str, str]) -> dict[str, Size]:
    try:
        return {"openslide": (float(facts["openslide.mpp-x"]), float(facts["openslide.mpp-y"]))}
    except (KeyError, ValueError):
        return {}


def _read(
    path: Path,
    file: openslide.OpenSlide,
    origin: tuple[int, int],
    background: np.ndarray,
    level: int,
    top: int,
    left: int,
    height: int,
    width: int,
) -> np.ndarray:
    times = file.level_downsamples[level]
    place = round(origin[1] + left * times), round(origin[0] + top * times)  # x first, of the full resolution
    try:
        pixels = np.asarray(file.read_region(place, level, (width, height)))
    except openslide.OpenSlideError as error:
        raise InputError(
            f"{path}: level {level}, rows {top} to {top + height}, columns {left} to {left + width}: cannot "
            f"be read ({error}); fetch the file again"
        ) from error
    opacity = pixels[..., 3:].astype(np.uint16)  # what was not scanned shows the slide's background
    shown = pixels[..., :3] * opacity + background.astype(np.uint16) * (255 - opacity) + 127
    return (shown // 255).astype(np.uint8)
