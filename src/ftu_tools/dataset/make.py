"""Turn images with masks or annotations, as people have them, into the layout of own data sets.

`python -m ftu_tools.dataset.make IMAGES [MASKS] --to ROOT --classes gland,vessel` writes all or nothing;
`--dry-run` says what it finds and writes nothing. docs/own-data.md lists what IMAGES and MASKS may be.
"""

import argparse
import math
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ftu.datasets import resolution
from ftu.errors import InputError
from ftu.pipeline.stage import run, warn
from ftu_tools.dataset import label_images, labels, layout, pairs, pictures, rasters
from ftu_tools.dataset.findings import Findings
from ftu_tools.dataset.labels import Labels, Meaning
from ftu_tools.dataset.pairs import Pair
from ftu_tools.dataset.rasters import Raster
from ftu_tools.dataset.volumes import intake, levels, nifti, record
from ftu_tools.dataset.volumes.nifti import Volume

Shape = tuple[int, int]


def items(
    pair: Pair, options: argparse.Namespace, meaning: Meaning, findings: Findings, scratch: Path
) -> Iterator[layout.Item]:
    """A pair as images of the layout, one for each slice; InputError where it does not fit together."""
    raster = _opened(pair.image, options, scratch)
    mask = _opened(pair.labels, options, scratch, mask=True) if pair.labels and not pair.draw else None
    if pair.draw and raster.volume:
        raise InputError(
            f"{pair.labels}: annotations are of one image, but {raster.path} has {raster.pages} pages; save "
            "the page that was annotated"
        )
    scale, group, labels = options.range, pair.name, intake.label_map(raster, mask)
    if isinstance(raster, Volume):
        entry = intake.entry(pair, raster, labels, options)
        findings.entry(entry, [raster, *([labels] if labels else [])])
        scale, group = (entry.levels[0], entry.levels[1]), entry.group
    elif options.percentiles:
        raise InputError(f"--percentiles: are of NIfTI, and {raster.path} is none; give --range LOW HIGH")
    if mask and mask.pages != raster.pages:
        raise InputError(
            f"{mask.path}: has {mask.pages} pages, but {raster.path} has {raster.pages}; a mask has as many"
        )
    if raster.volume:
        findings.volumes[pair.name] = raster.pages
    shape: Shape | None = None
    for number in range(raster.pages):
        page = raster.read(number)
        picture = pictures.of(raster, page, scale)
        if shape not in (None, picture.image.shape[:2]):
            raise InputError(
                f"{raster.path}: has pages of several sizes, which are no slices; save one of them"
            )
        shape = picture.image.shape[:2]
        name = record.slice_name(pair.name, number, raster.pages) if raster.volume else pair.name
        findings.image(raster, page, picture, name)
        found = _labels(pair, mask, number, shape, options, meaning)
        yield layout.Item(
            name,
            file=raster.path if picture.as_stored else None,
            image=picture.image,
            mask=findings.mask(found, str(pair.labels)) if found else None,
            facts=_facts(raster, group, name, number, options.um),
        )


def _opened(path: Path, options: argparse.Namespace, scratch: Path, *, mask: bool = False) -> Raster:
    if rasters.suffix(path) in rasters.VOLUMES:
        return nifti.opened(path, scratch, axes=options.axes, pixdim=options.pixdim, labels=mask)
    return rasters.opened(path, options.axes, options.arrays[-1 if mask else 0], mask=mask)


def _labels(
    pair: Pair, mask: Raster | None, number: int, shape: Shape, options: argparse.Namespace, meaning: Meaning
) -> Labels | None:
    """What is said of the pixels of an image of (height, width), None where nothing is."""
    if pair.draw:
        return pair.draw(shape)
    if not mask:
        return None
    found = label_images.labels(mask, mask.read(number), meaning, options.nearest)
    if found.values.shape != shape:
        height, width = found.values.shape
        raise InputError(
            f"{mask.path}: is {height} x {width} px (height x width), but its image {pair.image} is "
            f"{shape[0]} x {shape[1]}; bring the mask of this image, at its size"
        )
    return found


def _facts(raster: Raster, group: str, name: str, number: int, um: float) -> dict[str, str]:
    """The row of images.csv, of what is known; InputError where file and --um contradict each other."""
    stated = raster.stated
    if um and stated and not stated / resolution.AGREE <= um <= stated * resolution.AGREE:
        raise InputError(f"{raster.path}: states {stated:.4g} um per px, but --um says {um:g}; correct one")
    facts = {"id": name}
    if um or stated:
        facts["pixel_size"] = f"{um or stated:.6g}"
    return facts | ({"group": group, "z": str(number)} if raster.volume else {})


