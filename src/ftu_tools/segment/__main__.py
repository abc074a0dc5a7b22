"""Segment your own slides and images with a trained model: `python -m ftu_tools.segment FILE… --organ NAME`.

Writes for each slide outlines for QuPath and a picture, and for all of them objects.csv and slides.csv.
docs/slides.md walks through it.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftu.errors import InputError, some
from ftu.files import limits
from ftu.pipeline import locks
from ftu.pipeline.stage import run, warn
from ftu.pipeline.workers.pool import Pool
from ftu_tools.segment.slides import files

if TYPE_CHECKING:
    from ftu_tools.segment.plan import Options


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; InputError for values that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.segment", description=__doc__)
    add = parser.add_argument
    add("images", nargs="+", metavar="FILE", help="slides, images, or folders of them")
    add("--model", default="", help="a trained project, a DVC experiment or a bundle; default: this project")
    add("--organ", default="", help="what the images show, as the model calls it")
    add("--source", default="", help="whose images they are like: the data source whose rule is taken")
    add("--um", default="", help="size of a pixel in um, where files do not state it")
    add("--network-um", default="", help="um per px that the network is to see, where the model does not say")
    add("--out", default="results", help="the folder of the results; what is done stays")
    add("--format", action="append", default=[], choices=["hubmap"], help="more tables: HuBMAP's columns")
    add("--labels", action="store_true", help="a labelled OME-TIFF of each slide, too")
    add("--gz", action="store_true", help="compress the outlines: NAME.geojson.gz")
    add("--no-tissue", action="store_true", help="take all of a slide for tissue: skip no window")
    add("--device", default="", choices=["", "cpu", "cuda"], help="default: predict.device of the model")
    add("--workers", default="1", help="slides at a time, each in a process of its own")
    arguments = parser.parse_args(words)
    if not all(arguments.images):  # else it would be the folder that one is in
        raise InputError("FILE: is missing; name slides, images, or folders of them")
    if not arguments.out:
        raise InputError("--out: is empty; name a folder for the results")
    arguments.images, arguments.out = [Path(each) for each in arguments.images], Path(arguments.out)
    arguments.um = _size("--um", arguments.um)
    arguments.network_um = _size("--network-um", arguments.network_um)
    if not arguments.workers.isdecimal() or not int(arguments.workers):
        raise InputError(f"--workers: {arguments.workers[:40]!r} is no number of processes; give 1 or more")
    arguments.workers = int(arguments.workers)
    return arguments


def _size(option: str, text: str) -> float | None:
    """um; None where nothing is said."""
    try:
        size = float(text) if text else None
    except ValueError:
        size = math.nan
    if size is not None and not 0 < size <= limits.LONGEST_SIDE:
        raise InputError(f"{option}: {text[:40]!r} is no size of a pixel; give um per px, such as 0.25")
    return size


def chosen(option: str, asked: str, known: Collection[str]) -> str:
    """`asked`, one of those that the model knows; its only one where nothing is asked."""
    if asked in known:
        return asked
    if not asked and len(known) == 1:
        return next(iter(known))
    what = repr(asked[:40]) if asked else "is missing, and"
    raise InputError(f"{option}: {what} the model has a rule for {', '.join(known)}; name one of these")


def segment(arguments: argparse.Namespace) -> str:
    """Check everything, segment what is not done yet, write the tables; the words of the last line."""
    from ftu_tools.segment import plan, written
    from ftu_tools.segment.outputs import labels

    if arguments.labels:
        labels.check()
    paths = files.found_in(arguments.images)
    model, _ = plan.loaded(arguments.model, arguments.device)
    data = model.params.data
    organ = chosen("--organ", arguments.organ, data.organs)
    source = chosen("--source", arguments.source or data.sources[0], data.sources)
    model.rules.rule(source, organ)
    formats = ["gz"] * arguments.gz + ["labels"] * arguments.labels + arguments.format
    options = plan.Options(
        model=arguments.model,
        organ=organ,
        source=source,
        out=arguments.out,
        um=arguments.um,
        network_um=arguments.network_um,
        find_tissue=not arguments.no_tissue,
        formats=tuple(sorted(set(formats))),
        device=arguments.device,
        quiet=arguments.workers > 1,
    )
    for path in paths:
        plan.check(path, options)
    _writable(arguments.out, paths)
    lease = locks.take(arguments.out / written.KEPT / "lease")
    if not lease:
        raise InputError(
            f"--out: another run writes into {arguments.out}; wait for it, or give another folder"
        )
    with lease:
        if len(data.sources) > 1 and not arguments.source:
            warn(f"--source is not given: images are taken for {source}'s (of {', '.join(data.sources)})")
        return _each(paths, options, arguments.workers)


def _each(paths: Sequence[Path], options: "Options", workers: int) -> str:
    """Segment each slide, write the tables of all; the words of the last line. InputError if one failed."""
    from ftu_tools.segment import one_slide, written
    from ftu_tools.segment.outputs import tables

    done = Pool("process", workers, "").each(
        partial(one_slide.segment, options=options), paths, doing="slides"
    )
    failed = [path for path, result in zip(paths, done, strict=True) if "error" in result]
    rows = [row for result in done for row in result.get("rows", [])]
    parts = [options.out / written.KEPT / f"{files.name_of(path)}.csv" for path in paths]
    whole = [part for part, result in zip(parts, done, strict=True) if "rows" in result]
    tables.collect(options.out / "objects.csv", whole)
    tables.slides(options.out / "slides.csv", rows)
    tables.reviewed(options.out / "review.csv", rows)
    tell(rows)
    for result in done:
        if "error" in result:
            sys.stderr.write(f"error: {result['error']}\n")
    if failed:
        raise InputError(f"{len(failed)} of {len(paths)} slides failed, the others are done: {some(failed)}")
    slides, objects = len(paths), sum(row["count"] for row in rows)
    plural = ["" if count == 1 else "s" for count in (slides, objects)]
    return f"{slides} slide{plural[0]}, {objects} object{plural[1]} in {options.out}"


def tell(rows: Sequence[Mapping[str, Any]]) -> None:
    """What was found, in a line for each slide and class; warnings of each slide."""
    for row in rows:
        sys.stdout.write(
            f"{row['slide']}: {row['count']} {row['class']}, {row['area_um2'] / 1e6:.4g} of "
            f"{row['tissue_mm2']:.4g} mm2 of tissue, {row['per_mm2']:.4g} per mm2\n"
        )
    for name, text in {row["slide"]: row["warnings"] for row in rows}.items():
        warn(f"{name}: {text}" if text else "")


def _writable(folder: Path, images: Sequence[Path]) -> None:
    """Raise InputError where results could not be written, or would lie among the images and replace some."""
    taken = [path for path in images if folder.resolve() in (path.parent.resolve(), path.resolve().parent)]
    if taken:
        raise InputError(
            f"--out: {folder} holds {some(taken)}, which a result could replace; give a folder without images"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be written to ({error.strerror}); give another") from error


def main() -> str:
    """The command line."""
    return segment(parsed())


if __name__ == "__main__":
    run(main)
