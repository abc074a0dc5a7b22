"""TIFF, OME-TIFF, PNG and JPEG by rasterio: the levels of a pyramid, tiles that are not there, transparency.

GDAL's own list of overviews holds thumbnails and photographs of the label where tags call them smaller
copies, so the levels are found here: pages of the shape of the first, tiled as it is. Nothing else is read.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from ftu.datasets import image_checks
from ftu.errors import InputError
from ftu.files import gdal, limits, tiff
from ftu_tools.segment.slides import scale
from ftu_tools.segment.slides.slide import WHITE, Slide

SUBIFDS = 330  # the tag that says where smaller copies are (Adobe's TIFF technical note 1; OME-TIFF 6)
ODD = 0.02  # by how much the shape of a level may be off: sides are rounded


@contextmanager
def opened(path: Path) -> Iterator[Slide]:
    """As `files.opened`; the file may be of many gigabytes."""
    image_checks.check_format(path)
    driver = gdal.driver_of(path)
    try:
        with ExitStack() as files:
            first = files.enter_context(gdal.opened(path, driver=driver))
            _check(path, first)
            levels = _pyramid(path, first, files) if driver == "GTiff" else [first]
            read = partial(_read, path, levels)
            channels = 1 if first.count < 3 else 3
            yield Slide(
                path, tuple(level.shape for level in levels), channels, scale.stated(first.tags()), read
            )
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); save it in tiles") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def _check(path: Path, image: DatasetReader) -> None:
    """Raise InputError for pixels that are no RGB or grey of 8 bits, or are shown turned."""
    unsaid = image.count == 4 and image.colorinterp[-1] == ColorInterp.undefined  # OpenCV's RGBA
    alpha = unsaid or (image.count in (2, 4) and image.colorinterp[-1] == ColorInterp.alpha)
    if set(image.dtypes) != {"uint8"} or not (image.count in (1, 3) or alpha):
        raise InputError(
            f"{path}: has {image.count} bands of {image.dtypes[0]}; an image must be RGB or grey of 8 bits; "
            f"convert it: `{image_checks.CONVERT.format(path)}`"
        )
    if not alpha:
        image_checks.check_bands(path, image)
    with path.open("rb") as file:
        try:
            turned, tags = tiff.orientation(file, image.driver), tiff.tags(file)
            tiled = tiff.TILE_WIDTH in tags
            fault = "" if tiled else tiff.hole(tags, path.stat().st_size) or gdal.size_fault(path, image)
        except ValueError as error:
            raise InputError(f"{path}: cannot be read as an image ({error}); fetch it again") from error
    if turned != 1:
        raise InputError(
            f"{path}: says that it is shown turned or mirrored (Orientation {turned}); turn its pixels: "
            f"`magick {path} -auto-orient PNG24:OUT.png`"
        )
    if large := "" if tiled and max(image.shape) <= limits.LONGEST_SIDE else limits.size_fault(*image.shape):
        raise InputError(f"{path}: {large}; save it as a TIFF in tiles, or cut it into parts")
    if fault:
        raise InputError(f"{path}: cannot be read as an image ({fault}); fetch the file again")
    image_checks.check_one_page(path)
    image_checks.check_colours(path, image)


def _pyramid(path: Path, first: DatasetReader, files: ExitStack) -> list[DatasetReader]:
    """The levels, largest first."""
    with path.open("rb") as file:
        whole, *pages = list(tiff.pages(file))
    places = [f"off:{int(offset)}" for offset in whole.get(SUBIFDS, [])]
    places += [str(number) for number, tags in enumerate(pages, start=2) if _copy(whole, tags)]
    found = [first]
    for place in places:
        level = files.enter_context(gdal.opened(Path(f"GTIFF_DIR:{place}:{path}"), driver="GTiff"))
        if level.count == first.count and _same_shape(first.shape, level.shape):
            found.append(level)
    return sorted(found, key=lambda level: -level.width)


def _copy(whole: tiff.Tags, tags: tiff.Tags) -> bool:
    """Whether a page may be a level: tiled as the first is, or else called a smaller copy; never a mask."""
    kind = int(tags.get(tiff.SUBFILE, [0])[0])
    tiled, as_first = tiff.TILE_WIDTH in whole, (tiff.TILE_WIDTH in tags) == (tiff.TILE_WIDTH in whole)
    return as_first and not kind & tiff.MASK and (tiled or bool(kind & tiff.REDUCED))


def _same_shape(whole: tuple[int, int], level: tuple[int, int]) -> bool:
    """Whether a level shows all of the whole: its sides are in proportion, to a pixel or two percent."""
    height, width = level
    expected = whole[0] * width / whole[1]
    return width < whole[1] and abs(height - expected) <= max(1.0, ODD * expected)


def _read(
    path: Path, levels: list[DatasetReader], number: int, top: int, left: int, height: int, width: int
) -> np.ndarray:
    level = levels[number]
    try:
        with gdal.undamaged():
            bands = level.read(window=Window.from_slices((top, top + height), (left, left + width)))
    except RasterioError as error:
        raise InputError(
            f"{path}: level {number}, rows {top} to {top + height}, columns {left} to {left + width}: cannot "
            f"be read ({error}); fetch the file again"
        ) from error
    pixels = gdal.pixels(bands) if len(bands) in (1, 3) else over_white(np.moveaxis(bands, 0, -1))
    for rows, columns in _absent(level, top, left, height, width):
        pixels[rows, columns] = WHITE
    return pixels


def _absent(
    level: DatasetReader, top: int, left: int, height: int, width: int
) -> Iterator[tuple[slice, slice]]:
    """Where a part of a level shows tiles that were never written, which GDAL reads as black."""
    if level.driver != "GTiff":
        return
    tall, wide = level.block_shapes[0]
    for down in range(top // tall, -(-(top + height) // tall)):
        for across in range(left // wide, -(-(left + width) // wide)):
            if level.get_tag_item(f"BLOCK_OFFSET_{across}_{down}", "TIFF", bidx=1) is None:
                first, begin = down * tall - top, across * wide - left
                yield slice(max(first, 0), first + tall), slice(max(begin, 0), begin + wide)


def over_white(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 whose last band is opacity, over white: (H, W, C - 1)."""
    opacity = pixels[..., -1:].astype(np.uint16)
    shown = pixels[..., :-1] * opacity + (WHITE * (255 - opacity)) + 127
    return (shown // 255).astype(np.uint8)