def make(options: argparse.Namespace, scratch: Path) -> str:
    """Look at everything, say what is there, write it unless it is a dry run; the words of the last line."""
    meaning = labels.parsed(options.classes, options.labels)
    if options.to:
        layout.check_root(options.to, options.source)
    found = pairs.find(
        options.images,
        options.masks,
        one_file=len(options.arrays) > 1 and options.masks is None,
        unmasked=options.unmasked_to_test,
        scratch=scratch,
    )
    if not (meaning.classes or options.dry_run) and any(pair.labels for pair in found.pairs):
        raise InputError("--classes: is missing; name the classes of the masks, as in gland,vessel")
    if options.to and any(pair.patient for pair in found.pairs):
        record.check_alike(options.to, options.source, meaning, options.range, options.percentiles)
    findings, facts = Findings(meaning), []
    if options.dry_run:
        for pair in found.pairs:
            facts += [item.facts for item in items(pair, options, meaning, findings, scratch)]
        _tell(findings, options, found)
        if options.to:
            layout.check_names(options.to, findings.names)
        return f"a dry run, nothing is written; {len(facts)} images, {findings.masks} masks"
    layout.check_names(options.to, [pair.name for pair in found.pairs])
    with layout.extended(options.to) as root:
        for pair in found.pairs:
            for item in items(pair, options, meaning, findings, scratch):
                part = options.set if item.mask is not None else "test"
                layout.write(root / options.source / part, item)
                facts.append(item.facts)
        _tell(findings, options, found)
        layout.check_names(options.to, findings.names)
        layout.write_table(root, facts)
        record.add(root, findings.entries, meaning, findings.label_masks)
    return f"{len(facts)} images and {findings.masks} masks in {options.to / options.source}"


def _tell(findings: Findings, options: argparse.Namespace, found: pairs.Found) -> None:
    """Print what was found; InputError where labels have no class."""
    sys.stdout.write(
        "".join(f"{line}\n" for line in findings.text(options.range, options.um, found.left_out))
    )
    for warning in findings.warnings():
        warn(warning)
    findings.check_known()
    if not findings.entries:
        return
    before = record.known(options.to) if options.to else []
    for warning in [
        record.merged(findings.meaning, findings.label_masks),
        *record.related(before, findings.entries),
    ]:
        warn(warning)
    if options.set == "train" and not before:
        findings.check_taught()


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line; InputError for values that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.dataset.make", description=__doc__)
    add = parser.add_argument
    add("images", type=Path, help="a folder of images, or one image or volume")
    add("masks", type=Path, nargs="?", help="a folder of masks or annotations, a mask, or COCO's file")
    add("--to", type=Path, help="the folder of the data set; what is there stays")
    add("--classes", default="", help="names, the first is 1 in the masks: gland,vessel")
    add(
        "--labels",
        default="",
        help="what masks and annotations say=class: 1=gland, '#ff0000=gland', Tumor=gland",
    )
    add("--set", choices=layout.SETS, default="train", help="which part of the data set this is")
    add("--source", default="", help="where these images come from: a folder more, ROOT/SOURCE")
    add("--um", type=float, default=0.0, help="size of a pixel in um, where files do not state it")
    add("--range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="values that become 0 and 255")
    add("--window", default="", help="LOW,HIGH: the same, as in --window=-160,240 (HU of a CT)")
    add("--percentiles", default="", help="LOW,HIGH: of each volume (MRI) these become 0 and 255: 0.5,99.5")
    add("--pixdim", action="store_true", help="of volumes without an affine the spacing is enough")
    add(
        "--axes",
        default="",
        help="of NumPy arrays: zyx, yxc, zyxc; zyx also says that pages are slices; of NIfTI xyz",
    )
    add("--arrays", type=lambda text: text.split(","), default=[""], help="in .npz files: images,masks")
    add("--nearest", action="store_true", help="masks were smoothed: each pixel has the nearest label")
    add("--unmasked-to-test", action="store_true", help="images without a mask are test images")
    add("--dry-run", action="store_true", help="say what is there, write nothing")
    options = parser.parse_args(_with_signs(words if words is not None else sys.argv[1:]))
    if not (options.to or options.dry_run):
        raise InputError("--to: is missing; name the folder to write, or look first: --dry-run")
    if not 0 <= options.um < math.inf:
        raise InputError(f"--um: {options.um:g} is no size; give um per px, such as 0.5")
    if options.range and not -math.inf < options.range[0] < options.range[1] < math.inf:
        raise InputError(
            f"--range: {options.range[0]:g} {options.range[1]:g}: give a lower and a higher value"
        )
    options.window = levels.parsed("--window", options.window)
    options.percentiles = levels.parsed("--percentiles", options.percentiles, low=0, high=100)
    if len(given := [each for each in ("range", "window", "percentiles") if getattr(options, each)]) > 1:
        raise InputError(f"--{given[0]}, --{given[1]}: both say what becomes black and white; keep one")
    options.range = tuple(options.range or options.window or ()) or None
    if options.axes and (
        len(set(options.axes)) < len(options.axes) or not {*"yx"} <= {*options.axes} <= {*"zyxc"}
    ):
        raise InputError(
            f"--axes: {options.axes!r} is no order of axes; use y, x, and perhaps z and c, as in zyx"
        )
    return options


def _with_signs(words: list[str]) -> list[str]:
    """The words with --window -160,240 as one: argparse takes -160,240 for an option."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--window":
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def main() -> str:
    """The command line."""
    options = parsed()
    with tempfile.TemporaryDirectory() as scratch:
        done = make(options, Path(scratch))
    if options.classes and not options.dry_run:
        root, named = (shlex.quote(str(value)) for value in (options.to, options.classes))
        sys.stdout.write(f"go on with `make new PROFILE=NAME ROOT={root} CLASSES={named}`\n")
    return done


if __name__ == "__main__":
    run(main)
