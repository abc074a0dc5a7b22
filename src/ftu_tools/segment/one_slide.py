"""One slide from its file to everything that is written of it."""

import math
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any

import numpy as np
from tqdm import tqdm

from ftu.cache import hashes
from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.files.index import ImageRow
from ftu.masks import components, from_maps
from ftu.pipeline.atomic import whole_file
from ftu.prediction import one_image
from ftu.probabilities import map_file
from ftu.probabilities.map_file import FULL_SCALE
from ftu.probabilities.mean import native_probability
from ftu_tools.segment import maps, plan, review, runs, written
from ftu_tools.segment.objects import Found
from ftu_tools.segment.outputs.atlas import UNITS
from ftu_tools.segment.plan import Options, Plan
from ftu_tools.segment.slides import files, tissue
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.slide import Slide
from ftu_tools.segment.written import KEPT, Subject
from ftu_tools.trained.model import Model

VERSION = 2  # of what is written; another number segments every slide again


def segment(path: Path, options: Options) -> dict[str, Any]:
    """Segment a slide unless it is done; {"rows": those of slides.csv} or, for bad input, {"error": why}."""
    name, kept, started = files.name_of(path), options.out / KEPT, time.monotonic()
    if options.quiet:  # in one process of several; or else each would leave semaphores behind
        tqdm.set_lock(RLock())
    model, _ = plan.loaded(options.model, options.device)
    try:
        digest, work = _digest(path), kept / f"{name}.work"
        with files.opened(path) as slide:
            planned = plan.of(slide, options)
            decisive = options._replace(model="", out=Path(), device="", quiet=False, um=planned.um[0])
            decisive = [str(value) for value in (*decisive, planned.network_um)]
            key = hashes.of([VERSION, digest, model.identity, decisive])
            if rows := _finished(written.record(name, options), key, written.files(name, options)):
                shutil.rmtree(work, ignore_errors=True)  # of a run that was killed as it finished
                return {"rows": rows}
            work.mkdir(parents=True, exist_ok=True)
            rows = _segment(slide, planned, name, digest, options, work, key)
        for row in rows:
            row["seconds"] = round(time.monotonic() - started, 1)
        with whole_file(written.record(name, options)) as temporary:
            jsonfile.write(temporary, {"key": key, "rows": rows})
        shutil.rmtree(work)
    except InputError as error:
        return {"error": str(error)}
    return {"rows": rows}


def _segment(
    slide: Slide, planned: Plan, name: str, digest: str, options: Options, work: Path, key: str
) -> list[dict[str, Any]]:
    model, _ = plan.loaded(options.model, options.device)
    afar = tissue.look(slide, find=options.find_tissue)
    if not afar.mask.any():
        raise InputError(f"{slide.path}: holds no tissue; --no-tissue takes all of it for tissue")
    if planned.grid is None:
        grid, why, windows = Grid(*slide.shape, slide.shape), "", (1, 0)
        found, doubt = _whole(slide, planned, options, model, work, afar.share())
    else:
        grid, laid = planned.grid, maps.lay(model, planned.grid, afar)
        map_, why = maps.probabilities(model, slide, grid, laid, work, key=key, quiet=options.quiet)
        found, windows = _cut(map_[:-1], planned, grid, options, model), (int(laid.due.sum()), laid.skipped)
        doubt = review.doubt(map_, afar.share())
    subject = Subject(name, slide.path, digest, planned.um, grid, afar)
    written.record(name, options).unlink(missing_ok=True)  # of the files that are replaced from here on
    sums = written.write(subject, found, options, work)
    warnings = [*planned.warnings, *([f"its stains stayed as they are: {why}"] if why else [])]
    return [row | doubt for row in _rows(subject, planned, options, windows, warnings, sums)]


def _rows(
    subject: Subject,
    planned: Plan,
    options: Options,
    windows: tuple[int, int],
    warnings: list[str],
    sums: dict[str, written.Sums],
) -> list[dict[str, Any]]:
    """The rows of slides.csv, one for each class."""
    mm2 = subject.afar.share() * math.prod(subject.grid.full) * math.prod(subject.um) / 1e6
    repaired = sum(one.repaired for one in sums.values())
    about = {
        "slide": subject.name,
        "file": str(subject.file),
        "organ": options.organ,
        "source": options.source,
        "uberon": UNITS[options.organ].identifier if options.organ in UNITS else "",
        "um_x": round(subject.um[0], 6),
        "um_y": round(subject.um[1], 6),
        "network_um": round(planned.network_um, 4),
        "windows": windows[0],
        "windows_skipped": windows[1],
        "tissue_mm2": round(mm2, 6),
        "warnings": "; ".join([*warnings, *([f"{repaired} outlines were made valid"] if repaired else [])]),
    }
    return [
        about
        | {"class": name, "count": one.number, "area_um2": round(one.area, 3)}
        | {"per_mm2": round(one.number / mm2, 4)}
        for name, one in sums.items()
    ]


def _whole(
    slide: Slide, planned: Plan, options: Options, model: Model, work: Path, share: float
) -> tuple[list[Found], dict[str, float]]:
    """The objects of an image that is taken as the pipeline takes a test image, at its own size; and how sure
    the folds are of it."""
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
        folds = [map_file.read(path)[None] for paths, _ in case.groups for path in paths]
    (map_,) = np.rint(review.mean_and_spread(folds) * FULL_SCALE).astype(np.uint16)
    found = [
        Found(
            one,
            components.find((mask == number).view(np.uint8), 1, connectivity=8),
            lambda rows, columns, band=native[number - 1]: band[rows, columns],
        )
        for number, one in enumerate(params.data.classes, start=1)
    ]
    return found, review.doubt(map_, share)


def _cut(map_: np.ndarray, planned: Plan, grid: Grid, options: Options, model: Model) -> list[Found]:
    """The objects of a map at the network's scale."""
    rule = model.rules.rule(options.source, options.organ)
    area = math.prod(planned.um) * math.prod(grid.times)
    parts = runs.cut(map_, rule, pixel_area=area, method=model.rules.method)
    return [
        Found(one, own, lambda rows, columns, band=map_[number]: band[rows, columns] / np.float32(FULL_SCALE))
        for number, (one, own) in enumerate(zip(model.params.data.classes, parts, strict=True))
    ]


def _finished(path: Path, key: str, written: list[Path]) -> list[dict[str, Any]]:
    """The rows of a slide that an earlier run finished with the same `key`; none where a file is gone."""
    if not path.is_file() or not all(one.is_file() for one in written):
        return []
    facts = jsonfile.read(path, "remove it, and segment again")
    return facts["rows"] if facts.get("key") == key else []


def _digest(path: Path) -> str:
    """The hash of a slide's bytes; MRXS keeps them in a folder of the slide's name."""
    inside = path.with_suffix("").rglob("*") if path.suffix.lower() == ".mrxs" else []
    parts = sorted(part for part in inside if part.is_file())
    return hashes.of([hashes.sha256(path), [[part.name, hashes.sha256(part)] for part in parts]])
