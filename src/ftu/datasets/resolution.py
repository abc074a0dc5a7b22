"""What an image's own tags say of the size of its pixels."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from ftu.errors import InputError

AGREE = 1.05  # times by which a file and its row may differ about the size of a pixel
SCREEN = 10.0  # um per px: coarser resolutions (up to 2,540 dpi) were stated for screens and printers


def check(path: Path, tags: dict[str, str], pixel_size: float) -> None:
    """Raise InputError where a TIFF's own tags state pixels (um) that are not square, or not `pixel_size`."""
    for axis, size in stated(tags).items():
        if not pixel_size / AGREE <= size <= pixel_size * AGREE:
            raise InputError(
                f"{path}: states {size:.4g} um per px ({axis}) and is taken for pixel_size {pixel_size:g}; "
                "correct pixel_size in its table, data.pixel_size where no table says it, or the image's tags"
            )


def stated(tags: dict[str, str]) -> dict[str, float]:
    """um per px along x and y as TIFF or OME tags state them, empty where they state nothing.

    A resolution coarser than 10 um per px is that of a screen or printer (72 to 2,400 dpi), which writers put
    in by themselves.
    Sources: TIFF 6.0 section 8 (XResolution, ResolutionUnit); OME-XML, Pixels/@PhysicalSizeX.
    """
    description, found = tags.get("TIFFTAG_IMAGEDESCRIPTION", ""), {}
    for axis in "XY":
        ome = re.search(rf'PhysicalSize{axis}="(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"', description)
        foreign = re.search(rf'PhysicalSize{axis}Unit="(?!µm|um|&#181;m|&#xB5;m)', description)
        size = _tagged(tags, axis)
        if ome and not foreign:
            found[axis.lower()] = float(ome[1])
        elif 0 < size < SCREEN:
            found[axis.lower()] = size
    return found


def printed(tags: dict[str, str]) -> int:
    """The dpi for a screen or printer that TIFF tags state, 0 where they state none."""
    size = max(_tagged(tags, "X"), _tagged(tags, "Y"))
    return round(25400 / size) if size >= SCREEN else 0


def printed_in_words(paths: Sequence[Path], dpi: Sequence[int]) -> str:
    """A sentence on the images that state dpi for a screen or printer, '' where none does."""
    telling = [(path, one) for path, one in zip(paths, dpi, strict=True) if one]
    if not telling:
        return ""
    path, first = telling[0]
    return (
        f"{len(telling)} images state a resolution for a screen or printer ({path}: {first} dpi), which is "
        "ignored; the table's pixel_size counts"
    )


def _tagged(tags: dict[str, str], axis: str) -> float:
    """um per px by the resolution along an axis, 0 where there is none: a PNG's text may be any."""
    unit = {"2": 25400.0, "3": 10000.0}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "1")[:1], 0.0)  # inch, cm
    try:
        resolution = float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "0"))
    except ValueError:
        return 0.0
    return unit / resolution if 0 < resolution < math.inf else 0.0
