"""Losses of predictions at several levels: each finer one counts where the coarser one errs.

J. Xu, "MS-Twins: Multi-Scale Deep Self-Attention Networks for Medical Image Segmentation", whose equations
cannot be meant as they are printed: docs/ms-twins.md has both, and why. Shapes: B batch, K logits of a pixel,
N classes with the background: 2 for one logit, else K.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

FOCUS = 2  # exponent of (1 - p), as focal loss has it
ELSEWHERE = 0.1  # weight of pixels that the coarser level has right: with 0 nothing would keep them right
SMALLEST = 1e-6  # of a sum of squares, to divide by


def level(
    logits: Tensor, shares: Tensor, coarser: Tensor | None = None, importance: Tensor | None = None
) -> Tensor:
    """The focal loss of (B, K, h, w) float32 logits, whose pixels count 1 where the `coarser` logits err, and
    ELSEWHERE where they do not; without any, all count 1. The mean over pixels and images.

    `shares` (B, K, h, w) are what of each pixel each class holds; `importance` (B,) weights images.
    """
    known, found = of_classes(shares), log_probabilities(logits)
    losses = -(known * (1 - found.exp()) ** FOCUS * found).sum(1)
    if coarser is not None:
        losses = losses * torch.where(errs(coarser, known), 1.0, ELSEWHERE)
    each = losses.mean((1, 2))
    return (each if importance is None else each * importance).mean()


def contrast(levels: Sequence[Tensor], shares: Tensor, importance: Tensor | None = None) -> Tensor:
    """How much the predictions of different classes overlap, 0 to 1 at each level, summed over the levels.

    It is the mean over pairs of classes of 2 p q / (p^2 + q^2), each summed over the pixels of the batch.

    Pairs count of which both are in `shares` (B, K, S, S), in an image that counts: a ratio has no scale, and
    of two classes that are not there it would be near 1, whatever is predicted.
    """
    count = torch.ones(len(shares), device=shares.device) if importance is None else importance
    present = (of_classes(shares).amax((2, 3)) * count[:, None]).amax(0) > 0
    pairs = torch.triu(present & present[:, None], diagonal=1)
    return torch.stack([overlaps(each, count)[pairs].sum() for each in levels]).sum() / max(pairs.sum(), 1)


def overlaps(logits: Tensor, count: Tensor) -> Tensor:
    """(N, N): of each two classes the overlap of their probabilities, images weighted by `count` (B,)."""
    found = log_probabilities(logits).exp()
    products = torch.einsum("bnhw,bmhw,b->nm", found, found, count)
    squares = products.diagonal()
    return 2 * products / (squares + squares[:, None] + SMALLEST)


def errs(coarser: Tensor, known: Tensor) -> Tensor:
    """(B, h, w): where the likeliest class of coarser logits, enlarged, is not the one that holds most. No
    gradient goes through it."""
    enlarged = F.interpolate(coarser.float(), known.shape[-2:], mode="bilinear", align_corners=False)
    return log_probabilities(enlarged).argmax(1) != known.argmax(1)


def log_probabilities(logits: Tensor) -> Tensor:
    """(B, K, h, w) -> (B, N, h, w), float32: of one logit those of the background and of the class."""
    if logits.shape[1] == 1:
        return F.logsigmoid(torch.cat([-logits, logits], dim=1).float())
    return logits.float().log_softmax(1)


def of_classes(shares: Tensor) -> Tensor:
    """(B, K, h, w) -> (B, N, h, w): of one class also what it leaves to the background."""
    return torch.cat([1 - shares, shares], dim=1) if shares.shape[1] == 1 else shares
