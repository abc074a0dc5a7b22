"""Images, masks and volumes as people have them: TIFF, PNG, JPEG and NumPy, page by page, values as stored.
NIfTI is read by ftu_tools.dataset.volumes.

Shapes: H height, W width, B bands. A page of a volume is a slice.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ftu.datasets import image_checks, resolution
from ftu.errors import InputError
from ftu.files import gdal, limits, tiff

ARRAYS = (".npy", ".npz")
VOLUMES = (".nii", ".nii.gz")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", *ARRAYS, *VOLUMES)
NIFTI = "NIfTI"  # the kind of VOLUMES
AXES = "zyxc"  # slice, row, column, band
WHITE_IS_0, CMYK, LAB = 0, 5, 8  # photometric interpretations (TIFF 6.0)
# What the description of a TIFF says that its pages are, other than slices (ImageJ; OME-XML, Pixels).
OTHER_PAGES = re.compile(r"\b(channels|frames)=(?!1\b)(\d+)|\bSize([CT])=\"(?!1\")(\d+)\"")
IMAGEJ_PAGES = re.compile(r"^ImageJ=.*?^images=(\d+)$", re.DOTALL | re.MULTILINE)


class Page(NamedTuple):
    """An image, a mask or a slice, as it is stored."""

    array: np.ndarray  # (H, W), or (H, W, B) of 2 or more
    bits: int  # of a value
    alpha: bool = False  # whether the last band says how opaque a pixel is
    palette: dict[int, tuple[int, ...]] | None = None  # the colours that values stand for


@dataclass(frozen=True)
class Raster:
    """A file of one page, or of a volume's slices."""

    path: Path
    kind: str  # PNG, JPEG, TIFF, NumPy, NIfTI
    pages: int
    volume: bool
    read: Callable[[int], Page]
    lossy: bool = False  # whether the values were changed where they were stored
    stated: float = 0.0  # um per px, 0 where the file does not say


def suffix(path: Path) -> str:
    """The ending of a file's name: .png, .nii.gz."""
    return next((each for each in VOLUMES if path.name.lower().endswith(each)), path.suffix.lower())


def stem(path: Path) -> str:
    """A file's name without its ending: a.1 of a.1.nii.gz."""
    return path.name[: len(path.name) - len(suffix(path))]


def opened(path: Path, axes: str = "", array: str = "", *, mask: bool = False) -> Raster:
    """The file at `path`; InputError where it cannot be read as what it is.

    `axes`: the order of a NumPy array's; with z, a TIFF's pages are slices. `array`: which one of an .npz.
    A mask need not have bands where its image has.
    """
    if fault := limits.file_fault(path):
        raise InputError(f"{path}: cannot be read as an image ({fault}); put the image itself there")
    try:
        if path.suffix.lower() in ARRAYS:
            return _of_numpy(path, [axes, axes.replace("c", "")] if mask else [axes], array)
        return _of_gdal(path, axes)
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error}); cut it into parts") from error
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


# ------------------------------------------------------------------ TIFF, PNG, JPEG


def _of_gdal(path: Path, axes: str) -> Raster:
    image_checks.check_format(path)
    driver = gdal.driver_of(path)
    with gdal.opened(path, driver=driver) as image:
        _check_shown(path, image)
        places = list(image.subdatasets) or [str(path)]
        if "z" not in axes:
            _check_pages(path, image, len(places))
        return Raster(
            path,
            kind="TIFF" if driver == "GTiff" else driver,
            pages=len(places),
            volume=len(places) > 1 or "z" in axes,
            read=lambda number: _page(path, places[number], driver),
            lossy="JPEG" in (driver, *image.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "").split()),
            stated=_stated(path, image),
        )


def _check_shown(path: Path, image: DatasetReader) -> None:
    """Raise InputError where what is stored is not what is seen: turned, other colours, or not all there."""
    with path.open("rb") as file:
        try:
            tags = tiff.tags(file)
            turned, hole = tiff.orientation(file, image.driver), tiff.hole(tags, path.stat().st_size)
        except ValueError as error:
            raise InputError(f"{path}: cannot be read as an image ({error}); fetch it again") from error
    if hole:
        raise InputError(f"{path}: cannot be read as an image ({hole}); fetch the file again")
    if turned != 1:
        raise InputError(
            f"{path}: says that it is shown turned or mirrored (Orientation {turned}); whether masks and "
            f"annotations are of the image as shown or as stored nobody can tell. Turn its pixels: `magick "
            f"{path} -auto-orient PNG24:OUT.png`, or, where they fit the pixels as stored, remove the tag: "
            f"`exiftool -Orientation= {path}`"
        )
    colour = int(tags.get(tiff.PHOTOMETRIC, [1])[0])
    made_of = image.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "RGB")
    if colour in (WHITE_IS_0, CMYK, LAB) or made_of not in ("RGB", "YCbCr"):
        raise InputError(
            f"{path}: has colours of another kind (photometric interpretation {colour}, {made_of}: 0 is "
            f"white, or inks); convert it: `{image_checks.CONVERT.format(path)}`"
        )


