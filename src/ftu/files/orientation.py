"""How an image is to be turned before it is shown: what cameras and scanners write, and readers may ignore.

Sources: TIFF 6.0, section 2 and tag 274; BigTIFF; EXIF 2.32, section 4.5.4 (JPEG's APP1); PNG 1.6, eXIf.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TAG = 274
AS_STORED = 1
MOST = 2**16  # entries of a directory, or parts of a file, that are looked through
LAYOUTS = {42: ("H", "I", 12), 43: ("Q", "Q", 20)}  # by version: count, offset, bytes of an entry


def of(path: Path) -> int:
    """The Orientation tag of a TIFF, JPEG or PNG; 1, as stored, where there is none."""
    with path.open("rb") as file:
        for start in _directories(file):
            if (value := _tag(file, start)) != AS_STORED:
                return value
    return AS_STORED


def _directories(file: BinaryIO) -> Iterator[int]:
    """Where a TIFF's own header begins, or those that a JPEG or PNG carries as EXIF."""
    head = file.read(8)
    if head[:2] in (b"II", b"MM"):
        yield 0
    elif head[:2] == b"\xff\xd8":
        yield from _in_jpeg(file)
    elif head[:4] == b"\x89PNG":
        yield from _in_png(file)


def _in_jpeg(file: BinaryIO) -> Iterator[int]:
    place = 2
    for _ in range(MOST):
        marker, length = _numbers(file, place, ">HH")
        if marker >> 8 != 0xFF or marker == 0xFFDA or length < 2:  # the scan, or the end
            return
        if marker == 0xFFE1 and file.read(6) == b"Exif\0\0":
            yield place + 10
        place += 2 + length


def _in_png(file: BinaryIO) -> Iterator[int]:
    place = 8
    for _ in range(MOST):
        length, kind = _numbers(file, place, ">II")
        if not kind:
            return
        if kind.to_bytes(4, "big") == b"eXIf":
            yield place + 8
        place += 12 + length


def _tag(file: BinaryIO, start: int) -> int:
    """The value of the Orientation in the first directory of the TIFF at `start`, 1 where it has none."""
    file.seek(start)
    order = {b"II": "<", b"MM": ">"}.get(file.read(2))
    version = _numbers(file, start + 2, f"{order}H")[0] if order else 0
    if version not in LAYOUTS:
        return AS_STORED
    count, offset, length = LAYOUTS[version]
    (directory,) = _numbers(file, start + (4 if version == 42 else 8), f"{order}{offset}")
    (entries,) = _numbers(file, start + directory, f"{order}{count}")
    first = start + directory + struct.calcsize(count)
    for number in range(min(entries, MOST)):
        tag, kind = _numbers(file, first + number * length, f"{order}HH")
        if tag == TAG:
            values = _numbers(file, first + (number + 1) * length - struct.calcsize(offset), f"{order}HH")
            return values[0] if kind == 3 else 0  # SHORT; another kind is no orientation that can be told
        if tag > TAG or not tag:  # entries are in order
            break
    return AS_STORED


def _numbers(file: BinaryIO, place: int, layout: str) -> tuple[int, ...]:
    """The numbers at `place`, all 0 where the file ends before."""
    file.seek(place)
    content = file.read(struct.calcsize(layout))
    whole = len(content) == struct.calcsize(layout)
    return struct.unpack(layout, content) if whole else (0,) * sum(map(str.isalpha, layout))
