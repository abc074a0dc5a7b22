"""NIfTI, of MRI and CT: a file's slices, and label maps on its grid.

Nothing is turned or resampled. By `axes` the first axis that a file stores is x, the columns of a slice; the
second y, its rows; the third z, the slices. Where they lie in the patient (left, front, head) its affine
says.
"""

import gzip
import itertools
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftu.datasets import resolution
from ftu.errors import InputError
from ftu.files import limits
from ftu_tools.dataset.rasters import NIFTI, Page, Raster
from ftu_tools.dataset.volumes import headers
from ftu_tools.dataset.volumes.headers import Grid

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

AXES = "xyz"  # as stored
APART = 0.1  # of a voxel: by how much a corner of a label map may lie off its image's


@dataclass(frozen=True, kw_only=True)
class Volume(Raster):
    """A file of one volume. Pages of an image are float32, of HU and the like; of a label map as stored."""

    grid: Grid
    dtype: np.dtype  # as stored
    odd: list[str] = field(default_factory=list)  # what is to be told


def opened(
    path: Path, scratch: Path, *, axes: str = "", pixdim: bool = False, labels: bool = False
) -> Volume:
    """The volume at `path`; InputError where it is none, or says not where and how large its voxels are.

    What is packed is unpacked to `scratch`, where it lies until the next is. `pixdim`: without an affine
    the spacing is enough. `labels`: it is a label map.
    """
    package = headers.nibabel()
    if fault := limits.file_fault(path):
        raise InputError(f"{path}: cannot be read as NIfTI ({fault}); put the file itself there")
    plain = _unpacked(path, scratch / ("labels.nii" if labels else "image.nii"))
    header = headers.read(path, plain)
    order = axes or AXES
    if sorted(order) != sorted(AXES):
        raise InputError(f"--axes: {order!r} is not of a volume; give x, y and z as {path} stores them")
    found = headers.repaired(path, header, pixdim=pixdim)
    _check_size(path, found, plain)
    dtype = found.get_data_dtype()
    if dtype.kind not in "iuf":
        what = found.get_value_label("datatype")
        raise InputError(
            f"{path}: has values of {what}, and a volume has one number in each voxel; save one part of "
            "them, such as the magnitude"
        )
    grid = headers.grid(path, header, found, order)
    proxy = package.arrayproxy.ArrayProxy(str(plain), found)

    def read(number: int) -> Page:
        stored = grid.shown(np.asarray(proxy[grid.place(number)]))
        if labels:
            whole = stored.dtype.kind in "iu"
            return Page(stored.astype(np.int64 if whole else np.float64), dtype.itemsize * 8)
        with np.errstate(over="ignore"):  # what is beyond becomes infinite, and is refused
            return Page(stored.astype(np.float32), dtype.itemsize * 8)

    return Volume(
        path=path,
        kind=NIFTI,
        pages=grid.slices,
        volume=True,
        read=read,
        stated=round(float(np.sqrt(grid.spacing[1] * grid.spacing[2])), 6),
        grid=grid,
        dtype=dtype,
        odd=[*headers.odd(found), *([] if labels else _odd(grid))],
    )


def check_same_grid(image: Volume, labels: Volume) -> None:
    """Raise InputError unless a label map has the voxels of its image, but for rounding."""
    one, other = image.grid, labels.grid
    shapes = [" x ".join(map(str, each.shape)) for each in (other, one)]
    if one.shape[:3] != other.shape[:3]:
        raise InputError(
            f"{labels.path}: is of {shapes[0]} voxels ({AXES}), but its image {image.path} of {shapes[1]}; "
            "bring the label map of this image, on its grid"
        )
    ends = [(0, length - 1) for length in (*one.shape, 1)[:3]]
    corners = np.array(list(itertools.product(*ends)))
    off = np.linalg.norm(_moved(other.affine, corners) - _moved(one.affine, corners), axis=1).max()
    if off > APART * min(headers.steps(one.affine)):
        spacings, origins = (
            [" x ".join(f"{value:.4g}" for value in of(each.affine)) for each in (other, one)]
            for of in (headers.steps, lambda affine: affine[:3, 3])
        )
        raise InputError(
            f"{labels.path}: lies elsewhere than its image {image.path}, by up to {off:.4g} mm: voxels of "
            f"{spacings[0]} mm from {origins[0]}, those of the image {spacings[1]} mm from {origins[1]}; "
            "bring the label map of this image, on its grid"
        )


def write(path: Path, labels: np.ndarray, on: Grid) -> None:
    """Write a label map, (slices, rows, columns), in its type on a grid, with the header that this has."""
    package = headers.nibabel()
    header = headers.parsed(path, on.header)
    header.check_fix(logger=headers.QUIET, error_level=40)
    header["vox_offset"] = 0  # extensions are left out
    header.set_data_dtype(labels.dtype)
    stored = np.zeros(on.shape, labels.dtype)
    for number in range(on.slices):
        stored[on.place(number)] = on.shown(labels[number])
    kind = package.Nifti1Image if len(on.header) == min(headers.SIZES) else package.Nifti2Image
    kind(stored, header.get_best_affine(), header).to_filename(path)


def _unpacked(path: Path, target: Path) -> Path:
    """A file that is not packed: slices of a packed one can only be read by unpacking all before them."""
    if path.suffix.lower() != ".gz":
        return path
    target.unlink(missing_ok=True)  # what is mapped into memory stays as it was
    try:
        with (
            limits.opened(path, limits.MOST_BYTES) as packed,
            gzip.GzipFile(fileobj=packed) as file,
            target.open("xb") as plain,
        ):
            while part := file.read(2**22):
                plain.write(part)
                if plain.tell() > limits.MOST_BYTES:
                    raise InputError(f"{path}: unpacks to more than {limits.MOST_BYTES} bytes; cut it up")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is cut off or damaged ({error}); fetch the file again") from error
    return target


def _check_size(path: Path, header: "Nifti1Header", plain: Path) -> None:
    """Raise InputError where voxels are missing at the end."""
    shape = [int(length) for length in header.get_data_shape()]
    due = header.get_data_offset() + math.prod(shape) * header.get_data_dtype().itemsize
    if (size := plain.stat().st_size) < due:
        raise InputError(f"{path}: is cut off: it has {size} of {due} bytes; fetch the file again")


def _odd(grid: Grid) -> list[str]:
    _, rows, columns = grid.spacing
    if max(rows / columns, columns / rows) <= resolution.AGREE:
        return []
    return [
        "have slices whose pixels are not square; stages take them for squares of the same area, and --axes "
        "says which axis is cut into slices"
    ]


def _moved(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]
