"""Stain normalisation of files: the choice of target and backend, and a row of quality control per image."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from ftu import images, stain
from ftu.errors import InputError
from ftu.stain import StainError, StainFit

# Modules that offer fit(image, *, seed) and normalize(image, source, target); imported when asked for.
BACKENDS = {"exact": "ftu.stain", "staintools": "ftu.staintools_backend"}

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
    chosen = [images.read_rgb(resized / name) for name in tqdm(files, desc="target", disable=several)]
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
        return images.read_image(file)
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


def prepare(backend: str, target: Callable[[], np.ndarray], *, seed: int) -> Work:
    """The work to do on each (source file, target folder); it returns the image's row of qc.csv.

    `target` gives the target image; backend none does not ask for it.
    Raises InputError when the stains of the target cannot be found.
    """
    if backend == "none":
        return copy_unchanged
    module = _backend(backend)
    try:
        fit = module.fit(target(), seed=seed)
    except StainError as error:
        raise InputError(
            f"stain.target: its stains cannot be found ({error}); choose another target"
        ) from error
    return partial(normalize_file, backend=backend, target=fit, seed=seed)


def caveat(backend: str) -> str:
    """What users of a backend must know, empty when nothing; a backend with a caveat runs in one process."""
    return _backend(backend).CAVEAT if backend == "staintools" else ""


def normalize_file(path: Path, folder: Path, *, backend: str, target: StainFit, seed: int) -> dict:
    """Normalise one file; where its stains cannot be found the image passes through and the row says why."""
    image, module = images.read_rgb(path), _backend(backend)
    try:
        source = module.fit(image, seed=seed)
        normalized, clipped = module.normalize(image, source, target)
    except StainError as error:
        images.write_rgb(folder / path.name, image)
        return _row(path, reason=str(error))
    images.write_rgb(folder / path.name, normalized)
    return _row(path, fit=source, clipped=clipped)


def copy_unchanged(path: Path, folder: Path) -> dict:
    """Backend none: the image as it is."""
    (folder / path.name).write_bytes(path.read_bytes())
    return _row(path, reason="stain.backend: none")


def warning(rows: Sequence[dict]) -> str:
    """A sentence on the images that passed through unchanged, empty when there are none."""
    unchanged = [row for row in rows if row["reason"]]
    named = ", ".join(f"{row['id']} ({row['reason']})" for row in unchanged[:5])
    return f"{len(unchanged)} of {len(rows)} images unchanged: {named}" if unchanged else ""


def _backend(name: str) -> ModuleType:
    return import_module(BACKENDS[name])


def _row(path: Path, *, reason: str = "", fit: StainFit | None = None, clipped: float = 0.0) -> dict:
    stains = fit.matrix.ravel() if fit else np.full(6, np.nan)
    names = [f"{stain}_{channel}" for stain in ("stain1", "stain2") for channel in "rgb"]
    row = {"id": path.stem, "set": path.parent.name, "reason": reason}
    row |= {name: round(float(value), 6) for name, value in zip(names, stains, strict=True)}
    residual = round(fit.residual, 6) if fit else np.nan
    return row | {"residual": residual, "clipped": round(clipped, 6)}
