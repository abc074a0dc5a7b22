"""Which mask or annotation belongs to which image: by its stem, never by its place in a list."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ftu.errors import InputError, some
from ftu.files.names import composed
from ftu_tools.dataset import rasters
from ftu_tools.dataset.drawn import annotations, coco, labelme, qupath
from ftu_tools.dataset.labels import Labels
from ftu_tools.dataset.volumes import challenges

SEGMENTED = ".segment"  # a folder that `make segment` leaves beside its outlines and pictures
MARK = re.compile(r"(.+)[_-](?:mask|masks|seg|segmentation|label|labels|gt)", re.IGNORECASE | re.DOTALL)
Draw = Callable[[tuple[int, int]], Labels]  # annotations at (height, width)


class Pair(NamedTuple):
    """An image, or a volume, and at most one of what says what is where in it."""

    name: str  # its stem, composed
    image: Path
    labels: Path | None = None
    draw: Draw | None = None  # how, where these are annotations; otherwise they are a mask
    patient: str = ""  # of a volume in NIfTI


class Found(NamedTuple):
    """What lies in the folders that were named."""

    pairs: list[Pair]
    left_out: Counter[str]  # kinds of files that are neither images nor annotations


class _Listing(NamedTuple):
    rasters: list[Path]
    annotations: list[Path]
    left_out: Counter[str]


def find(images: Path, masks: Path | None, *, one_file: bool, unmasked: bool, scratch: Path) -> Found:
    """The images, each with its mask where it has one; InputError names what has no partner, on either side.

    `one_file`: the file of an image holds its mask, too. `unmasked`: images may be without. Images inside of
    annotations are written to `scratch`.
    """
    for path in filter(None, (images, masks)):
        if not path.exists():
            raise InputError(f"{path}: does not exist; name a folder or a file")
    around = Counter[str]()
    if masks is None and images.is_dir() and (both := challenges.parted(images)):
        around = Counter(path.name for path in images.iterdir() if path not in both)
        images, masks = both
    if images.is_file() or (masks and masks.is_file()):
        found = _of_files(images, masks)
    elif masks is None:
        found = _in_one_folder(images, scratch)
    else:
        pictures, marks = _listed(images), _listed(masks)
        beside = Counter({"annotations beside the images": len(pictures.annotations)})
        joined = _joined(pictures.rasters, [*marks.rasters, *marks.annotations], scratch)
        found = Found(joined, pictures.left_out + marks.left_out + beside)
    if one_file:
        pairs = [pair._replace(labels=pair.labels or pair.image) for pair in found.pairs]
        found = found._replace(pairs=pairs)
    if not found.pairs:
        raise InputError(f"{images}: holds no image; name the folder of the images first: IMAGES MASKS")
    of_patients = [pair.image for pair in found.pairs if rasters.suffix(pair.image) in rasters.VOLUMES]
    patients = challenges.patients(of_patients, images)
    pairs = [pair._replace(patient=patients.get(pair.image, "")) for pair in found.pairs]
    found = Found(pairs, found.left_out + around)
    bare = [pair.image.name for pair in found.pairs if not pair.labels]
    if bare and not unmasked:
        where = "IMAGES MASKS; in .npz files --arrays IMAGES,MASKS"
        raise InputError(
            f"{images}: {len(bare)} of {len(found.pairs)} images have no mask: {some(bare)}; bring masks, "
            f"name where they are ({where}), or let such images be test images: --unmasked-to-test"
        )
    return found


def draw(path: Path, name: str, shape: tuple[int, int]) -> Labels:
    """The shapes in the annotations at `path`, of the image whose stem is `name`, at its (height, width)."""
    content = annotations.read(path)
    with annotations.damage_in_words(path):
        if (one := labelme.of(content)) is not None:
            return labelme.draw(path, one, name, shape)
        features = qupath.found_in(content)
        if features is not None:
            return qupath.draw(path, features, shape)
    raise InputError(
        f"{path}: is neither QuPath's GeoJSON nor LabelMe's; export the annotations as one of these"
    )


def _of_files(images: Path, masks: Path | None) -> Found:
    """One image or volume with its mask; or a folder with COCO's file, which names all images."""
    if masks and masks.is_file() and masks.suffix.lower() in annotations.SUFFIXES:
        content = annotations.read(masks)
        if (whole := coco.of(content)) is not None:
            listing = _listed(images) if images.is_dir() else _Listing([images], [], Counter())
            drawn = coco.paired(masks, whole, listing.rasters)
            named = _by_stem(listing.rasters, "images").items()
            pairs = [
                Pair(stem, path, masks if path in drawn else None, drawn.get(path)) for stem, path in named
            ]
            others = [path for path in listing.annotations if not path.samefile(masks)]
            return Found(pairs, listing.left_out + Counter({"other annotations": len(others)}))
    if images.is_dir() or (masks and masks.is_dir()):
        raise InputError(
            f"{images}, {masks}: one is a folder, the other a file; name two folders, two files, or a folder "
            "of images and COCO's file"
        )
    return Found([_pair(_stem(images), images, masks)], Counter())


