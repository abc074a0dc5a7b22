"""ROOT/volumes.json: of each volume in a data set how its slices were made, and what brings them back.

Beside the slices, so that they can be made again, and label maps of them be written on the volume's grid.
"""

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ftu.errors import InputError, some
from ftu.files import jsonfile, limits
from ftu_tools.dataset.labels import Meaning
from ftu_tools.dataset.layout import RECORD, SETS
from ftu_tools.dataset.pictures import Range
from ftu_tools.dataset.volumes import challenges, headers
from ftu_tools.dataset.volumes.headers import Grid

AGAIN = "make the data set again with `python -m ftu_tools.dataset.make`"


@dataclass
class Entry:
    """A volume."""

    name: str  # NAME of its slices NAME_z000, NAME_z001, ...
    group: str  # the patient
    frame: str  # ED, ES, a number, or ''
    set: str  # train or test
    source: str  # the folder in between, '' for none
    image: str  # the names of the files
    labels: str  # '' without a label map
    window: list[float] | None  # HU, or other values, that became 0 and 255, as said for all volumes
    percentiles: list[float] | None  # or those of this volume's voxels
    levels: list[float]  # the values that became 0 and 255
    spacing: list[float]  # um, between slices, rows, columns
    axes: str  # x, y, z: what the stored axes are
    values: dict[str, int]  # what a label map says of each class, in the order of the classes
    dtype: str  # of a label map
    header: str  # of the label map, or else of the image: its bytes, in base64

    @property
    def grid(self) -> Grid:
        path = Path(self.labels or self.image)
        header = headers.parsed(path, base64.b64decode(self.header))
        return headers.grid(path, header, headers.repaired(path, header, pixdim=True), self.axes)

    def slices(self) -> list[str]:
        """The names of its slices."""
        many = self.grid.slices
        return [slice_name(self.name, number, many) for number in range(many)]


def slice_name(volume: str, number: int, many: int) -> str:
    """What the image of a slice is called, of `many`."""
    return f"{volume}_z{number:0{max(3, len(str(many - 1)))}}"


def encoded(header: bytes) -> str:
    return base64.b64encode(header).decode()


def read(root: Path) -> list[Entry]:
    """The volumes of the data set at `root`; InputError where nothing tells of them, or it is damaged."""
    path = root / RECORD
    with jsonfile.facts(path, AGAIN) as facts:
        entries = [Entry(**each) for each in facts["volumes"]]
        for entry in entries:
            _check(entry)
        if twice := [name for name, many in Counter(each.name for each in entries).items() if many > 1]:
            raise ValueError(f"{some(twice)} stands there more than once")
    return entries


def known(root: Path) -> list[Entry]:
    """`read` of a data set that may have no volumes, or not be there yet."""
    return read(root) if (root / RECORD).exists() else []


def add(root: Path, entries: Sequence[Entry], meaning: Meaning, labels: Iterable[str]) -> None:
    """Write these beside those that are known of the data set at `root`; `labels` were found in their label
    maps."""
    path = root / RECORD
    if not entries:
        return
    before = known(root)
    said = values(meaning, labels, before)
    entries = [replace(entry, values=said) for entry in entries]
    path.unlink(missing_ok=True)  # else the record of the folder that is extended would change, too
    jsonfile.write(path, {"volumes": [asdict(entry) for entry in (*before, *entries)]})


def check_alike(
    root: Path, source: str, meaning: Meaning, window: Range | None, percentiles: Range | None
) -> None:
    """Raise InputError where the volumes of a source at `root` became slices in another way: a network would
    see other values, or take one class for another."""
    for entry in [entry for entry in known(root) if entry.source == source]:
        for option, said, made in (
            ("--window", window, entry.window),
            ("--percentiles", percentiles, entry.percentiles),
            ("--classes", meaning.classes, list(entry.values)),
        ):
            told, there = (_listed(each) for each in (said, made))
            if told != there and (option != "--classes" or (told and there)):
                raise InputError(
                    f"{option}: {told or 'not given'}, but {entry.name} of {root} was made with "
                    f"{there or 'none'}; give the same, or name another folder (--to) or --source"
                )


