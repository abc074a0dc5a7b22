"""One slide from its file to everything that is written of it."""

import math
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from ftu.cache import hashes
from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.files.index import ImageRow
from ftu.masks import components, from_maps
from ftu.pipeline.atomic import whole_file
from ftu.prediction import one_image
from ftu.preprocessing import normalization
from ftu.preprocessing.resize import TOLERATED
from ftu.probabilities.map_file import FULL_SCALE
from ftu.probabilities.mean import native_probability
from ftu_tools.segment import maps, objects, runs
from ftu_tools.segment import model as models
from ftu_tools.segment.model import Model
from ftu_tools.segment.objects import Found, Object
from ftu_tools.segment.outputs import geojson, labels, overlay, tables
from ftu_tools.segment.outputs.atlas import UNITS
from ftu_tools.segment.slides import scale, tissue
from ftu_tools.segment.slides import slide as files
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.slide import Slide
from ftu_tools.segment.slides.tissue import Tissue

VERSION = 1  # of what is written; another number segments every slide again
WHOLE = 2**24  # px: an image up to this is cut at its own size, as the pipeline cuts its test images
KEPT = ".segment"  # in the folder of the results: what is finished, and what is under way


class Options(NamedTuple):
    """What is asked for, of every slide."""

    model: str
    organ: str
    source: str
    out: Path
    um: float | None = None  # of a pixel, where files do not say it
    network_um: float | None = None  # at which the network sees it, where the model does not say it
    find_tissue: bool = True
    formats: tuple[str, ...] = ()  # besides QuPath's and the tables: gz, labels, hubmap
    device: str = ""  # '': that of the model's parameters
    quiet: bool = False


class Plan(NamedTuple):
    """How a slide is taken."""

    um: Size
    network_um: float
    grid: Grid | None  # None: whole, as the pipeline takes a test image
    warnings: list[str]


@cache
def loaded(name: str, device: str) -> tuple[Model, Callable[[str], float]]:
    """A model, once in each process, and what gives the scale at which it learnt an organ."""
    scratch = TemporaryDirectory()
    folder = Path(scratch.name)
    model = models.load(name, device=device, scratch=folder)

    def scale_of(organ: str, _lasting: TemporaryDirectory = scratch) -> float:
        return models.trained_scale(name, organ, folder)

    return model, scale_of


def check(path: Path, options: Options) -> None:
    """Raise InputError where it can be told without work that a slide cannot be segmented."""
    with files.opened(path) as slide:
        plan(slide, options)


def plan(slide: Slide, options: Options) -> Plan:
    """How the slide is taken; InputError where its scale, its channels or the model do not allow it."""
    model, scale_of = loaded(options.model, options.device)
    um = scale.agreed(str(slide.path), slide.stated, options.um)
    pixel, (height, width) = math.sqrt(um[0] * um[1]), slide.shape
    channels = len(next(iter(model.trained.networks.values()))[1]["mean"])
    if slide.channels != channels:
        raise InputError(
            f"{slide.path}: has {slide.channels} channels, and the model was trained on {channels}; take a "
            "model of such images, or convert them"
        )
    resize = model.params.resize
    known = scale_of(options.organ) if resize.mode == "fixed" else resize.microns
    network_um = options.network_um or known
    if math.isnan(network_um):
        raise InputError(
            f"--model: {options.model or 'this project'} does not say at which scale it learnt "
            f"{options.organ} ({models.GEOMETRY} has no training images of it); give --network-um, um per px"
        )
    seen = pixel * math.sqrt(height * width) / resize.side if resize.mode == "fixed" else network_um
    ratio, warnings = seen / network_um, []
    near = 1 / TOLERATED <= ratio <= TOLERATED
    square = max(um) <= min(um) * scale.AGREE
    if height * width <= WHOLE and near and square:
        return Plan(um, seen, None, [])
    if not near and resize.mode == "fixed":
        warnings.append(
            f"as one square it would be seen at {seen:.3g} um/px, {ratio:.2g} times what the network learnt; "
            f"it is seen in windows at {network_um:.3g} um/px"
        )
    if pixel > network_um * TOLERATED:
        warnings.append(
            f"is magnified {pixel / network_um:.2g} times: the network learnt from finer detail than it has"
        )
    if model.params.stain.backend in normalization.LEVELS:
        raise InputError(
            f"{slide.path}: stain.backend {model.params.stain.backend} looks at an image whole, and this one "
            "is seen in windows; cut it into parts, or take a model trained with exact or none"
        )
    shape = [
        max(round(side * one / network_um), 1) for side, one in zip((height, width), um[::-1], strict=True)
    ]
    return Plan(um, network_um, Grid(*shape, slide.shape), warnings)


