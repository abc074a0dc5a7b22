"""What the directories of a TIFF say of how its pixels lie and are to be shown: GDAL does not tell.

EXIF, in a JPEG or a PNG, is a TIFF without pixels.
Sources: TIFF 6.0, sections 2 and 8; BigTIFF (https://libtiff.gitlab.io/libtiff/specification/bigtiff.html).
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

ORIENTATION, BITS, PHOTOMETRIC, COMPRESSION = 274, 258, 262, 259
WIDTH, HEIGHT, ROWS, TILE_WIDTH, TILE_HEIGHT, SAMPLES, PLANES = 256, 257, 278, 322, 323, 277, 284
SUBFILE, REDUCED, MASK = 254, 1, 4  # what a page is of another: a smaller copy, what is to be seen of it
PLACES, LENGTHS = (273, 324), (279, 325)  # of strips, of tiles
# Of whole numbers: libtiff takes each where the standard names another.
TYPES = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
Tags = dict[int, np.ndarray]


class _Form(NamedTuple):
    """How a TIFF writes numbers."""

    order: str  # of bytes, as numpy has it
    place: np.dtype  # of a place in the file, and of how many values a tag has
    number: np.dtype  # of how many tags there are
    entry: int  # bytes of a tag


def tags(file: BinaryIO, start: int = 0) -> Tags:
    """The tags of whole numbers, 1 or more each, of the first page of the TIFF that begins at `start`; none
    for another file.

    Raises ValueError when its directory, or what that names, is not all there.
    """
    return next(pages(file, start), {})


def pages(file: BinaryIO, start: int = 0) -> Iterator[Tags]:
    """As `tags`, of each page that the one before leads to; pages in SubIFDs are none of these.

    Raises ValueError as `tags` does, and where pages lead in a circle.
    """
    head = _read(file, start, min(16, file.seek(0, os.SEEK_END) - start))
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = int(np.frombuffer(head[2:4], f"{order}u2")[0]) if order and len(head) >= 8 else 0
    if version not in (42, 43):
        return
    place, count, entry = ("u8", "u8", 20) if version == 43 else ("u4", "u2", 12)
    form = _Form(str(order), np.dtype(f"{order}{place}"), np.dtype(f"{order}{count}"), entry)
    directory, seen = int(np.frombuffer(head, form.place, 1, form.place.itemsize)[0]), set()
    while directory not in seen:
        seen.add(directory)
        entries = _entries(file, start + directory, form)
        yield _whole_numbers(file, start, entries, form)
        behind = start + directory + form.number.itemsize + len(entries)
        directory = int(np.frombuffer(_read(file, behind, form.place.itemsize), form.place)[0])
        if not directory:
            return
    raise ValueError("its pages lead in a circle")


def _entries(file: BinaryIO, directory: int, form: _Form) -> bytes:
    """The tags of a directory as they lie in the file."""
    number = int(np.frombuffer(_read(file, directory, form.number.itemsize), form.number)[0])
    return _read(file, directory + form.number.itemsize, number * form.entry)


def _whole_numbers(file: BinaryIO, start: int, entries: bytes, form: _Form) -> Tags:
    """The values of those tags that are whole numbers; `start` is where the TIFF begins."""
    found, inline = {}, form.place.itemsize
    for place in range(0, len(entries), form.entry):
        tag, kind = (int(value) for value in np.frombuffer(entries, f"{form.order}u2", 2, place))
        count = int(np.frombuffer(entries, form.place, 1, place + 4)[0])
        if kind not in TYPES or not count or tag in found:  # of two, the first counts
            continue
        dtype, value = np.dtype(f"{form.order}{TYPES[kind]}"), place + 4 + inline
        content = entries[value : value + inline]
        if count * dtype.itemsize > inline:
            content = _read(file, start + int(np.frombuffer(content, form.place)[0]), count * dtype.itemsize)
        found[tag] = np.frombuffer(content, dtype, count).astype(np.uint64)
    return found


def hole(tags: Tags, size: int) -> str:
    """What is not there of the strips or tiles of a TIFF of `size` bytes, '' if nothing.

    GDAL takes what is not there for black.
    """
    for places, lengths in zip(PLACES, LENGTHS, strict=True):
        if places in tags and lengths in tags:
            starts, counts = (tags[tag].astype(float) for tag in (places, lengths))
            if len(starts) != len(counts):
                return f"{len(starts)} places and {len(counts)} lengths of strips or tiles"
            most = max(len(starts), _needed(tags, tiled=places == PLACES[1]))
            there = int(((starts > 0) & (counts > 0) & (starts + counts <= size)).sum())
            return f"{most - there} of {most} strips or tiles are not in the file" if there < most else ""
    return "it does not say where its strips or tiles are" if tags else ""


def _needed(tags: Tags, *, tiled: bool) -> int:
    """How many strips or tiles the whole image takes; defaults are those of the standard."""

    def told(tag: int, default: int) -> int:
        return max(1, int(tags[tag][0])) if tag in tags else default

    height, width = told(HEIGHT, 1), told(WIDTH, 1)
    rows = -(-height // told(TILE_HEIGHT if tiled else ROWS, height))
    columns = -(-width // told(TILE_WIDTH, width)) if tiled else 1
    return rows * columns * (told(SAMPLES, 1) if told(PLANES, 1) == 2 else 1)


def orientation(file: BinaryIO, driver: str) -> int:
    """How an image is to be turned to be shown (TIFF 6.0, p. 36); 1, not at all, if nothing is said."""
    start = {"GTiff": _at_start, "JPEG": _exif_of_jpeg, "PNG": _exif_of_png}[driver](file)
    return 1 if start is None else int(tags(file, start).get(ORIENTATION, [1])[0])


def _at_start(_: BinaryIO) -> int:
    return 0


def _exif_of_jpeg(file: BinaryIO) -> int | None:
    """Where EXIF begins in a JPEG (Exif 2.32, section 4.7.2), None where there is none."""
    place, size = 2, file.seek(0, os.SEEK_END)
    while place + 10 <= size:
        head = _read(file, place, 10)
        if head[0] != 0xFF or head[1] in (0xDA, 0xD9):  # pixels, the end
            break
        if head[1] == 0xE1 and head[4:] == b"Exif\0\0":
            return place + 10
        place += 1 if head[1] == 0xFF else 2 + int.from_bytes(head[2:4], "big")
    return None


def _exif_of_png(file: BinaryIO) -> int | None:
    """Where the chunk eXIf begins in a PNG (third edition, section 11.3.3.7), None where there is none."""
    place, size = 8, file.seek(0, os.SEEK_END)
    while place + 12 <= size:
        head = _read(file, place, 8)
        if head[4:] == b"eXIf":
            return place + 8
        place += 12 + int.from_bytes(head[:4], "big")
    return None


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    """These bytes, which are all there; a file cannot make us read more than it holds."""
    if start + count > file.seek(0, os.SEEK_END):
        raise ValueError("it names bytes behind its end")
    file.seek(start)
    return file.read(count)
