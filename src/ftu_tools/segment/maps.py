"""The probabilities of a slide of any size, at the scale of the network, on disk.

Rows of windows go from top to bottom, and what is finished is kept, so that a run that was killed goes on
where it was. Shapes: (h, w) the slide at the network's scale; C classes.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import compress, islice, tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.files.gdal import Rows
from ftu.networks.common import devices
from ftu.networks.common.build import takes_one_size
from ftu.networks.common.contract import Probabilities
from ftu.pipeline.atomic import whole_file
from ftu.prediction import sliding_window, views, windows
from ftu.prediction.predictor import Predictor
from ftu.prediction.windows import Axis
from ftu.preprocessing import normalization, stain
from ftu.preprocessing.stain import StainError
from ftu.probabilities.map_file import FULL_SCALE
from ftu_tools.segment import review, sparse
from ftu_tools.segment.slides import reduced
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.slide import Slide
from ftu_tools.segment.slides.tissue import Tissue
from ftu_tools.trained.model import Model

MAP, DONE = "probabilities.npy", "done.json"
SAMPLED = 16  # windows that a slide's own stains are learnt from


class Windows(NamedTuple):
    """The windows over a slide at the network's scale."""

    rows: Axis
    columns: Axis
    due: np.ndarray  # (rows, columns) bool: those that hold tissue

    @property
    def skipped(self) -> int:
        return int((~self.due).sum())


def lay(model: Model, grid: Grid, tissue: Tissue) -> Windows:
    """Windows as predict lays them; those without tissue are not due."""
    settings, (_, facts) = model.trained.window, next(iter(model.trained.networks.values()))
    groups = {model.rules.tta: views.groups(model.rules.tta, model.trained.scales)}
    side = sliding_window.window_side(settings["side"], facts["architecture"], groups)
    rows, columns = windows.cover(
        (grid.height, grid.width),
        window=side,
        overlap=settings["overlap"],
        blend=settings["blend"],
        shrink=not takes_one_size(facts["architecture"]),
    )
    ends = [
        np.array([axis.inside(number) for number in range(len(axis.starts))]).T for axis in (rows, columns)
    ]
    tops, bottoms, lefts, rights = *(ends[0] / grid.height), *(ends[1] / grid.width)
    return Windows(rows, columns, tissue.any_in(tops, bottoms, lefts, rights))


def probabilities(
    model: Model, slide: Slide, grid: Grid, laid: Windows, folder: Path, *, key: str, quiet: bool
) -> tuple[np.ndarray, str]:
    """The map (C + 1, h, w) uint16 of `FULL_SCALE`, a file in `folder`, and why stains stayed as they are, or
    ''. Its last band is how much the folds differ.

    What an earlier run of the same `key` finished is taken from there.
    """
    classes = len(model.params.data.classes)
    file, done = folder / MAP, _done(folder, key)
    shape = classes + 1, grid.height, grid.width
    map_ = np.lib.format.open_memmap(file, "r+" if done else "w+", np.uint16, None if done else shape)
    devices.fix_randomness(0, model.trained.threads, model.device)
    normalized, why = _normalized(model, slide, grid, laid)
    first = _first_row(laid.rows, done)
    left = laid._replace(
        rows=laid.rows._replace(starts=laid.rows.starts[first:], weights=laid.rows.weights[first:]),
        due=laid.due[first:],
    )
    place = max(left.rows.starts[0], 0) if len(left.rows.starts) else grid.height
    for band in _bands(model, normalized, left, classes, quiet=quiet):
        fresh = band[:, max(done - place, 0) :]
        if fresh.shape[1]:
            top = place + band.shape[1] - fresh.shape[1]
            if fresh.any():  # what is never written takes no room on the disk
                for rows in range(top, shape[0] * grid.height, grid.height):
                    sparse.reserve(map_, rows, rows + fresh.shape[1])
                map_[:, top : top + fresh.shape[1]] = np.rint(np.clip(fresh, 0, 1) * FULL_SCALE)
                map_.flush()
            _keep(folder, key, top + fresh.shape[1])
        place += band.shape[1]
    return map_, why


def _done(folder: Path, key: str) -> int:
    """How many rows an earlier run has finished."""
    if not ((folder / MAP).is_file() and (folder / DONE).is_file()):
        return 0
    try:
        facts = jsonfile.read(folder / DONE, "")
    except InputError:  # it was killed as it wrote; nothing is lost but time
        return 0
    return int(facts["rows"]) if facts.get("key") == key else 0


