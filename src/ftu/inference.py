"""Probabilities of whole images. Shapes: B batch, S image size (px)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import ttach
from torch import nn
from tqdm import tqdm

from ftu import images
from ftu.segmenter import Probabilities, Segmenter
from ftu.standardize import image_tensor


def flips() -> ttach.Compose:
    """The paper's three views: identity, horizontal flip, vertical flip (section 6)."""
    return ttach.Compose([FlipOnce()])


class FlipOnce(ttach.base.DualTransform):
    """One transform with the views as its parameter: ttach's product of two flips would add both at once."""

    identity_param = "none"

    def __init__(self) -> None:
        super().__init__("flip", ["none", "horizontal", "vertical"])

    def apply_aug_image(self, image: torch.Tensor, flip: str = "none", **_: object) -> torch.Tensor:
        dims = {"none": [], "horizontal": [3], "vertical": [2]}[flip]
        return image.flip(dims) if dims else image

    def apply_deaug_mask(self, mask: torch.Tensor, flip: str = "none", **_: object) -> torch.Tensor:
        return self.apply_aug_image(mask, flip=flip)  # a flip undoes itself


VIEWS: dict[str, Callable[[], ttach.Compose]] = {
    "none": lambda: ttach.Compose([]),
    "flips": flips,
    "d4": ttach.aliases.d4_transform,
}


def with_tta(model: nn.Module, tta: str) -> nn.Module:
    """A network whose (B, 1, S, S) float32 probabilities are the mean over the views that `tta` names."""
    return ttach.SegmentationTTAWrapper(model, VIEWS[tta](), merge_mode="mean")


@torch.inference_mode()
def predict(
    segmenter: Segmenter,
    paths: Sequence[Path],
    *,
    tta: str,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
) -> Iterator[tuple[Path, np.ndarray]]:
    """Each path with its (S, S) float32 probabilities, one batch in memory at a time."""
    model = with_tta(Probabilities(segmenter), tta).to(device).eval()
    for start in tqdm(range(0, len(paths), batch_size), desc="predict", disable=None):
        chosen = paths[start : start + batch_size]
        batch = torch.stack([image_tensor(images.read_rgb(path), mean, std) for path in chosen])
        yield from zip(chosen, model(batch.to(device))[:, 0].cpu().numpy(), strict=True)
