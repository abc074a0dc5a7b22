"""A picture of the slide from afar, with the outlines of its objects."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import shapely

from ftu.files import png
from ftu.pipeline.atomic import whole_file
from ftu_tools.segment.objects import Object
from ftu_tools.segment.outputs.geojson import COLOURS

SHIFT = 4  # bits of a pixel that OpenCV draws with


@contextmanager
def writer(
    path: Path, picture: np.ndarray, shape: tuple[int, int], classes: Sequence[str]
) -> Iterator[Callable[[Object], None]]:
    """Yield a function that draws an object on `picture`, (h, w, C) of a slide of `shape`."""
    drawn = picture.repeat(3, axis=-1) if picture.shape[-1] == 1 else picture.copy()
    times = np.array([drawn.shape[1] / shape[1], drawn.shape[0] / shape[0]])
    thick = max(max(drawn.shape) // 1000, 1)

    def draw(one: Object) -> None:
        for polygon in shapely.get_parts(one.outline):
            rings = [polygon.exterior, *polygon.interiors] if polygon.geom_type == "Polygon" else []
            points = [
                np.rint((np.array(ring.coords) * times - 0.5) * 2**SHIFT).astype(np.int32) for ring in rings
            ]
            colour = COLOURS[classes.index(one.name) % len(COLOURS)]
            cv2.polylines(drawn, points, True, colour, thick, cv2.LINE_AA, SHIFT)

    yield draw
    with whole_file(path) as temporary:
        png.write_image(temporary, drawn)
