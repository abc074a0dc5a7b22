"""How many um a pixel measures: what a file says of it, in each of the ways that there are, and the user.

Sources: OME-XML, Pixels/@PhysicalSizeX and its unit; ImageJ's description; Aperio's description (MPP); TIFF
6.0, section 8. A size without a unit is in um, and the size along y that of x where a file is silent.
"""

import math
import re
from collections.abc import Mapping

from ftu.datasets import resolution
from ftu.datasets.resolution import AGREE
from ftu.errors import InputError

UM = {
    "": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
}
UM |= {"pm": 1e-6, "Å": 1e-4, "m": 1e6, "in": 25400.0, "inch": 25400.0}
NUMBER = r"(\d*\.?\d+(?:[eE][+-]?\d+)?)"
ESCAPES = {"&#181;": "µ", "&#xB5;": "µ", "&#xb5;": "µ", "\\u00B5": "µ"}
Size = tuple[float, float]  # um per px along x and y


def stated(tags: Mapping[str, str]) -> dict[str, Size]:
    """What the tags of an image, as GDAL names them, say of its pixels: by the way in which they say it."""
    description = tags.get("TIFFTAG_IMAGEDESCRIPTION", "")
    for escape, letter in ESCAPES.items():
        description = description.replace(escape, letter)
    found = {"OME": _ome(description), "ImageJ": _imagej(description, tags), "Aperio": _aperio(description)}
    plain = resolution.stated({name: text for name, text in tags.items() if "DESCRIPTION" not in name})
    x, y = plain.get("x", 0.0), plain.get("y", 0.0)
    found["TIFF resolution"] = (x or y, y or x) if x or y else None
    return {way: size for way, size in found.items() if size and all(0 < one < math.inf for one in size)}


def agreed(name: str, found: Mapping[str, Size], um: float | None) -> Size:
    """um per px of the image `name`: what its file says, `um` where that is silent or contradicts itself.

    Raises InputError where neither says it, where the file says two things, and where `um` is none of them.
    """
    if um is not None and not 0 < um < math.inf:
        raise InputError(f"--um: {um:g} is no size of a pixel; give um per px, such as 0.25")
    if not found:
        if um is None:
            raise InputError(f"{name}: does not say how large its pixels are; give --um, as in --um 0.25")
        return um, um
    told = ", ".join(f"{way}: {x:.4g} x {y:.4g}" for way, (x, y) in found.items())
    first, *others = found.values()
    if um is None:
        if any(not _alike(first, other) for other in others):
            raise InputError(f"{name}: states two sizes of a pixel (um, {told}); say which, with --um")
        return first
    for size in found.values():
        if _alike(size, (um, um)):
            return size
    raise InputError(f"{name}: states another size of a pixel (um, {told}) than --um {um:g}; correct one")


def _alike(one: Size, other: Size) -> bool:
    return all(1 / AGREE <= a / b <= AGREE for a, b in zip(one, other, strict=True))


def _ome(description: str) -> Size | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description)
    if not pixels:
        return None
    sizes = []
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}="{NUMBER}"', pixels[0])
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', pixels[0])
        sizes.append(float(size[1]) * UM.get(unit[1] if unit else "", math.nan) if size else math.nan)
    x, y = sizes
    return (x if x == x else y, y if y == y else x)  # nan is not itself


def _imagej(description: str, tags: Mapping[str, str]) -> Size | None:
    unit = re.search(r"^unit=(\S+)", description, re.MULTILINE)
    if not description.startswith("ImageJ=") or not unit:
        return None
    resolutions = [float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "nan")) for axis in "XY"]
    x, y = (UM.get(unit[1], math.nan) / one if one else math.nan for one in resolutions)
    return (x if x == x else y, y if y == y else x)


def _aperio(description: str) -> Size | None:
    size = re.search(rf"\|\s*MPP\s*=\s*{NUMBER}", description) if description.startswith("Aperio") else None
    return (float(size[1]), float(size[1])) if size else None
