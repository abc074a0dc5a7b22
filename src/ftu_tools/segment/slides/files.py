"""Which files are slides, and who reads them.

rasterio reads TIFF, OME-TIFF, PNG and JPEG, openslide what scanners write: openslide sees one level and no
scale of an OME-TIFF, and rasterio no scale of other vendors' files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftu.errors import InputError
from ftu_tools.segment.slides import tiffs
from ftu_tools.segment.slides.slide import Slide

VENDORS = (".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
IMAGES = (".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg")

LONGEST_NAME = 200  # bytes: file systems take 255, with our endings and those of temporary files


@contextmanager
def opened(path: Path) -> Iterator[Slide]:
    """The slide at `path`; InputError, which names it and the way out, for what is none."""
    if not path.is_file():
        raise InputError(f"{path}: is no file; name an image, or a folder of them")
    if path.suffix.lower() in VENDORS and (vendors := _vendors(path)):
        with vendors.opened(path) as slide:
            yield slide
    else:
        with tiffs.opened(path) as slide:
            yield slide


def _vendors(path: Path):  # noqa: ANN202 the module, None where another can read the file as well
    try:
        from ftu_tools.segment.slides import vendors
    except ModuleNotFoundError as error:
        if path.suffix.lower() == ".svs":  # a TIFF
            return None
        raise InputError(
            f"{path}: needs openslide, which is not installed; run `uv sync --extra slides`, or save it as "
            "OME-TIFF"
        ) from error
    return vendors


def name_of(path: Path) -> str:
    """What results are called after."""
    return path.name[: -len(path.suffix)].removesuffix(".ome") or path.name


def found_in(paths: list[Path]) -> list[Path]:
    """The files, and those of the folders among them, in order of their names; dot files are left out.

    Raises InputError for a folder without an image, for two that results would have one name for, and for
    names that results cannot have.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        images = [each for each in inside if each.suffix.lower() in (*VENDORS, *IMAGES)]
        if not images:
            raise InputError(f"{path}: holds no image ({' '.join((*IMAGES, *VENDORS))}); name another folder")
        files += images
    taken: dict[str, Path] = {}
    for path in (files := list(dict.fromkeys(files))):  # what is named twice is there once
        if fault := _name_fault(path):
            raise InputError(f"{str(path)!a}: {fault}; rename it")
        other = taken.setdefault(name_of(path).casefold(), path)
        if other is not path:
            raise InputError(f"{path}: results would have the name of those of {other}; rename one")
    return files


def _name_fault(path: Path) -> str:
    """Why results cannot be called after a file, '' if they can."""
    try:
        length = len(name_of(path).encode())
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    return f"its name has {length} bytes, more than {LONGEST_NAME}" if length > LONGEST_NAME else ""