def segment(path: Path, options: Options) -> dict[str, Any]:
    """Segment a slide unless it is done; {"rows": those of slides.csv} or, for bad input, {"error": why}."""
    name = files.name_of(path)
    model, _ = loaded(options.model, options.device)
    kept = options.out / KEPT
    try:
        digest = _digest(path)
        told = options._replace(out=Path(), device="", quiet=False, model="")
        key = hashes.of([VERSION, digest, model.identity, list(map(str, told))])
        if rows := _finished(kept / f"{name}.json", key, _files(name, options)):
            return {"rows": rows}
        work = kept / name
        work.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with files.opened(path) as slide:
            rows = _segment(slide, name, digest, options, model, work, key)
        rows = [row | {"seconds": round(time.monotonic() - started, 1)} for row in rows]
    except InputError as error:
        return {"error": str(error)}
    shutil.rmtree(work)
    with whole_file(kept / f"{name}.json") as temporary:
        jsonfile.write(temporary, {"key": key, "rows": rows})
    return {"rows": rows}


def _segment(
    slide: Slide, name: str, digest: str, options: Options, model: Model, work: Path, key: str
) -> list[dict[str, Any]]:
    planned = plan(slide, options)
    afar = tissue.look(slide, find=options.find_tissue)
    if not afar.mask.any():
        raise InputError(f"{slide.path}: holds no tissue; --no-tissue takes all of it for tissue")
    warnings = list(planned.warnings)
    if planned.grid is None:
        grid, laid = Grid(*slide.shape, slide.shape), None
        found = _whole(slide, planned, options, model, work)
    else:
        grid, laid = planned.grid, maps.lay(model, planned.grid, afar)
        map_, why = maps.probabilities(model, slide, grid, laid, work, key=key, quiet=options.quiet)
        warnings += [f"its stains stayed as they are: {why}"] if why else []
        found = _cut(map_, planned, grid, options, model)
    sums, repaired = _write(slide, name, digest, options, work, planned.um, grid, afar, found)
    warnings += [f"{repaired} outlines had to be made valid"] if repaired else []
    area = afar.share() * math.prod(slide.shape) * math.prod(planned.um) / 1e6
    about = {
        "slide": name,
        "file": str(slide.path),
        "organ": options.organ,
        "source": options.source,
        "uberon": UNITS[options.organ].identifier if options.organ in UNITS else "",
        "um_x": round(planned.um[0], 6),
        "um_y": round(planned.um[1], 6),
        "network_um": round(planned.network_um, 4),
        "windows": int(laid.due.sum()) if laid else 1,
        "windows_skipped": laid.skipped if laid else 0,
        "tissue_mm2": round(area, 6),
        "warnings": "; ".join(warnings),
    }
    return [
        about
        | {"class": one, "count": count, "area_um2": round(total, 3)}
        | {"per_mm2": round(count / area, 4)}
        for one, (count, total) in sums.items()
    ]


