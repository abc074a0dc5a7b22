"""What a NIfTI file says of itself before its voxels: how many, how large, and where they lie in the patient.

Nothing is repaired in silence. NIfTI-1 and NIfTI-2, in one file.
Source: nifti1.h, https://nifti.nimh.nih.gov/nifti-1 (dim, pixdim, qform, sform, xyzt_units).
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ftu.datasets import resolution
from ftu.errors import InputError
from ftu.files import limits

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

# Of xyzt_units, um: unknown, which all tools take for mm; m; mm; um.
UM = {0: 1000.0, 1: 1e6, 2: 1000.0, 3: 1.0}
SIZES = {348: 1, 540: 2}  # bytes of a header -> which NIfTI
LEAST, MOST = 1e-6, 1e9  # of a voxel, and of where it lies, in the header's unit
SHEARED = 1e-3  # cosine between two axes; other tools refuse such a file
FLAT = 1e-2  # of a voxel's volume in that of a box with its edges; less is no volume
QUIET = logging.Logger("nibabel's repairs", logging.CRITICAL)


@dataclass(frozen=True)
class Grid:
    """The voxels of a file, and where they lie."""

    header: bytes  # as it is in the file
    shape: tuple[int, ...]  # as stored; behind the third axis only axes of 1
    axes: str  # what each of the first three is
    affine: np.ndarray  # (4, 4) float: from an index as stored to mm towards the right, the front, the head
    spacing: tuple[float, float, float]  # um from one slice, row, column to the next

    @property
    def slices(self) -> int:
        return self.extent("z")

    def extent(self, axis: str) -> int:
        return dict(zip(self.axes, self.shape, strict=False)).get(axis, 1)

    def place(self, number: int) -> tuple[int | slice, ...]:
        """Where slice `number` is in an array of `shape`."""
        names = (*self.axes, *"1111")[: len(self.shape)]
        return tuple(slice(None) if name in "xy" else number if name == "z" else 0 for name in names)

    def shown(self, stored: np.ndarray) -> np.ndarray:
        """What lies at `place` as (y, x), and back."""
        return stored if self.axes.index("y") < self.axes.index("x") else stored.T


def nibabel() -> ModuleType:
    """nibabel; InputError where it is not installed: nothing else needs it."""
    try:
        import nibabel
        import nibabel.arrayproxy
    except ImportError as error:
        raise InputError(
            f"NIfTI is read by nibabel, which cannot be imported ({error}); install it: "
            "`uv sync --extra volumes`"
        ) from error
    return nibabel


def read(path: Path, plain: Path) -> "Nifti1Header":
    """The header of the file at `plain`, which is that at `path` unpacked, with nothing repaired."""
    with limits.opened(plain) as file:
        content = file.read(max(SIZES)) or b""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")} & SIZES.keys()
    if not sizes or len(content) < max(sizes):
        begins = content[:4].hex() or "nothing"
        raise InputError(f"{path}: is no NIfTI (it begins with {begins}); fetch the file again")
    return parsed(path, content[: sizes.pop()])


def parsed(path: Path, content: bytes) -> "Nifti1Header":
    """The header in these bytes of the file at `path`, with nothing repaired."""
    package = nibabel()
    kind = package.Nifti1Header if SIZES.get(len(content)) == 1 else package.Nifti2Header
    try:
        header = kind(content, check=False)
    except Exception as error:  # of nibabel or numpy
        raise InputError(f"{path}: is no NIfTI ({error}); fetch the file again") from error
    if header["magic"].item() != header.single_magic:
        magic = header["magic"].item()
        raise InputError(f"{path}: is no NIfTI in one file (its magic is {magic!r}); save it as .nii.gz")
    return header


def repaired(path: Path, header: "Nifti1Header", *, pixdim: bool) -> "Nifti1Header":
    """The header as nibabel takes it; InputError for what must not be repaired: no size, no place, no one
    volume. `pixdim`: the spacing alone is place enough."""
    shape = [int(length) for length in header["dim"][1 : 1 + max(0, min(7, int(header["dim"][0])))]]
    words = " x ".join(map(str, shape))
    if len(shape) < 2 or min(shape) < 1:
        raise InputError(f"{path}: is of {words or 'no'} voxels, which is no volume; fetch the file again")
    if fault := limits.size_fault(*sorted(shape)[-2:]):
        raise InputError(f"{path}: {fault}; cut it into parts")
    if any(length > 1 for length in shape[3:]):
        raise InputError(
            f"{path}: holds several volumes ({words}), of times or channels; save those that are meant as "
            "files of their own, or leave it out"
        )
    voxel = _voxel(header)
    size = " x ".join(f"{length:g}" for length in voxel)
    if not all(LEAST <= abs(length) <= MOST for length in voxel):
        raise InputError(f"{path}: its voxels have no size, {size} (pixdim); correct its header")
    if not pixdim and int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        raise InputError(
            f"{path}: does not say where it lies (sform_code and qform_code are 0), only that voxels are "
            f"{size}; where that is enough, say --pixdim"
        )
    found = header.copy()
    try:
        found.check_fix(logger=QUIET, error_level=40)
        affine, offset = _affine(found), found.get_data_offset()
        found.get_slope_inter()
    except Exception as error:  # of nibabel: HeaderDataError, and others
        raise InputError(f"{path}: its header is damaged ({error}); fetch the file again") from error
    if offset < len(header.binaryblock):
        raise InputError(f"{path}: its voxels begin at byte {offset}, in its header; fetch the file again")
    if not (np.abs(affine) <= MOST).all() or _flatness(affine) < FLAT:
        raise InputError(f"{path}: its affine is none: {affine[:3].tolist()}; correct its header")
    return found


def odd(header: "Nifti1Header") -> list[str]:
    """What is to be told of a header that `repaired` gave."""
    told, affine, voxel = [], _affine(header), np.abs(_voxel(header))
    axes = affine[:3, :3] / steps(affine)
    if np.abs(axes.T @ axes - np.eye(3)).max() > SHEARED:
        told.append("are sheared (their axes are not at right angles), and stay so; some tools refuse them")
    ratio = steps(affine)[: len(voxel)] / voxel
    if max(*ratio, *1 / ratio) > resolution.AGREE:
        told.append("say two sizes of a voxel; that of the affine is taken, not pixdim's")
    return told


def grid(path: Path, header: "Nifti1Header", found: "Nifti1Header", axes: str) -> Grid:
    """The grid of a header, of which `repaired` made `found`; InputError where `axes` are not its own."""
    shape = tuple(int(length) for length in found.get_data_shape())
    unit = UM.get(code := int(found["xyzt_units"]) & 7)
    if unit is None:
        raise InputError(f"{path}: its unit of length is none (xyzt_units {code}); correct its header")
    if len(shape) == 2 and axes[2] != "z":
        raise InputError(f"{path}: has two axes, and --axes says {axes}; z is the third")
    affine = np.diag([unit / 1000] * 3 + [1]) @ _affine(found)
    um = dict(zip(axes, (1000 * steps(affine)).round(6).tolist(), strict=True))
    return Grid(header.binaryblock, shape, axes, affine, (um["z"], um["y"], um["x"]))


def steps(affine: np.ndarray) -> np.ndarray:
    """(3,) The length of a voxel along each stored axis."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def _flatness(affine: np.ndarray) -> float:
    """The volume of a voxel, in that of a box whose edges are as long; 0 where one has no length."""
    lengths = steps(affine)
    return float(abs(np.linalg.det(affine[:3, :3] / lengths))) if lengths.min() >= LEAST else 0.0


def _affine(header: "Nifti1Header") -> np.ndarray:
    return np.asarray(header.get_best_affine(), float)


def _voxel(header: "Nifti1Header") -> list[float]:
    """pixdim of the axes that there are, of three at most."""
    return [float(length) for length in header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))]]
