"""A slide or an image: its levels, its scale, and a function that reads any part of any level."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ftu_tools.segment.slides.scale import Size

WHITE = 255  # what was not scanned, and what shows through


class Slide(NamedTuple):
    """An open slide. Its first level is the full resolution, where it begins as viewers show it."""

    path: Path
    levels: tuple[tuple[int, int], ...]  # (height, width) px, falling
    channels: int  # 3 (RGB) or 1 (grey)
    stated: Mapping[str, Size]
    read: Callable[[int, int, int, int, int], np.ndarray]
    """(level, top, left, height, width), all inside -> (height, width, channels) uint8"""

    @property
    def shape(self) -> tuple[int, int]:
        return self.levels[0]
