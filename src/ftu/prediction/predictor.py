"""The means of a network's probabilities over views of windows.

Shapes: C windows and B inputs of the network at a time, h, w window, N maps: of each set of views those of
each class.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
import ttach
from torch import Tensor, nn
from torch.nn import functional as F

from ftu.errors import InputError
from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.devices import Precision
from ftu.networks.common.standardize import image_batch
from ftu.prediction.views import Group

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictor:
    """A network and the sets of views whose means it gives.

    The views of one `Group`, of the windows at hand, share the network's batches with no others: so a set
    gives the same bytes alone and beside other sets. Another `batch_size` may change the last bits of a
    float, as other kernels may do the work.
    """

    def __init__(
        self,
        network: nn.Module,
        sets: Mapping[str, Sequence[Group]],
        *,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        classes: int = 1,
        precision: Precision = "fp32",
    ) -> None:
        # The layout that convolutions are fastest with, on a CPU too (docs/benchmarks.md).
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        self.sets, self.batch_size, self.device, self.classes = sets, batch_size, device, classes
        self.dtype = TYPES[precision]
        self.mean, self.std = (torch.tensor(values, device=device) for values in (mean, std))
        self.groups = sorted({group for groups in sets.values() for group in groups}, key=lambda g: g[::-1])
        counts = [sum(len(group.symmetries) for group in groups) for groups in sets.values()]
        self.counts = torch.tensor(counts, device=device)[:, None, None, None]
        self.symmetries = list(ttach.aliases.d4_transform())  # pyright: ignore[reportArgumentType]

    def run(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The maps (C, N, h, w) of each chunk of windows (C, h, w, channels).

        Those of a GPU come one chunk late: it computes a chunk while the one before is copied and blended.
        """
        if self.device.type == "cpu":
            yield from map(self._at_once, chunks)
            return
        waiting = None
        for chunk in chunks:
            started = self._start(chunk)
            if waiting:
                yield waiting()
            waiting = started
        if waiting:
            yield waiting()

    @torch.inference_mode()
    def _at_once(self, chunk: np.ndarray) -> np.ndarray:
        return self._maps(torch.from_numpy(chunk)).numpy()

    @torch.inference_mode()
    def _start(self, chunk: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin to predict a chunk on a GPU; what is returned waits for its maps."""
        pixels = torch.from_numpy(chunk)
        maps = self._maps(pixels.pin_memory().to(self.device, non_blocking=True))
        on_host = maps.to("cpu", non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()

        def wait() -> np.ndarray:
            copied.synchronize()
            return on_host.numpy()

        return wait

    def _maps(self, pixels: Tensor) -> Tensor:
        """(C, h, w, channels) uint8 -> (C, N, h, w) float32, the means of the sets' views."""
        count, height, width, _ = pixels.shape
        images = image_batch(pixels, self.mean, self.std)
        totals = images.new_zeros(count, len(self.sets), self.classes, height, width)
        for group in self.groups:
            takers = [number for number, groups in enumerate(self.sets.values()) if group in groups]
            for place, answer in self._answers(images, group):
                for number in takers:
                    totals[place, number] += answer
        return totals.div_(self.counts).flatten(1, 2)

    def _answers(self, images: Tensor, group: Group) -> Iterator[tuple[int, Tensor]]:
        """Which image (of C), and its (classes, h, w) probabilities as seen in one view of the group,
        turned back."""
        size = images.shape[-2:]
        scaled = resize(images, scaled_size(size, group.scale))
        views = [(self.symmetries[turn], place) for turn in group.symmetries for place in range(len(images))]
        for start in range(0, len(views), self.batch_size):
            batch = views[start : start + self.batch_size]
            inputs = torch.cat([view.augment_image(scaled[place, None]) for view, place in batch])
            answers = self._probabilities(inputs.contiguous(memory_format=torch.channels_last))
            for (view, place), answer in zip(batch, answers.split(1), strict=True):
                yield place, resize(view.deaugment_mask(answer), size)[0]

    def _probabilities(self, inputs: Tensor) -> Tensor:
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                return self.network(inputs)
        except torch.OutOfMemoryError as error:
            count, _, height, width = inputs.shape
            raise InputError(
                f"predict.batch_size: out of GPU memory with {count} windows of {height} x {width} px at "
                "a time; use a smaller one, or a smaller predict.window.side"
            ) from error


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """(height, width) px times `scale`, to the nearest multiple of 32, where no encoder needs a border."""
    if scale == 1:
        return size[0], size[1]
    height, width = (max(round(side * scale / COARSEST_STRIDE), 1) * COARSEST_STRIDE for side in size)
    return height, width


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, h, w) to another (h, w): bilinear, over the whole footprint of a pixel where it shrinks."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False, antialias=True)
