"""A TIFF of any tags, as no library would write it (TIFF 6.0, section 2)."""

import struct
from collections.abc import Mapping, Sequence

FORMS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
PLACES, LENGTHS = 273, 279
Tags = Mapping[int, tuple[int, Sequence[int]]]  # type and values


def tiff(strips: Sequence[bytes], tags: Tags, kinds: tuple[int, int] = (4, 4)) -> bytes:
    """The file, with the strips behind its directory, their places and lengths of these types."""
    lengths = [len(strip) for strip in strips]
    start = len(_head(tags, kinds, lengths, lengths))
    places = [start + sum(lengths[:number]) for number in range(len(strips))]
    return _head(tags, kinds, places, lengths) + b"".join(strips)


def rgb(height: int, width: int, **more: tuple[int, Sequence[int]]) -> dict[int, tuple[int, Sequence[int]]]:
    """The tags of an image of three bands of 8 bits in one uncompressed strip; `more` as t262=(3, [2])."""
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2])}
    return tags | {277: (3, [3]), 278: (4, [height])} | {int(name[1:]): value for name, value in more.items()}


def _head(tags: Tags, kinds: tuple[int, int], places: Sequence[int], lengths: Sequence[int]) -> bytes:
    whole = dict(tags) | {PLACES: (kinds[0], places), LENGTHS: (kinds[1], lengths)}
    entries, behind = b"", b""
    for tag, (kind, values) in sorted(whole.items()):
        content = struct.pack(f"<{len(values)}{FORMS[kind]}", *values)
        if len(content) > 4:
            place = 8 + 2 + 12 * len(whole) + 4 + len(behind)
            content, behind = struct.pack("<I", place), behind + content
        entries += struct.pack("<HHI", tag, kind, len(values)) + content.ljust(4, b"\0")
    return struct.pack("<2sHIH", b"II", 42, 8, len(whole)) + entries + bytes(4) + behind
