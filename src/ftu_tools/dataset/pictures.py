"""Images as the layout takes them: grey, (H, W), or RGB, (H, W, 3), uint8."""

from typing import NamedTuple

import numpy as np

from ftu.datasets import image_checks
from ftu.errors import InputError
from ftu_tools.dataset.rasters import Page, Raster

Range = tuple[float, float]  # the values that become 0 and 255


class Picture(NamedTuple):
    """An image, and what was done to it."""

    image: np.ndarray  # (H, W) or (H, W, 3) uint8
    as_stored: bool  # whether the file shows it already
    clipped: int = 0  # values beyond the range
    scaled: bool = False
    opaque: bool = False  # whether an alpha that says nothing was left out


def of(raster: Raster, page: Page, scale: Range | None) -> Picture:
    """What a page shows; InputError where it is not one or three bands of 8 bits and no range is given."""
    array, path = page.array, raster.path
    if page.palette is not None:
        raise InputError(
            f"{path}: is an image of a palette's colours, not RGB; convert it: "
            f"`{image_checks.CONVERT.format(path)}`"
        )
    if page.alpha:
        array = without_alpha(raster, page)
    if array.ndim == 3 and array.shape[-1] != 3:
        raise InputError(
            f"{path}: has {array.shape[-1]} bands; an image has 1 (grey) or 3 (RGB): choose them; where they "
            "are slices, save them as pages"
        )
    if page.bits != 8 or array.dtype != np.uint8:
        scaled, clipped = _scaled(raster, page, array, scale)
        return Picture(scaled, as_stored=False, clipped=clipped, scaled=True, opaque=page.alpha)
    plain = not (page.alpha or raster.volume or raster.kind == "NumPy")
    return Picture(array, as_stored=plain, opaque=page.alpha)


def without_alpha(raster: Raster, page: Page) -> np.ndarray:
    """The other bands; InputError where some pixel is not opaque: what it shows is for the user to say."""
    alpha = page.array[..., -1]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    if clear := int((alpha != opaque).sum()):
        raise InputError(
            f"{raster.path}: {clear} of {alpha.size} px are not opaque (alpha); put it on the colour that "
            f"they shall have: `magick {raster.path} -background white -alpha remove -alpha off OUT.png`"
        )
    rest = page.array[..., :-1]
    return rest[..., 0] if rest.shape[-1] == 1 else rest


def _scaled(raster: Raster, page: Page, array: np.ndarray, scale: Range | None) -> tuple[np.ndarray, int]:
    """The values from `scale` at 0 to 255, and how many lie beyond; linear."""
    lost = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
    if lost:
        raise InputError(
            f"{raster.path}: {lost} of {array.size} values are NaN or infinite; fill them, or leave it out"
        )
    if scale is None:
        raise InputError(
            f"{raster.path}: has values of {page.bits} bits ({array.dtype}), here {array.min():g} to "
            f"{array.max():g}; an image has 8: give the values that become black and white, the same for all "
            "images: --range LOW HIGH"
        )
    low, high = scale
    values = (array.astype(float) - low) / (high - low) * 255
    clipped = int(((array < low) | (array > high)).sum())
    return np.rint(values.clip(0, 255)).astype(np.uint8), clipped
