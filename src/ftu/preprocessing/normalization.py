"""Colours and grey levels of files made alike: the choice of target and backend, and a row of quality control
per image."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu.cache.hashes import sha256
from ftu.datasets import image_files
from ftu.errors import InputError, some
from ftu.files import png
from ftu.files.index import ImageRow
from ftu.preprocessing import histograms, stain
from ftu.preprocessing.artefacts import artefacts
from ftu.preprocessing.stain import StainError, StainFit

# Modules that offer fit(image, *, seed) and normalize(image, source, target); imported when asked for.
STAINS = {"exact": "ftu.preprocessing.stain", "staintools": "ftu.preprocessing.staintools_backend"}
LEVELS = ("histogram", "clahe")  # which know no stains
BACKENDS = (*STAINS, *LEVELS)

AS_ASKED = "stain.backend: none"  # why an image is unchanged where that was wanted
OF_TARGET = "of the target"  # and where it is one of those that others are to look like

Work = Callable[[Path, Path], dict]


def target_image(
    resized: Path, index: pd.DataFrame, *, kind: str, ids: Sequence[str], source: str, file: str
) -> np.ndarray:
    """The image that all others are to look like, (H, W, 3) uint8.

    image: the one of `ids`; mosaic: all of `ids`; mosaic_by_organ: the first training image (by id) of each
    organ of the data_source `source`, so that different stains are not mixed; file: any file.
    """
    if kind == "file":
        return read_target(Path(file))
    files = target_files(index, kind=kind, ids=ids, source=source)
    several = None if len(files) > 1 else True
    chosen = [png.read_image(resized / name) for name in tqdm(files, desc="target", disable=several)]
    return stain.mosaic(chosen) if kind.startswith("mosaic") else chosen[0]


class Levels(NamedTuple):
    """What grey levels are brought to, and the images that have them already."""

    histogram: list[list[float]]  # (C, 256), plain values, which can be kept; [] where nothing asks for it
    own: list[str]  # sha256 of their files: what is made of an image must not hang on its name
    test: int  # how many test images the histogram is of


NO_LEVELS = Levels([], [], 0)


def target_levels(
    resized: Path, index: pd.DataFrame, backend: str, *, kind: str, ids: Sequence[str], source: str, file: str
) -> Levels:
    """The mean histogram of the images of the target, where backend or kind ask for one.

    The kinds are those of `target_image`, and source: all images of the data_source `source`, test images,
    too; these are its own.
    """
    if backend == "clahe" or (backend != "histogram" and kind != "source"):
        return NO_LEVELS  # clahe's own levels are the images', and matching to those before it is refused
    if kind == "file":
        return Levels(several(histograms.histogram(read_target(Path(file)))).tolist(), [], 0)
    files = target_files(index, kind=kind, ids=ids, source=source)
    mean = several(histograms.mean_histogram(png.read_image(resized / name) for name in files))
    own = files if kind == "source" else []
    hashes = sorted({sha256(resized / name) for name in own})
    return Levels(mean.tolist(), hashes, sum(name.startswith("test/") for name in files))


def several(levels: np.ndarray) -> np.ndarray:
    """The histogram (C, 256); InputError where matching to it would leave nothing to see in a channel."""
    if (np.count_nonzero(levels[:, 1:], axis=1) < 2).any():  # black stays black
        raise InputError(
            "stain.target: a channel has fewer than two levels besides black: every image would be flat; "
            "choose another target"
        )
    return levels


def target_files(index: pd.DataFrame, *, kind: str, ids: Sequence[str], source: str) -> list[str]:
    """The images that make up the target, SET/ID.png each."""
    if kind == "source":
        rows = index[index["data_source"] == source].sort_values(["set", "id"])
        if rows.empty:
            raise InputError(f"stain.target.source: no image has the data_source {source!r}; name another")
        return [f"{row.set}/{row.id}.png" for row in rows.itertuples()]
    if kind == "mosaic_by_organ":
        ids = first_of_each_organ(index, source)
    sets = dict(zip(index["id"], index["set"], strict=True))
    if unknown := [name for name in ids if name not in sets]:
        raise InputError(
            f"stain.target.ids: {unknown[0]!r} is in neither table; name ids of train.csv or test.csv"
        )
    return [f"{sets[name]}/{name}.png" for name in ids]


def read_target(file: Path) -> np.ndarray:
    """The image of stain.target.file, (H, W, 3) uint8."""
    if not file.is_file():
        raise InputError(f"stain.target.file: {file} does not exist; give the path of an image")
    try:
        return image_files.read_image(file)
    except InputError as error:
        raise InputError(f"stain.target.file: {error}") from error


def first_of_each_organ(index: pd.DataFrame, source: str) -> list[str]:
    """The first training image of each organ of a data_source, organs in alphabetical order.

    Of training alone: what the models learn from must not hang on which test images are there.
    """
    rows = index[(index["data_source"] == source) & (index["set"] == "train")].sort_values("id")
    if rows.empty:
        raise InputError(
            f"stain.target.source: no training image has the data_source {source!r}; name one of train.csv"
        )
    return list(rows.groupby("organ")["id"].first())


def fit_target(image: np.ndarray, backend: str, seed: int) -> dict:
    """The target's stains, the fields of a StainFit as lists: plain values can be kept.

    Raises InputError when they cannot be found.
    """
    try:
        found = _backend(backend).fit(image, seed=seed)
    except StainError as error:
        raise InputError(
            f"stain.target: its stains cannot be found ({error}); choose another target"
        ) from error
    return {name: np.asarray(value).tolist() for name, value in vars(found).items()}


def prepare(
    backend: str,
    target: Callable[[], np.ndarray],
    *,
    seed: int,
    most_gain: float,
    fit: Callable[..., dict] = fit_target,
    levels: Levels = NO_LEVELS,
) -> Work:
    """The work to do on each (source file, target file); it returns the image's quality, of a row of qc.csv.

    `target` gives the target image, of which one of STAINS takes its stains; `fit` does what `fit_target`
    does. For an image whose gain (`stain.gain`) is above `most_gain` the target is damped. `levels` are those
    of backend histogram.
    """
    if backend in PLAIN:
        return PLAIN[backend]
    if backend == "histogram":
        return partial(match_file, levels=levels)
    found = fit(target(), backend, seed)
    stains = StainFit(np.array(found["matrix"]), np.array(found["max_concentration"]), found["residual"])
    return partial(normalize_file, backend=backend, fit=stains, seed=seed, most_gain=most_gain)


def match_file(source: Path, target: Path, *, levels: Levels) -> dict:
    """Give an image the grey levels of a histogram; a channel of one level stays, and the row says so."""
    if sha256(source) in levels.own:
        return copy_unchanged(source, target) | {"reason": OF_TARGET}
    image, found = png.read_image(source), np.array(levels.histogram)
    if image.shape[-1] != len(found):
        raise InputError(
            f"{source}: has {image.shape[-1]} channels and stain.target {len(found)}; choose another target"
        )
    png.write_image(target, histograms.match(image, found))
    uniform = any(len(np.unique(image[..., place])) < 2 for place in range(image.shape[-1]))
    return _quality(reason="uniform" if uniform else "")


def even_file(source: Path, target: Path) -> dict:
    """Even an image's contrast out."""
    png.write_image(target, histograms.clahe(png.read_image(source)))
    return _quality()


