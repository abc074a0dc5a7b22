"""The probabilities of one image by any network: what stands between windows and files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from operator import itemgetter

import numpy as np
import torch
from torch import nn

from ftu.prediction import sliding_window, windows
from ftu.prediction.predictor import Predictor
from ftu.prediction.views import Group


def predict(
    network: nn.Module,
    read: sliding_window.Read,
    shape: tuple[int, int],
    *,
    sets: Mapping[str, Sequence[Group]],
    window: int,
    overlap: float,
    blend: str,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    shrink: bool = True,
) -> Iterator[np.ndarray]:
    """Bands (N, any, W) float32 of whole rows from top to bottom.

    `network` is (B, 3, h, w) float32 -> (B, 1, h, w) probabilities, `shape` the (height, width) of the image.
    """
    rows, columns = windows.cover(shape, window=window, overlap=overlap, blend=blend, shrink=shrink)
    predictor = Predictor(network, sets, batch_size=batch_size, mean=mean, std=std, device=device)
    picture = sliding_window.Picture(lambda: nullcontext(read), rows, columns)
    return map(itemgetter(1), sliding_window.predict_images(predictor, [picture]))
