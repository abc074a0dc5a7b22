"""Volumes and label maps in NIfTI, small, of unequal sides and spacings."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (7, 9, 4)  # x, y, z as stored: columns, rows, slices
LABELS = np.array([0, 1, 3, 6])
CLASSES = "right ventricle,myocardium,left ventricle"
MAPPED = "1=right ventricle,3=myocardium,6=left ventricle"
PLAIN = np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 7.25], [0, 0, 8, 3], [0, 0, 0, 1]])
FLIPPED = PLAIN * [[-1], [1], [-1], [1]]
PIXDIM = 76  # where it is in a header of NIfTI-1


def turned(affine: np.ndarray = PLAIN) -> np.ndarray:
    """An affine whose axes are oblique to those of the patient."""
    a, b = np.deg2rad([20, -35])
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    found = affine.copy()
    found[:3, :3] = first @ second @ affine[:3, :3]
    return found


def volume(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Any values of a CT, int16."""
    return np.random.default_rng(seed).integers(-1000, 1500, shape, np.int16)


def label_map(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Any of LABELS, uint8; all of them in the first slices, the last slice is empty."""
    found = np.random.default_rng(seed).choice(LABELS, shape).astype(np.uint8)
    found.reshape(-1, order="F")[-1:] = 0
    if len(shape) > 2 and shape[2] > 1:
        found[:, :, -1] = 0
    return found


def store(path: Path, array: np.ndarray, affine: np.ndarray = PLAIN, **options: Any) -> Path:
    """A file of an array as it is stored, x first.

    Options: `kind`, nib.Nifti2Image; `order`, ">" for big-endian; `qform` and `sform`, their codes; `slope`
    and `inter`; others are set in the header.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = options.pop("kind", nib.Nifti1Image)
    header = kind.header_class(endianness=options.pop("order", "<"))
    header.set_data_dtype(array.dtype)
    image = kind(array, affine, header)
    image.set_sform(affine, options.pop("sform", 1))
    image.set_qform(affine, options.pop("qform", 0))
    image.header.set_slope_inter(options.pop("slope", 1), options.pop("inter", 0))
    for name, value in options.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def loaded(path: Path) -> nib.Nifti1Image:
    """The file at `path`, of NIfTI-1 or 2."""
    found = nib.load(path)
    assert isinstance(found, nib.Nifti1Image)
    return found


def patched(path: Path, place: int, content: bytes) -> Path:
    """The file with other bytes at a place."""
    found = bytearray(path.read_bytes())
    found[place : place + len(content)] = content
    path.write_bytes(found)
    return path


def acdc(folder: Path, patient: str, *, frames: tuple[str, ...] = ("01", "12"), seed: int = 0) -> Path:
    """A patient's folder as ACDC hands it out: frames, their label maps, the film, Info.cfg."""
    for number, frame in enumerate(frames):
        name = f"{patient}_frame{frame}"
        labels = np.searchsorted(LABELS, label_map(seed=seed + number)).astype(np.uint8)
        store(folder / patient / f"{name}.nii.gz", volume(seed=seed + number) + 1000)
        store(folder / patient / f"{name}_gt.nii.gz", labels)
    store(folder / patient / f"{patient}_4d.nii.gz", np.zeros((*SHAPE, 12), np.int16))
    info = folder / patient / "Info.cfg"
    info.write_text("ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n", encoding="utf-8")
    return folder
