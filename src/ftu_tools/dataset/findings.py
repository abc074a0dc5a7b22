"""What was found in images, masks and annotations, in words."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ftu.errors import InputError, some
from ftu_tools.dataset import labels as meanings
from ftu_tools.dataset import naming
from ftu_tools.dataset.labels import Labels, Meaning
from ftu_tools.dataset.pictures import Picture, Range
from ftu_tools.dataset.rasters import Page, Raster
from ftu_tools.dataset.volumes import record
from ftu_tools.dataset.volumes.nifti import Volume
from ftu_tools.dataset.volumes.record import Entry

MOST = 12  # labels, names, sizes that are listed


class Findings:
    """What is told of all images when they have been looked at."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning
        self.kinds: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, ...]] = Counter()
        self.stated: Counter[float] = Counter()
        self.volumes: dict[str, int] = {}
        self.entries: list[Entry] = []  # of volumes that have a place in a patient
        self.names: list[str] = []
        self.scaled, self.clipped, self.values = 0, 0, 0
        self.masks, self.empty = 0, 0
        self.label_masks: Counter[str] = Counter()  # masks, or shapes, with a label
        self.label_pixels: Counter[str] = Counter()
        self.class_masks, self.class_pixels = Counter[int](), Counter[int]()
        self.unknown: dict[str, str] = {}  # label without a class -> where it is first
        self.odd: dict[str, list[str]] = defaultdict(list)

    def image(self, raster: Raster, page: Page, picture: Picture, name: str) -> None:
        """Count an image."""
        bands = "RGB" if picture.image.ndim == 3 else "grey"
        self.kinds[f"{raster.kind}, {bands}, {page.bits} bits"] += 1
        self.sizes[picture.image.shape[:2]] += 1
        self.stated[raster.stated] += 1
        self.names.append(name)
        if picture.scaled:
            self.scaled += 1
            self.clipped += picture.clipped
            self.values += picture.image.size
        if picture.opaque:
            self.odd["have an alpha that is opaque everywhere; it is left out"].append(str(raster.path))

    def entry(self, entry: Entry, volumes: Sequence[Volume]) -> None:
        """Count a volume, of the files of image and label map."""
        self.entries.append(entry)
        for volume in volumes:
            for what in volume.odd:
                self.odd[what].append(str(volume.path))

    def mask(self, labels: Labels, place: str) -> np.ndarray:
        """Count a mask; the number of each pixel's class, (H, W) uint8, 0 where a label has none."""
        pixels = meanings.counts(labels.values)
        words = {0: meanings.BACKGROUND} | labels.words
        numbers = {label: self._number(word, labels.drawn, place) for label, word in words.items()}
        mask = meanings.mask(labels.values, numbers)
        self.masks += 1
        self._count_labels(labels, pixels, place)
        found = meanings.counts(mask)
        self.class_pixels.update(found)
        self.class_masks.update(found.keys())
        self.empty += found.keys() <= {0}
        return mask

    def _number(self, word: str, drawn: bool, place: str) -> int:
        number = 0 if word == meanings.BACKGROUND else self.meaning.of(word, drawn)
        if number is None:
            self.unknown.setdefault(word, place)
        return number or 0

    def _count_labels(self, labels: Labels, pixels: Mapping[int, int], place: str) -> None:
        for what, which in labels.odd:
            self.odd[what].append(which)
        for label, word in labels.words.items():
            self.label_masks[word] += labels.drawn or label in pixels
            self.label_pixels[word] += pixels.get(label, 0)
            if labels.drawn and label not in pixels:
                what = "are not to be seen: under later ones, or smaller than a pixel"
                self.odd[what].append(f"{place} shape {label} ({word})")

    def check_known(self) -> None:
        """Raise InputError where labels have no class; it names all of them."""
        if not (self.unknown and self.meaning.classes):
            return
        listed = some((f"{label!r} ({self._many(label)})" for label in self.unknown), MOST)
        label, place = next(iter(self.unknown.items()))
        meant = shlex.quote(f"{label}={self.meaning.classes[0]}")
        raise InputError(
            f"{place}: label {label!r} has no class; {len(self.unknown)} have none: {listed}. Name each in "
            f"--labels, as a class ({', '.join(self.meaning.classes)}) or as {meanings.BACKGROUND}: "
            f"--labels={meant}"
        )

    def check_taught(self) -> None:
        """Raise InputError for a class that no mask has: nothing could learn it."""
        if self.masks and (absent := self._absent()):
            raise InputError(
                f"--classes: no label map has a voxel of {', '.join(absent)}; labels are "
                f"{some(sorted(self.label_masks, key=_order), MOST)}; say which is which class, as in "
                f"--labels 1={absent[0]}, or leave the class out"
            )

    def _absent(self) -> list[str]:
        classes = enumerate(self.meaning.classes, start=1)
        return [name for number, name in classes if not self.class_pixels[number]]

    def _many(self, label: str) -> str:
        return f"{self.label_masks[label]} times, {self.label_pixels[label]} px"

    def text(self, scale: Range | None, um: float, left_out: Mapping[str, int]) -> list[str]:
        """Lines on all of it, but for what is odd."""
        volumes = f" in {len(self.volumes)} volumes" if self.volumes else ""
        lines = [f"{len(self.names)} images{volumes}: {_counted(self.kinds)}; {_range(self.sizes)}"]
        if scale and not self.entries:
            share = self.clipped / max(1, self.values)
            lines.append(
                f"scaled from {scale[0]:g} to {scale[1]:g}: {self.scaled} images, {share:.3%} of values "
                "clipped"
            )
        stated = Counter({f"{size:.4g} um": many for size, many in self.stated.items() if size})
        lines.append(
            f"pixel size: {f'{um:g} um, as given' if um else _counted(stated) or 'not stated (--um)'}"
        )
        if self.masks:
            lines += self._labels_in_words()
        if without := len(self.names) - self.masks:
            lines.append(f"without a mask: {without}")
        lines += record.words(self.entries) if self.entries else _guessed(self.names, self.volumes)
        if left_out:
            lines.append(f"left out of the folders: {_counted(left_out)}")
        return lines

    def _labels_in_words(self) -> list[str]:
        total = sum(self.class_pixels.values())
        labels = some(
            (f"{label} ({self._many(label)})" for label in sorted(self.label_masks, key=_order)), MOST
        )
        if not self.meaning.classes:
            return [f"{self.masks} masks; labels: {labels or 'none'}", "classes: not named (--classes)"]
        lines = [f"{self.masks} masks, {self.empty} of them without foreground; labels: {labels or 'none'}"]
        masks, pixels = self.class_masks, self.class_pixels
        shares = (
            f"{number} {name} {pixels[number] / total:.2%} of px ({masks[number]} masks)"
            for number, name in enumerate([meanings.BACKGROUND, *self.meaning.classes])
        )
        return [*lines, f"classes: {', '.join(shares)}"]

    def warnings(self) -> list[str]:
        """What is odd, a line for each kind."""
        told = [f"{len(which)} {what}: {some(which)}" for what, which in self.odd.items()]
        if self.masks and (absent := self._absent()) and not self.unknown:
            told.append(f"no mask has a pixel of {', '.join(absent)}")
        return told


def _guessed(names: Sequence[str], volumes: Mapping[str, int]) -> list[str]:
    """What names seem to say of volumes and patients; nothing is done with it here."""
    if volumes:
        listed = some(f"{name} {number} slices" for name, number in volumes.items())
        return [f"volumes (group and z in images.csv): {listed}"]
    guess = naming.guess(names)
    if not guess.groups:
        return []
    what = "slices of volumes" if guess.z else "several images of a patient or sample"
    told = f"names look like {what}: {len(guess.groups)} groups, {_counted(guess.groups)}"
    return [f"{told} (a guess; data.group: ['{guess.group}'], data.z: '{guess.z}')"]


def _order(label: str) -> tuple[int, str]:
    return (int(label) if label.isdecimal() else 0, label)


def _counted(found: Mapping[str, int]) -> str:
    return some((f"{many} {what}" for what, many in sorted(found.items())), MOST)


def _range(sizes: Iterable[tuple[int, ...]]) -> str:
    found = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    words = [f"{height} x {width}" for height, width in (found[0], found[-1])]
    return f"{words[0] if len(found) == 1 else ' to '.join(words)} px (height x width)"
