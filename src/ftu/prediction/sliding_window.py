"""Probabilities of images of any size, of which only a row of windows is in memory.

Shapes: H, W image; C windows of (h, w) at a time; N maps, of each set of views those of each class.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ftu.errors import InputError
from ftu.files import png
from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.build import takes_one_size
from ftu.networks.common.contract import Probabilities, Segmenter
from ftu.networks.common.devices import Precision
from ftu.prediction import windows
from ftu.prediction.predictor import Predictor
from ftu.prediction.views import Group
from ftu.prediction.windows import Axis
from ftu.probabilities import map_file

Item = TypeVar("Item")
Read = Callable[
    [int, int], np.ndarray
]  # (top, bottom) -> those rows of an image, (bottom - top, W, channels) uint8


class Picture(NamedTuple):
    """An image to predict, and its windows."""

    open: Callable[[], AbstractContextManager[Read]]
    rows: Axis
    columns: Axis

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.length, self.columns.length

    def chunks(self, size: int) -> Iterator[np.ndarray]:
        """Its windows, (C, h, w, channels) uint8, `size` at a time."""
        with self.open() as read:
            chunk: list[np.ndarray] = []
            for window in windows.cut(self.rows, self.columns, read):
                chunk.append(window)
                if len(chunk) == size:
                    yield np.stack(chunk)
                    chunk = []
            if chunk:
                yield np.stack(chunk)


def predict_files(
    segmenter: Segmenter,
    facts: Mapping,
    sources: Sequence[Path],
    targets: Sequence[Sequence[Path]],
    *,
    sets: Mapping[str, Sequence[Group]],
    side: int,
    overlap: float,
    blend: str,
    batch_size: int,
    device: torch.device,
    precision: Precision = "fp32",
    um: Sequence[tuple[float, float]] | None = None,
) -> None:
    """Write the probabilities of the images `sources`, for each its maps of all `sets` to its `targets`.

    `um` are the height and the width of a pixel of each. `facts` is the network's model.json; `side`,
    `overlap` and `blend` are those of predict.window. Raises InputError before it predicts anything when an
    image cannot be read or the windows do not fit.
    """
    window = window_side(side, facts["architecture"], sets)
    pictures = plan(sources, window, overlap, blend, shrink=not takes_one_size(facts["architecture"]))
    predictor = Predictor(
        Probabilities(segmenter),
        sets,
        batch_size=batch_size,
        mean=facts["mean"],
        std=facts["std"],
        device=device,
        classes=max(segmenter.outputs - 1, 1),
        precision=precision,
    )
    write_files(predictor, pictures, targets, um)


def write_files(
    predictor: Predictor,
    pictures: Sequence[Picture],
    targets: Sequence[Sequence[Path]],
    um: Sequence[tuple[float, float]] | None = None,
) -> None:
    """Write the maps of each picture, in the order of the predictor's sets, to its targets, one for each."""
    bands = groupby(predict_images(predictor, pictures), key=itemgetter(0))
    for number, own in tqdm(bands, total=len(pictures), desc="predict", disable=None):
        shape, size = pictures[number].shape, um[number] if um else None
        write_maps(map(itemgetter(1), own), shape, targets[number], predictor.classes, size)


def window_side(asked: int, architecture: Mapping, sets: Mapping[str, Sequence[Group]]) -> int:
    """The side (px) of the windows: `asked`, or where that is 0 that of the images in training.

    Raises InputError when the network of `architecture` (as in model.json) takes one size only, and the
    windows or the scales of `sets` give it another.
    """
    trained, encoder = architecture["size"], architecture["encoder"]
    if not takes_one_size(architecture):
        return asked or trained
    if asked and asked + -asked % COARSEST_STRIDE != trained + -trained % COARSEST_STRIDE:
        raise InputError(
            f"predict.window.side: {encoder} was built for {trained} px and takes no windows of {asked} px; "
            "use 0"
        )
    for tta, groups in sets.items():
        if any(group.scale != 1 for group in groups):
            raise InputError(
                f"predict: {tta} resizes windows, but {encoder} takes {trained} px only; use "
                f"{tta.removesuffix('_scales')}, or train a network that takes any size"
            )
    return asked or trained


def check_oversize(sources: Sequence[Path], side: int) -> None:
    """Raise InputError when windows of `side` px (0: any) are larger than every one of the images."""
    largest = max((max(png.image_shape(path)) for path in sources), default=side)
    if side > largest:
        raise InputError(
            f"predict.window.side: {side} px is larger than every image (the longest side is {largest} px); "
            "use a smaller window, or 0"
        )


def plan(sources: Sequence[Path], window: int, overlap: float, blend: str, *, shrink: bool) -> list[Picture]:
    """Lay windows of (window, window) px over images, by the shapes in their heads.

    `shrink`: where an image is smaller, its windows are. Raises InputError when an image is missing or
    damaged, or when the windows cannot be laid.
    """
    lay = partial(windows.cover, window=window, overlap=overlap, blend=blend, shrink=shrink)
    return [Picture(partial(png.pixel_rows, path), *lay(png.image_shape(path))) for path in sources]


def write_maps(
    bands: Iterable[np.ndarray],
    shape: tuple[int, int],
    targets: Sequence[Path],
    classes: int = 1,
    um: tuple[float, float] | None = None,
) -> None:
    """Write the N maps of one image of `shape`, which come in bands (N, any, W): those of each set of views,
    one for each of `classes`, to its target. `um` are the height and the width of a pixel."""
    with ExitStack() as files:
        writers = [files.enter_context(map_file.writer(path, *shape, classes, um)) for path in targets]
        for band in bands:
            for write, rows in zip(writers, np.split(band, len(targets)), strict=True):
                write(rows)


def predict_images(predictor: Predictor, pictures: Sequence[Picture]) -> Iterator[tuple[int, np.ndarray]]:
    """Each picture's number with its next band (N, any, W) float32 of probabilities, picture by picture.

    With a GPU, windows are read and bands are used while the next ones are predicted. The network runs in the
    caller's thread: cuDNN plans its kernels anew in each thread, which takes seconds. A batch never mixes
    pictures, so the bytes of one do not depend on the others.
    """
    chunks = (chunk for picture in pictures for chunk in picture.chunks(predictor.batch_size))
    if predictor.device.type == "cpu":  # which has enough to do, and no memory to spare
        return _bands(pictures, predictor.run(chunks))
    return _bands(pictures, predictor.run(ahead(chunks)))


def _bands(pictures: Sequence[Picture], chunks: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    maps = (one for chunk in chunks for one in chunk)
    for number, picture in enumerate(pictures):
        for band in windows.stitch(picture.rows, picture.columns, maps):
            yield number, np.clip(band, 0, 1, out=band)  # a weighted mean may pass 1 by its rounding


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; a thread makes the next one while one is in use."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # pyright: ignore[reportReturnType]