def _keep(folder: Path, key: str, rows: int) -> None:
    with whole_file(folder / DONE) as path:
        jsonfile.write(path, {"key": key, "rows": rows})


def _first_row(rows: Axis, done: int) -> int:
    """The first row of windows that adds to what is not `done`: a few are predicted twice."""
    reaching = [number for number in range(len(rows.starts)) if rows.inside(number)[1] > done]
    return reaching[0] if reaching else len(rows.starts)


def _bands(model: Model, read: Rows, laid: Windows, classes: int, *, quiet: bool) -> Iterator[np.ndarray]:
    """Bands (C + 1, any, w) float32 of whole rows: the mean of all folds, and their spread."""
    rows, columns, due = laid
    if not len(rows.starts):
        return
    groups = {model.rules.tta: views.groups(model.rules.tta, model.trained.scales)}
    device = devices.choose_device(model.device)
    precision = devices.usable_precision(device, model.trained.precision, "predict.precision")
    predictors = [
        Predictor(
            Probabilities(network),
            groups,
            batch_size=model.trained.batch_size,
            mean=facts["mean"],
            std=facts["std"],
            device=device,
            classes=classes,
            precision=precision,
        )
        for network, facts in model.trained.networks.values()
    ]
    cut = compress(windows.cut(rows, columns, read), due.ravel())
    shown = tqdm(cut, total=int(due.sum()), unit="window", desc="windows", disable=True if quiet else None)
    chunks = tee(_chunks(shown, _sizes(due, model.trained.batch_size)), len(predictors))
    folds = (predictor.run(own) for predictor, own in zip(predictors, chunks, strict=True))
    means = (one for maps in zip(*folds, strict=True) for one in review.mean_and_spread(maps))
    blank = np.zeros((classes + 1, rows.window, columns.window), np.float32)
    maps = (next(means) if each else blank for each in due.ravel())
    yield from windows.stitch(rows, columns, maps)


def _sizes(due: np.ndarray, most: int) -> Iterator[int]:
    """How many windows the network sees at a time: up to `most`, of one row of windows.

    Their number may change the last bit of a probability, so it must not hang on the row that a run goes on
    with.
    """
    for count in due.sum(axis=1).tolist():
        yield from (min(most, count - first) for first in range(0, count, most))


def _chunks(items: Iterable[np.ndarray], sizes: Iterable[int]) -> Iterator[np.ndarray]:
    """Windows (size, h, w, channels), as many as each of the `sizes` says."""
    windows = iter(items)
    for size in sizes:
        yield np.stack([*islice(windows, size)])


def _normalized(model: Model, slide: Slide, grid: Grid, laid: Windows) -> tuple[Rows, str]:
    """The slide's rows in the colours that the network knows, and why they are its own, '' if they are not.

    Its stains are learnt on windows drawn evenly from those with tissue.
    """

    def span(top: int, bottom: int) -> tuple[int, int]:
        inside = [laid.rows.inside(number) for number in range(len(laid.rows.starts))]
        crossed = [first < bottom and stop > top for first, stop in inside]
        seen = np.flatnonzero(laid.due[crossed].any(axis=0))
        if not len(seen):
            return 0, 0
        return laid.columns.inside(int(seen[0]))[0], laid.columns.inside(int(seen[-1]))[1]

    read = reduced.rows_of(slide, grid, span)
    settings = model.params.stain
    if model.stains is None:
        return read, ""
    module = import_module(normalization.STAINS[settings.backend])
    try:
        own = module.fit(_sample(slide, grid, laid), seed=settings.seed)
    except StainError as error:
        return read, str(error)
    target = stain.damp(model.stains, own, settings.most_gain)

    def normalized(top: int, bottom: int) -> np.ndarray:
        rows, (left, right) = read(top, bottom), span(top, bottom)
        if left < right:
            rows[:, left:right] = module.normalize(rows[:, left:right], own, target)[0]
        return rows

    return normalized, ""


def _sample(slide: Slide, grid: Grid, laid: Windows) -> np.ndarray:
    """Windows with tissue, one below the other: (any, width, C) uint8."""
    places = np.argwhere(laid.due)
    chosen = places[np.linspace(0, len(places) - 1, min(SAMPLED, len(places))).round().astype(int)]
    height, width = min(laid.rows.window, grid.height), min(laid.columns.window, grid.width)
    seen = []
    for down, across in chosen:
        top = int(np.clip(laid.rows.starts[down], 0, grid.height - height))
        left = int(np.clip(laid.columns.starts[across], 0, grid.width - width))
        seen.append(reduced.part(slide, grid, top, top + height, left, left + width))
    return np.concatenate(seen)
