"""The loss: named terms of the logits, plus weighted BCE of auxiliary logits (paper, section 5).

Of one class there is one logit a pixel. Of two classes or more there is one for the background, too: then
cross-entropy takes the place of BCE, and probabilities are their softmax. Beside these there is the error of
a reconstructed image. Shapes: B batch, K logits, C channels of an image.
"""

from collections.abc import Callable, Mapping

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss
from torch import Tensor, nn
from torch.nn import functional as F

from ftu.networks.common.contract import Segmentation, Segmenter, pad_to_stride
from ftu.training.losses import cascade
from ftu.training.losses.schedules import (
    AUX_TERMS,
    CONTRAST,
    LEVEL_TERMS,
    MAIN_TERMS,
    RECONSTRUCT,
    main_terms,
)

# (B, K, h, w) float32 logits, and as many shares of each pixel that its classes hold, 0 to 1 -> a scalar
Term = Callable[[Tensor, Tensor], Tensor]
Padding = Callable[[Tensor], Tensor]


def bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy; of several classes, cross-entropy."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, masks)
    return F.cross_entropy(logits, masks)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - soft Dice of each image and class, their mean; a class that an image lacks counts 0, as in smp.

    Source: Milletari et al. 2016, https://arxiv.org/abs/1606.04797.
    """
    several = logits.shape[1] > 1
    if several:
        logits, masks = logits.softmax(1)[:, 1:], masks[:, 1:]
    one_channel_each = (1, logits.shape[0] * logits.shape[1], *logits.shape[2:])
    loss = DiceLoss("multilabel", from_logits=not several)
    return loss(logits.reshape(one_channel_each), masks.reshape(one_channel_each))


def focal(logits: Tensor, masks: Tensor) -> Tensor:
    """Lin et al. 2017, https://arxiv.org/abs/1708.02002: `bce` of a pixel times (1 - its probability)^2."""
    if logits.shape[1] == 1:
        return FocalLoss("binary", gamma=2.0)(logits, masks)
    each = F.cross_entropy(logits, masks, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def lovasz(logits: Tensor, masks: Tensor) -> Tensor:
    """The Lovasz hinge of each image, their mean; of several classes Lovasz-Softmax, over those that are
    there.

    Source: Berman et al. 2018, https://arxiv.org/abs/1705.08790.
    """
    if logits.shape[1] == 1:
        return LovaszLoss("binary", per_image=True)(logits, masks)
    return LovaszLoss("multiclass", per_image=True)(logits, masks.argmax(1))


TERMS: dict[str, Term] = {"bce": bce, "dice": dice, "focal": focal, "lovasz": lovasz}

# How the mask becomes the target of a coarser map. Plain nearest takes the top left pixel of each cell, and
# so shifts the target by half a cell; it is what the authors' code does.
TARGETS = {"exact": "nearest-exact", "area": "area", "nearest": "nearest"}


def shares(masks: Tensor, outputs: int) -> Tensor:
    """(B, K, S, S) float32: what of each pixel each class holds, of (B, 1, S, S) masks of their numbers.

    Of one class that is the mask; of more, 0 or 1 for the background and each of them.
    """
    if outputs == 1:
        return masks
    return F.one_hot(masks[:, 0].long(), outputs).permute(0, 3, 1, 2).to(torch.float32)


def aux_target(masks: Tensor, shape: torch.Size, kind: str, pad: Padding = pad_to_stride) -> Tensor:
    """(B, K, S, S) shares, padded as the encoder pads images, at (h, w): 0 or 1; for `area` what lies
    between, too."""
    return F.interpolate(pad(masks), shape[-2:], mode=TARGETS[kind])


def loss_terms(
    output: Segmentation,
    masks: Tensor,
    weights: Mapping[str, float],
    pad: Padding = pad_to_stride,
    *,
    target: str = "exact",
    importance: Tensor | None = None,
    clean: Tensor | None = None,
) -> dict[str, Tensor]:
    """The unweighted terms that `weights` names with a weight other than 0, as scalars, in float32.

    `target` is a key of TARGETS. `importance` (B,) weights the images of the batch in all terms of masks;
    None: all count 1. `clean` (B, C, S, S), 0 to 1, is what `reconstruct` compares with.
    """
    logits, terms = output.logits.float(), {}
    if weights.get(RECONSTRUCT):
        assert clean is not None
        terms[RECONSTRUCT] = reconstruct(output, clean)
    if any(weight for name, weight in weights.items() if name != RECONSTRUCT):
        masks = shares(masks, logits.shape[1])
    for name in MAIN_TERMS:
        if weights.get(name):
            terms[name] = weighted(TERMS[name], logits, masks, importance)
    for name, coarse in zip(AUX_TERMS, output.aux_logits, strict=True):
        if weights.get(name):
            targets = aux_target(masks, coarse.shape, target, pad)
            terms[name] = weighted(bce, coarse.float(), targets, importance)
    coarser = None
    for name, level in zip(LEVEL_TERMS, output.levels, strict=False):  # many networks have no levels
        if weights.get(name):
            targets = aux_target(masks, level.shape, target, pad)
            terms[name] = cascade.level(level, targets, coarser, importance)
        coarser = level
    if weights.get(CONTRAST):
        terms[CONTRAST] = cascade.contrast(output.levels, masks, importance)
    return terms


def reconstruct(output: Segmentation, clean: Tensor) -> Tensor:
    """The mean squared error of the image that the network gives: of its decoder for images, or else of its
    logits' sigmoid, which then are as many as an image has channels."""
    if output.reconstruction is not None:
        return F.mse_loss(output.reconstruction.float(), clean)
    return F.mse_loss(output.logits.float().sigmoid(), clean)


def weighted(term: Term, logits: Tensor, masks: Tensor, importance: Tensor | None) -> Tensor:
    """The mean over images of a term, each times its importance."""
    if importance is None:
        return term(logits, masks)
    each = [term(one[None], mask[None]) for one, mask in zip(logits, masks, strict=True)]
    return (torch.stack(each) * importance).mean()


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the terms."""
    each = [value if weights[name] == 1 else weights[name] * value for name, value in terms.items()]
    return each[0] if len(each) == 1 else each[0] + sum(each[1:])


def main_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the main terms."""
    return total_loss({name: terms[name] for name in main_terms(weights)}, weights)


class Objective(nn.Module):
    """The network and its loss as one module.

    A head without a term is then no output, and DistributedDataParallel does not wait for its gradient.
    """

    def __init__(self, segmenter: Segmenter, target: str = "exact") -> None:
        super().__init__()
        self.segmenter, self.target = segmenter, target

    def forward(
        self,
        images: Tensor,
        masks: Tensor,
        weights: Mapping[str, float],
        importance: Tensor | None = None,
        clean: Tensor | None = None,
    ) -> dict[str, Tensor]:
        how = {"target": self.target, "importance": importance, "clean": clean}
        return loss_terms(self.segmenter(images), masks, weights, self.segmenter.encoder.pad, **how)