def _whole(slide: Slide, planned: Plan, options: Options, model: Model, work: Path) -> list[Found]:
    """The objects of an image that is taken as the pipeline takes a test image, at its own size."""
    height, width = slide.shape
    pixel = math.sqrt(math.prod(planned.um))
    row = ImageRow("image", "test", options.organ, options.source, height, width, pixel)
    params, rules = model.params, model.rules
    with TemporaryDirectory(dir=work) as scratch:
        image = Path(scratch) / "image.png"
        png.write_image(image, slide.read(0, 0, 0, height, width))
        predicted = one_image.predict(
            model.trained, row, image, Path(scratch) / "maps", tta=rules.tta, device=model.device
        )
        (case,) = from_maps.cases([row], "test", [predicted], rules)
        way = from_maps.Way(params.ensemble.mean, rules.method, params.postprocess.never_empty)
        mask = from_maps.native_cut(case, way).mask
        native = native_probability(case.groups, height=height, width=width, mean=way.mean)
    return [
        Found(
            one,
            components.find((mask == number).view(np.uint8), 1, connectivity=8),
            lambda rows, columns, band=native[number - 1]: band[rows, columns],
        )
        for number, one in enumerate(params.data.classes, start=1)
    ]


def _cut(map_: np.ndarray, planned: Plan, grid: Grid, options: Options, model: Model) -> list[Found]:
    """The objects of a map at the network's scale."""
    rule = model.rules.rule(options.source, options.organ)
    area = math.prod(planned.um) * math.prod(grid.times)
    parts = runs.cut(map_, rule, pixel_area=area, method=model.rules.method)
    return [
        Found(one, own, lambda rows, columns, band=map_[number]: band[rows, columns] / np.float32(FULL_SCALE))
        for number, (one, own) in enumerate(zip(model.params.data.classes, parts, strict=True))
    ]


def _write(
    slide: Slide,
    name: str,
    digest: str,
    options: Options,
    work: Path,
    um: Size,
    grid: Grid,
    afar: Tissue,
    found: list[Found],
) -> tuple[dict[str, tuple[int, float]], int]:
    """Everything that is written of each object; how many each class has, their area (um2), and how many
    outlines were repaired."""
    out, names, repaired = options.out, [one.name for one in found], 0
    sums = dict.fromkeys(names, (0, 0.0))
    with ExitStack() as stack:
        count = sum(len(one.parts.areas) for one in found)
        packed = ".gz" if "gz" in options.formats else ""
        sinks = [
            geojson.writer(out / f"{name}.geojson{packed}", digest, names, count),
            tables.objects(out / KEPT / f"{name}.csv", name, digest, um),
            overlay.writer(out / f"{name}.png", afar.picture, slide.shape, names),
        ]
        if "labels" in options.formats:
            sinks.append(labels.writer(out / f"{name}.labels.ome.tiff", work, grid, um))
        if "hubmap" in options.formats:
            sinks.append(tables.hubmap(out / f"{name}-objects.tsv", slide.path.name, options.organ))
        writes: list[Callable[[Object], None]] = [stack.enter_context(sink) for sink in sinks]
        for one in objects.each(found, grid, um, afar):
            for write in writes:
                write(one)
            number, area = sums[one.name]
            sums[one.name] = number + 1, area + one.area
            repaired += one.repaired
    return sums, repaired


def _files(name: str, options: Options) -> list[Path]:
    """What is there of a slide that is done."""
    endings = [".geojson.gz" if "gz" in options.formats else ".geojson", ".png"]
    endings += [".labels.ome.tiff"] if "labels" in options.formats else []
    endings += ["-objects.tsv"] if "hubmap" in options.formats else []
    return [options.out / f"{name}{ending}" for ending in endings] + [options.out / KEPT / f"{name}.csv"]


def _finished(path: Path, key: str, written: list[Path]) -> list[dict[str, Any]]:
    """The rows of a slide that an earlier run finished with the same `key`; none where a file is gone."""
    if not path.is_file() or not all(one.is_file() for one in written):
        return []
    facts = jsonfile.read(path, "remove it, and segment again")
    return facts["rows"] if facts.get("key") == key else []


def _digest(path: Path) -> str:
    """The hash of a slide's bytes; where it has a folder of parts beside it, with their names and sizes."""
    parts = sorted(path.with_suffix("").rglob("*")) if path.with_suffix("").is_dir() else []
    return hashes.of([hashes.sha256(path), [[part.name, part.stat().st_size] for part in parts]])