def levels_facts(levels: Levels, backend: str) -> dict:
    """What histogram.json says: the histogram; of how many test images it is, and whether all images have it
    already. The last two are left out where nothing is transductive."""
    test = {"test": levels.test, "matched": backend == "histogram"} if levels.test else {}
    return {"levels": levels.histogram} | test


def transductive(levels: Levels) -> str:
    """A warning where a source's histogram is of test images too, '' where it is not."""
    if not levels.test:
        return ""
    return (
        f"stain.target is made of {levels.test} test images, without their masks: what is said of these is "
        "transductive"
    )


def caveat(backend: str) -> str:
    """What users of a backend must know, empty when nothing; a backend with a caveat runs in one process."""
    return _backend(backend).CAVEAT if backend == "staintools" else ""


def normalize_file(
    source: Path, target: Path, *, backend: str, fit: StainFit, seed: int, most_gain: float
) -> dict:
    """Give an image the stains of `fit`; with none of its own it passes through, and its row says why."""
    image, module = png.read_image(source), _backend(backend)
    spoilt = float(artefacts(image).mean())
    try:
        own = module.fit(image, seed=seed)
        normalized, clipped = module.normalize(image, own, stain.damp(fit, own, most_gain))
    except StainError as error:
        png.write_image(target, image)
        return _quality(reason=str(error), spoilt=spoilt)
    png.write_image(target, normalized)
    return _quality(fit=own, gain=stain.gain(own, fit), clipped=clipped, spoilt=spoilt)


def copy_unchanged(source: Path, target: Path) -> dict:
    """Backend none: the image as it is."""
    target.write_bytes(png.content(source))
    return _quality(reason=AS_ASKED)


PLAIN: dict[str, Work] = {"none": copy_unchanged, "clahe": even_file}  # which want no target


def quality_rows(rows: Iterable[ImageRow], qualities: Iterable[dict]) -> list[dict]:
    """The rows of qc.csv: which image it is, and its quality."""
    return [{"id": row.id, "set": row.set} | quality for row, quality in zip(rows, qualities, strict=True)]


def warnings(rows: Sequence[dict], *, most_gain: float) -> Iterator[str]:
    """A sentence on the images that passed through unchanged unasked, and one on those whose target was
    damped."""
    asked = ("", AS_ASKED, OF_TARGET)
    unchanged = [f"{row['id']} ({row['reason']})" for row in rows if row["reason"] not in asked]
    if unchanged:
        yield f"{len(unchanged)} of {len(rows)} images unchanged: {some(unchanged)}"
    damped = [f"{row['id']} ({row['gain']:.1f})" for row in rows if row["gain"] > most_gain]
    if damped:
        what = f"got the target's stains damped to a gain of {most_gain:g} (stain.most_gain)"
        yield f"{len(damped)} of {len(rows)} images {what}: {some(damped)}"


def _backend(name: str) -> ModuleType:
    return import_module(STAINS[name])


def _quality(
    *,
    reason: str = "",
    fit: StainFit | None = None,
    gain: float = np.nan,
    clipped: float = 0.0,
    spoilt: float = np.nan,
) -> dict:
    stains = fit.matrix.ravel() if fit else np.full(6, np.nan)
    names = [f"{stain}_{channel}" for stain in ("stain1", "stain2") for channel in "rgb"]
    row = {"reason": reason}
    row |= {name: round(float(value), 6) for name, value in zip(names, stains, strict=True)}
    residual = round(fit.residual, 6) if fit else np.nan
    row |= {"residual": residual, "gain": round(gain, 6), "clipped": round(clipped, 6)}
    return row | {"artefacts": round(spoilt, 6)}