def _in_one_folder(folder: Path, scratch: Path) -> Found:
    """Masks by what stands behind their stems (_mask, _seg, _labels), annotations by their stems."""
    listing = _listed(folder)
    masks = [path for path in listing.rasters if MARK.fullmatch(rasters.stem(path))]
    images = [path for path in listing.rasters if path not in masks]
    return Found(_joined(images, [*masks, *listing.annotations], scratch), listing.left_out)


def _listed(folder: Path) -> _Listing:
    found = _Listing([], [], Counter())
    entries = challenges.entries(folder)
    segmented = (folder / SEGMENTED).is_dir()
    for path in entries:
        suffix = rasters.suffix(path)
        if path.name.startswith("."):
            found.left_out["hidden (.DS_Store, ._name)"] += 1
        elif path.is_dir():
            found.left_out["folders"] += 1
        elif challenges.is_film(path, entries):
            found.left_out["films of all frames (_4d)"] += 1
        elif segmented and suffix in rasters.SUFFIXES:
            found.left_out["pictures of `make segment`"] += 1
        elif suffix in rasters.SUFFIXES:
            found.rasters.append(path)
        elif suffix in annotations.SUFFIXES:
            found.annotations.append(path)
        else:
            found.left_out[f"{suffix or 'without an ending'}"] += 1
    if not (found.rasters or found.annotations):
        inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
        there = (
            f"folders: {some(inner)}; name one of these, or two (IMAGES MASKS)" if inner else "none of these"
        )
        raise InputError(
            f"{folder}: holds no image ({', '.join(rasters.SUFFIXES)}) and no annotations "
            f"({', '.join(annotations.SUFFIXES)}), but {there}"
        )
    return found


def _joined(images: Sequence[Path], masks: Sequence[Path], scratch: Path) -> list[Pair]:
    """Each image with what is of it; InputError for what is of none, or of one twice."""
    by_stem = _by_stem(images, "images")
    owned: dict[str, list[Path]] = defaultdict(list)
    lonely: list[Path] = []
    for path in masks:
        owner = _owner(path, by_stem)
        if owner is None and (inner := _embedded(path, scratch)):
            owner, by_stem[_stem(path)] = _stem(path), inner
        if owner is None:
            lonely.append(path)
        else:
            owned[owner].append(path)
    if lonely:
        bare = [path.name for stem, path in by_stem.items() if stem not in owned]
        raise InputError(
            f"{lonely[0].parent}: {len(lonely)} of {len(masks)} masks have no image: "
            f"{some(path.name for path in lonely)}; images without a mask: {some(bare) or 'none'}; name each "
            "pair alike (a.png and a.png, or a_mask.png, a_seg.png, a_label.png), or take them away"
        )
    if twice := [paths for paths in owned.values() if len(paths) > 1]:
        raise InputError(f"{twice[0][0]} and {twice[0][1]} are of one image; keep one of them")
    return [_pair(stem, image, owned.get(stem, [None])[0]) for stem, image in sorted(by_stem.items())]


def _pair(stem: str, image: Path, mask: Path | None) -> Pair:
    if mask is not None and mask.suffix.lower() in annotations.SUFFIXES:
        return Pair(stem, image, mask, partial(draw, mask, stem))
    return Pair(stem, image, mask)


def _owner(mask: Path, images: Mapping[str, Path]) -> str | None:
    """The stem of the image that a mask or annotation is of: its own, perhaps without a mark of masks."""
    stem = _stem(mask)
    whole = {composed(path.name): name for name, path in images.items()}  # a.tif.geojson is of a.tif
    plain = {name.removesuffix(".ome"): name for name in images}  # a.geojson is of a.ome.tif
    marked = MARK.fullmatch(stem)
    known = [stem, whole.get(stem), plain.get(stem), marked[1] if marked else None]
    candidates = [*known, *challenges.images_of(stem)]
    return next((name for name in candidates if name in images), None)


def _by_stem(paths: Iterable[Path], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if (other := found.setdefault(_stem(path), path)) is not path:
            raise InputError(
                f"{other} and {path}: two {what} of one stem; keep one, or rename it and its mask"
            )
    return found


def _embedded(path: Path, scratch: Path) -> Path | None:
    """The image inside of LabelMe's annotations, None where there is none."""
    if path.suffix.lower() not in annotations.SUFFIXES:
        return None
    content = annotations.read(path)
    if coco.of(content) is not None:
        raise InputError(f"{path}: is COCO's, of many images; name it behind their folder: IMAGES {path}")
    one = labelme.of(content)
    if one is None or not (inner := labelme.embedded(path, one)):
        return None
    ending = {b"\x89PN": ".png", b"\xff\xd8\xff": ".jpg"}.get(inner[:3], ".tif")
    image = scratch / path.name / f"{path.stem}{ending}"  # which messages name
    image.parent.mkdir()
    image.write_bytes(inner)
    return image


def _stem(path: Path) -> str:
    return composed(rasters.stem(path))
