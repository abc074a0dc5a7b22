"""COCO's annotations, one file for all images: polygons of one or more rings, RLE compressed or not, crowds.

Drawn by pycocotools, so that pixels are those that others see. Several rings are a union, never a hole.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ftu.errors import InputError, some
from ftu.files.names import composed
from ftu_tools.dataset.drawn import annotations
from ftu_tools.dataset.labels import Labels

Rle = dict[str, Any]  # pycocotools': size, counts
INSIDE = "have a ring inside another, which COCO takes for one area with it and not for a hole"


class Entry(NamedTuple):
    """An image of the file, and what is said of it."""

    name: str  # its file's, composed, without folders
    height: int
    width: int
    objects: list[tuple[str, dict[str, Any]]]  # category, annotation; in the order of the file


def of(content: annotations.Json) -> dict[str, Any] | None:
    """A file's content where it is COCO's, None where it is not."""
    return content if isinstance(content, dict) and {"images", "annotations"} <= content.keys() else None


def entries(path: Path, content: dict[str, Any]) -> list[Entry]:
    """The images of the file; InputError where it contradicts itself."""
    with annotations.damage_in_words(path):
        images, categories = content["images"], {each["id"]: each["name"] for each in content["categories"]}
        found: dict[Any, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        known = {image["id"] for image in images}
        for each in content["annotations"]:
            which = f"annotation {each.get('id')}"
            if each["image_id"] not in known:
                raise InputError(f"{path}: {which} is of image_id {each['image_id']}, which is not there")
            if each["category_id"] not in categories:
                raise InputError(
                    f"{path}: {which} is of category_id {each['category_id']}; there are {some(categories)}"
                )
            found[each["image_id"]].append((str(categories[each["category_id"]]), each))
        return [
            Entry(_named(image["file_name"]), image["height"], image["width"], found[image["id"]])
            for image in images
        ]


def _named(file: str) -> str:
    return composed(PureWindowsPath(file).name)  # of / and \


def draw(path: Path, entry: Entry, shape: tuple[int, int]) -> Labels:
    """The objects of an image, drawn at (height, width), later ones over earlier ones."""
    if (entry.height, entry.width) != shape:
        raise InputError(
            f"{path}: {entry.name}: says height {entry.height}, width {entry.width}, but the image is "
            f"{shape[0]} x {shape[1]} px (height x width); take the image that was annotated"
        )
    values = np.zeros(shape, np.int32)
    words: dict[int, str] = {}
    odd: list[tuple[str, str]] = []
    with annotations.damage_in_words(path):
        for number, (name, each) in enumerate(entry.objects, start=1):
            which = f"annotation {each.get('id')}"
            rles = _rles(path, which, each.get("segmentation"), shape)
            values[pycocotools().decode(pycocotools().merge(rles)) > 0] = number
            words[number] = name
            if any(_inside(*pair) for pair in combinations(rles, 2)):
                odd.append((INSIDE, f"{path} {which}"))
    return Labels(values, words, drawn=True, odd=odd)


def pycocotools() -> ModuleType:
    """pycocotools.mask; InputError where it is not installed: nothing else needs it."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise InputError(
            f"COCO's annotations are drawn by pycocotools, which cannot be imported ({error}); install it: "
            "`uv sync --extra import`"
        ) from error
    return mask


def _rles(path: Path, which: str, found: annotations.Json | None, shape: tuple[int, int]) -> list[Rle]:
    """An object's parts as pycocotools' RLEs, which fill the image: it believes them, and reads beyond."""
    if isinstance(found, dict):
        height, width = found["size"]
        runs = found["counts"]
        runs = _decompressed(runs) if isinstance(runs, str) else [int(run) for run in runs]
        if (height, width) != shape or min(runs, default=0) < 0 or sum(runs) != height * width:
            raise InputError(
                f"{path}: {which}: its RLE is of {height} x {width} px and has runs of {sum(runs)}, but the "
                f"image is {shape[0]} x {shape[1]} px (height x width); {annotations.AGAIN}"
            )
        return [pycocotools().frPyObjects({"size": [height, width], "counts": runs}, height, width)]
    if not found:
        raise InputError(f"{path}: {which} has no segmentation; leave it out, or draw its outline")
    for ring in found:
        if len(ring) % 2 or len(ring) < 6:
            raise InputError(
                f"{path}: {which} has a ring of {len(ring)} numbers, which are not 3 points or more; draw it "
                "again"
            )
        points = annotations.points(path, which, list(zip(ring[::2], ring[1::2], strict=True)), 3)
        annotations.check_inside(path, which, points, shape)
    return pycocotools().frPyObjects([[float(number) for number in ring] for ring in found], *shape)


def _decompressed(text: str) -> list[int]:
    """The runs of a compressed RLE; cocoapi, common/maskApi.c, rleFrString."""
    runs: list[int] = []
    value, bits = 0, 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"{letter!r} is no letter of an RLE")
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            value -= (1 << bits) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, bits = 0, 0
    if bits:
        raise ValueError("an RLE that was cut off")
    return runs


def _inside(one: Rle, other: Rle) -> bool:
    """Whether one of two parts covers the other."""
    sizes = pycocotools().area([one, other])
    return min(sizes) > 0 and pycocotools().area(pycocotools().merge([one, other], True)) == min(sizes)


def paired(path: Path, content: dict[str, Any], images: Sequence[Path]) -> dict[Path, Any]:
    """How to draw the objects of each image: image -> function of (height, width).

    InputError for an image that the file names twice, or that is not there.
    """
    pycocotools()
    named = entries(path, content)
    if twice := [name for name, times in Counter(entry.name for entry in named).items() if times > 1]:
        raise InputError(f"{path}: names {some(twice)} more than once; keep one entry of each image")
    there = {composed(image.name): image for image in images}
    if missing := [entry.name for entry in named if entry.name not in there]:
        raise InputError(
            f"{path}: {len(missing)} of {len(named)} images are not in the folder: {some(missing)}; put them "
            "there, or take their entries out"
        )
    return {there[entry.name]: partial(draw, path, entry) for entry in named}
