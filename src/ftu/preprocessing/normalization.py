"""Stain normalisation of files: the choice of target and backend, and a row of quality control per image."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu.datasets import image_files
from ftu.errors import InputError, some
from ftu.files import png
from ftu.files.index import ImageRow
from ftu.preprocessing import stain
from ftu.preprocessing.artefacts import artefacts
from ftu.preprocessing.stain import StainError, StainFit

# Modules that offer fit(image, *, seed) and normalize(image, source, target); imported when asked for.
BACKENDS = {"exact": "ftu.preprocessing.stain", "staintools": "ftu.preprocessing.staintools_backend"}

AS_ASKED = "stain.backend: none"  # why an image is unchanged where that was wanted

Work = Callable[[Path, Path], dict]


def target_image(
    resized: Path, index: pd.DataFrame, *, kind: str, ids: Sequence[str], source: str, file: str
) -> np.ndarray:
    """The image that all others are to look like, (H, W, 3) uint8.

    image: the one of `ids`; mosaic: all of `ids`; mosaic_by_organ: the first training image (by id) of each
    organ of the data_source `source`, so that different stains are not mixed; file: any RGB file.
    """
    if kind == "file":
        return read_target(Path(file))
    files = target_files(index, kind=kind, ids=ids, source=source)
    several = None if len(files) > 1 else True
    chosen = [png.read_image(resized / name) for name in tqdm(files, desc="target", disable=several)]
    return stain.mosaic(chosen) if kind.startswith("mosaic") else chosen[0]


def target_files(index: pd.DataFrame, *, kind: str, ids: Sequence[str], source: str) -> list[str]:
    """The images that make up the target, SET/ID.png each."""
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
) -> Work:
    """The work to do on each (source file, target file); it returns the image's quality, of a row of qc.csv.

    `target` gives the target image; backend none does not ask for it. `fit` does what `fit_target` does.
    For an image whose gain (`stain.gain`) is above `most_gain` the target is damped.
    """
    if backend == "none":
        return copy_unchanged
    found = fit(target(), backend, seed)
    stains = StainFit(np.array(found["matrix"]), np.array(found["max_concentration"]), found["residual"])
    return partial(normalize_file, backend=backend, fit=stains, seed=seed, most_gain=most_gain)


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


def quality_rows(rows: Iterable[ImageRow], qualities: Iterable[dict]) -> list[dict]:
    """The rows of qc.csv: which image it is, and its quality."""
    return [{"id": row.id, "set": row.set} | quality for row, quality in zip(rows, qualities, strict=True)]


def warnings(rows: Sequence[dict], *, most_gain: float) -> Iterator[str]:
    """A sentence on the images that passed through unchanged unasked, and one on those whose target was
    damped."""
    unchanged = [f"{row['id']} ({row['reason']})" for row in rows if row["reason"] not in ("", AS_ASKED)]
    if unchanged:
        yield f"{len(unchanged)} of {len(rows)} images unchanged: {some(unchanged)}"
    damped = [f"{row['id']} ({row['gain']:.1f})" for row in rows if row["gain"] > most_gain]
    if damped:
        what = f"got the target's stains damped to a gain of {most_gain:g} (stain.most_gain)"
        yield f"{len(damped)} of {len(rows)} images {what}: {some(damped)}"


def _backend(name: str) -> ModuleType:
    return import_module(BACKENDS[name])


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