def _check_pages(path: Path, image: DatasetReader, pages: int) -> None:
    """Raise InputError where pages are said to be channels or times, or are not all in the file."""
    description = image.tags().get("TIFFTAG_IMAGEDESCRIPTION", "")
    if (claimed := IMAGEJ_PAGES.search(description)) and int(claimed[1]) != pages:
        raise InputError(
            f"{path}: says that it has {claimed[1]} pages, and {pages} can be read, as ImageJ writes what is "
            "larger than 4 GB; save it as BigTIFF"
        )
    if pages > 1 and (other := OTHER_PAGES.search(description)):
        raise InputError(
            f"{path}: has {pages} pages, and says {other[0]!r}: they are no slices; where they are, say "
            "--axes zyx"
        )


def _page(path: Path, place: str, driver: str) -> Page:
    try:
        with gdal.opened(Path(place) if place == str(path) else place, driver=driver) as image:  # pyright: ignore[reportArgumentType]
            if fault := gdal.size_fault(path, image):
                raise InputError(f"{path}: cannot be read as an image ({fault}); fetch the file again")
            bands = image.read()
            structure = image.tags(1, ns="IMAGE_STRUCTURE")
            return Page(
                bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, -1),
                bits=int(structure.get("NBITS", bands.dtype.itemsize * 8)),
                alpha=image.colorinterp[-1].name == "alpha",
                palette=image.colormap(1) if image.colorinterp[0].name == "palette" else None,
            )
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); fetch the file again") from error


def _stated(path: Path, image: DatasetReader) -> float:
    """um per px, as a TIFF states it; InputError where pixels are not square."""
    if image.driver != "GTiff":
        return 0.0
    stated = list(resolution.stated(image.tags()).values())
    if stated and max(stated) > min(stated) * resolution.AGREE:
        raise InputError(
            f"{path}: states pixels of {stated[0]:.4g} x {stated[-1]:.4g} um (x, y), which are not square; "
            "resample the image and its mask, or correct the tags"
        )
    return stated[0] if stated else 0.0


# ------------------------------------------------------------------ NumPy


def _of_numpy(path: Path, orders: Sequence[str], array: str) -> Raster:
    try:
        stored = _stored(path, array)
    except MemoryError:
        raise
    except Exception as error:  # of numpy, zipfile, zlib or tokenize: a damaged file can raise any
        raise InputError(
            f"{path}: cannot be read as NumPy's ({error}); save an array of numbers with np.save or np.savez"
        ) from error
    if stored.dtype.kind not in "buif":
        raise InputError(f"{path}: holds values of type {stored.dtype}; save an array of numbers")
    order = _order(path, stored.shape, orders)
    slices = np.transpose(stored, [order.index(axis) for axis in AXES if axis in order])
    if "z" not in order:
        slices = slices[np.newaxis]
    if fault := limits.size_fault(*slices.shape[1:3]):
        raise InputError(f"{path}: {fault}; say the order of its axes with --axes, or cut it into parts")

    def read(number: int) -> Page:
        page = np.asarray(slices[number])
        page = page[..., 0] if page.shape[2:] == (1,) else page
        bits = 1 if page.dtype == bool else page.dtype.itemsize * 8
        return Page(page.view(np.uint8) if page.dtype == bool else page, bits)

    return Raster(path, kind="NumPy", pages=len(slices), volume="z" in order, read=read)


def _stored(path: Path, array: str) -> np.ndarray:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded as arrays:
        names = list(arrays.files)
        if not array and len(names) != 1:
            raise ValueError(
                f"it holds {', '.join(names)[:200]}; name the images', then the masks': --arrays A,B"
            )
        if array and array not in names:
            raise ValueError(f"it holds {', '.join(names)[:200]}, and not {array!r} of --arrays")
        return arrays[array or names[0]]


def _order(path: Path, shape: Sequence[int], orders: Sequence[str]) -> str:
    """The name of each axis of an array, of the `orders` that may be; yx where nothing else is said."""
    axes = orders[0]
    for order in orders if axes else ["yx"]:
        if len(order) == len(shape):
            return order
    words = " x ".join(map(str, shape))
    said = f"and --axes says {axes}" if axes else "and nothing says what its axes are"
    raise InputError(
        f"{path}: is {words}, {said}; say it with --axes, a letter for each: z slice, y row, x column, c "
        "band, as in zyx or yxc"
    )