def related(before: Sequence[Entry], entries: Sequence[Entry]) -> list[str]:
    """Sentences on volumes that by their names are of one patient, and stand on both sides of a score: in the
    training and in the test set, or in several groups, which may lie in several folds."""
    both = [*before, *entries]
    found: dict[str, list[Entry]] = defaultdict(list)
    for patient, entry in zip(challenges.by_name([entry.name for entry in both]), both, strict=True):
        found[patient].append(entry)
    across = [entries[0].name for entries in found.values() if len({entry.set for entry in entries}) > 1]
    apart = [
        f"{entries[0].name} and {entries[-1].name}"
        for entries in found.values()
        if len({entry.group for entry in entries if entry.set == "train"}) > 1
    ]
    told = []
    if across:
        told.append(f"in train and in test are volumes of one patient, which flatters scores: {some(across)}")
    if apart:
        told.append(
            f"one patient in two groups, which may lie in two folds; make them at once: {some(apart)}"
        )
    return told


def values(meaning: Meaning, found: Iterable[str], before: Sequence[Entry]) -> dict[str, int]:
    """What a label map says of each class: the label that was `found` of it, the smallest where these are
    several; or else what --labels says, what volumes said `before`, or the class's number."""
    if not meaning.classes:
        return before[0].values if before else {}
    there = before[0].values if before and list(before[0].values) == meaning.classes else {}
    labels = _labels(meaning, (*found, *meaning.labels))
    return {
        name: (labels[name] or [there.get(name, number)])[0]
        for number, name in enumerate(meaning.classes, start=1)
    }


def merged(meaning: Meaning, found: Iterable[str]) -> str:
    """A sentence on classes that have several of the labels `found`, '' where none has."""
    several = {name: labels for name, labels in _labels(meaning, found).items() if len(labels) > 1}
    told = (f"{name} ({', '.join(map(str, labels))})" for name, labels in several.items())
    return f"classes with several labels come back with the first: {some(told)}" if several else ""


def words(entries: Sequence[Entry]) -> list[str]:
    """What was found of volumes, a line for each kind of fact."""
    between, rows, columns = (sorted(entry.spacing[axis] / 1000 for entry in entries) for axis in range(3))
    plane = _span([*rows, *columns])
    patients = Counter(entry.group for entry in entries)
    turned = Counter("".join(headers.nibabel().aff2axcodes(entry.grid.affine)) for entry in entries)
    lines = [
        f"{len(entries)} volumes; patients (group in images.csv): {len(patients)}, {some(patients)}",
        f"voxels: {plane} mm in a slice, {_span(between)} mm from slice to slice; slices are as stored, "
        f"axes {entries[0].axes} towards {_counted(turned)}",
    ]
    low, high = (_span([entry.levels[side] for entry in entries]) for side in (0, 1))
    how = "the window"
    if said := entries[0].percentiles:
        how = f"percentiles {said[0]:g} and {said[1]:g} of all voxels of each volume, which are"
    return [*lines, f"8 bits by {how} {low} (black) and {high} (white)"]


def _check(entry: Entry) -> None:
    """Raise ValueError or InputError unless what an entry says can be."""
    for name in (entry.name, entry.source):
        if "/" in name or name in (".", "..") or limits.RESERVED in name or "\0" in name:
            raise ValueError(f"{name[:60]!r} is no name of a volume or source")
    if entry.set not in SETS:
        raise ValueError(f"set {entry.set!r} of {entry.name} is not one of {', '.join(SETS)}")
    if len(entry.spacing) != 3 or not all(0 < step < np.inf for step in entry.spacing):
        raise ValueError(f"spacing {entry.spacing} of {entry.name} is none")
    if not all(isinstance(label, int) and label > 0 for label in entry.values.values()):
        raise ValueError(f"values {entry.values} of {entry.name} are no labels of classes")
    np.dtype(entry.dtype)
    entry.grid  # noqa: B018


def _listed(values: Sequence[object] | None) -> str:
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values or ())


def _span(values: Iterable[float]) -> str:
    found = sorted(values)
    ends = f"{found[0]:.4g}", f"{found[-1]:.4g}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _labels(meaning: Meaning, found: Iterable[str]) -> dict[str, list[int]]:
    """Which of the labels `found` each class has, in order."""
    numbers = sorted({int(label) for label in found if label.isdecimal()} - {0})
    of = {number: meaning.of(str(number), drawn=False) for number in numbers}
    return {
        name: [label for label in numbers if of[label] == number]
        for number, name in enumerate(meaning.classes, start=1)
    }


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{name} ({many})" if len(found) > 1 else name for name, many in found.most_common())
