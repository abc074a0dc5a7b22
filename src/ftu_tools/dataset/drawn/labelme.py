"""LabelMe's JSON, one for each image; shapes are drawn as LabelMe's own converters draw them, by Pillow.

So an outline belongs to its shape. Source: labelme/utils/shape.py, version 5.
"""

import base64
import binascii
import io
import math
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ftu.errors import InputError
from ftu.files.names import composed
from ftu_tools.dataset.drawn import annotations
from ftu_tools.dataset.labels import Labels

NO_AREAS = ("point", "points", "line", "linestrip")
Drawing = Callable[[ImageDraw.ImageDraw, np.ndarray, int], None]  # a shape of these points, in this value


def of(content: annotations.Json) -> dict[str, Any] | None:
    """A file's content where it is LabelMe's, None where it is not."""
    return content if isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys() else None


def embedded(path: Path, content: dict[str, Any]) -> bytes:
    """The image's file inside of the JSON, empty where there is none."""
    try:
        return base64.b64decode(content.get("imageData") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputError(f"{path}: imageData is damaged ({error}); save it in LabelMe again") from error


def draw(path: Path, content: dict[str, Any], name: str, shape: tuple[int, int]) -> Labels:
    """The shapes of the image called `name`, drawn at (height, width), later ones over earlier ones."""
    meant = composed(PureWindowsPath(content["imagePath"]).stem)  # of / and \
    if meant != name:
        raise InputError(f"{path}: is of the image {meant!r} (imagePath), not {name!r}; name both alike")
    stated = (content.get("imageHeight") or shape[0], content.get("imageWidth") or shape[1])
    if stated != shape:
        raise InputError(
            f"{path}: says imageHeight {stated[0]}, imageWidth {stated[1]}, but the image is {shape[0]} x "
            f"{shape[1]} px (height x width); take the image that it was drawn on, unturned and unscaled"
        )
    canvas = Image.new("I", (shape[1], shape[0]))
    words: dict[int, str] = {}
    odd: list[tuple[str, str]] = []
    for number, each in enumerate(content["shapes"], start=1):
        which, kind = f"shape {number} ({each['label']})", each.get("shape_type") or "polygon"
        if kind in NO_AREAS:
            odd.append(("are points or lines, which have no area, and left out", f"{path} {which}"))
            continue
        if kind not in (*DRAWINGS, "mask"):
            raise InputError(f"{path}: {which} is a {kind}; draw {', '.join(DRAWINGS)} or mask")
        least = 3 if kind == "polygon" else 2
        points = annotations.points(path, which, each["points"], least)
        annotations.check_inside(path, which, points, shape)
        words[number] = str(each["label"])
        if kind == "mask":
            _paste(path, which, canvas, each, number)
        else:
            DRAWINGS[kind](ImageDraw.Draw(canvas), points, number)
    return Labels(np.array(canvas), words, drawn=True, odd=odd)


def _polygon(canvas: ImageDraw.ImageDraw, points: np.ndarray, value: int) -> None:
    canvas.polygon([tuple(point) for point in points.tolist()], fill=value, outline=value)


def _rectangle(canvas: ImageDraw.ImageDraw, points: np.ndarray, value: int) -> None:
    """Of two opposite corners, in any order."""
    canvas.rectangle([*points[:2].min(axis=0), *points[:2].max(axis=0)], fill=value, outline=value)


def _circle(canvas: ImageDraw.ImageDraw, points: np.ndarray, value: int) -> None:
    """Of its centre and a point on it."""
    (x, y), edge = points[0], points[1]
    radius = math.hypot(edge[0] - x, edge[1] - y)
    canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value, outline=value)


def _paste(path: Path, which: str, canvas: Image.Image, shape: dict[str, Any], value: int) -> None:
    """A mask that was painted, or that a network proposed: a PNG whose top left corner is the first point."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as painted:
            stencil = Image.fromarray(np.asarray(painted.convert("L")) > 0)
    except (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {which}: its mask is damaged ({error}); paint it again") from error
    left, top = (int(place) for place in shape["points"][0])
    canvas.paste(value, (left, top, left + stencil.width, top + stencil.height), stencil)


DRAWINGS: dict[str, Drawing] = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle}
