"""Folders of volumes as challenges hand them out, and which volumes are of one patient.

ACDC: a folder for each patient, patient001/patient001_frame01.nii.gz with patient001_frame01_gt.nii.gz, the
film patient001_4d.nii.gz, and Info.cfg, which says the frames of the end of diastole (ED) and systole (ES).
Synapse (BTCV), Medical Segmentation Decathlon, nnU-Net: imagesTr and labelsTr; Synapse calls one case
img0001.nii.gz and label0001.nii.gz, nnU-Net has the number of a channel behind an image, case_0000.nii.gz.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ftu.files import limits
from ftu_tools.dataset import naming
from ftu_tools.dataset.rasters import SUFFIXES, VOLUMES, stem, suffix

IMAGES, LABELS = "imagesTr", "labelsTr"
INFO, LARGEST = "Info.cfg", 2**20  # of ACDC; bytes
FILM = re.compile(r"(.+)_4d", re.IGNORECASE)
FRAME = re.compile(r"(.+)_frame0*(\d+)", re.IGNORECASE)


def parted(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of label maps inside of one, None where they are not there."""
    found = folder / IMAGES, folder / LABELS
    return found if all(each.is_dir() for each in found) else None


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; where that are folders of patients, with volumes of their names, what lies in
    these."""
    own = sorted(folder.iterdir())
    if any(path.is_file() and suffix(path) in SUFFIXES for path in own):
        return own
    patients = [path for path in own if path.is_dir() and _is_patients(path)]
    inner = [path for patient in patients for path in sorted(patient.iterdir())]
    return [path for path in own if path not in patients] + inner


def is_film(path: Path, others: Sequence[Path]) -> bool:
    """Whether a file holds all frames of a patient of which single ones lie beside it."""
    film = FILM.fullmatch(stem(path)) if suffix(path) in VOLUMES else None
    return bool(film) and any(other.name.startswith(f"{film[1]}_frame") for other in others)


def images_of(labels: str) -> list[str]:
    """What the image of a label map may be called, by its own stem."""
    named = [f"{labels}_0000"]
    return [f"img{labels.removeprefix('label')}", *named] if labels.startswith("label") else named


def patients(images: Sequence[Path], root: Path) -> dict[Path, str]:
    """Whose each volume is: of the folder that it lies in, inside of `root`; or else by its name: what is
    before _frame01, or what names share."""
    own = [path for path in images if path.parent == root or root.is_file()]
    named = by_name([stem(path) for path in own])
    return {path: path.parent.name for path in images} | dict(zip(own, named, strict=True))


def by_name(volumes: Sequence[str]) -> list[str]:
    """Whose volumes of these names are: what is before _frame01, or what several names share, or each its
    own."""
    guess = naming.guess(volumes).group
    matches = [FRAME.fullmatch(name) or (re.search(guess, name) if guess else None) for name in volumes]
    return [match[1] if match else name for name, match in zip(volumes, matches, strict=True)]


def frame(image: Path) -> str:
    """Which moment of the heart's beat an image shows: ED or ES, as Info.cfg beside it says; or the number
    in its name; '' where nothing says it."""
    number = FRAME.fullmatch(stem(image))
    if not number:
        return ""
    info = image.with_name(INFO)
    content = limits.content(info, LARGEST) if info.is_file() else b""
    lines = content.decode(errors="replace").splitlines()
    said = {parts[1].strip(): parts[0].strip() for line in lines if len(parts := line.split(":")) == 2}
    phase = said.get(number[2], "")
    return phase if phase in ("ED", "ES") else number[2]


def _is_patients(folder: Path) -> bool:
    return any(suffix(path) in VOLUMES and path.name.startswith(folder.name) for path in folder.iterdir())
