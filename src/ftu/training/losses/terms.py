"""The paper's loss: BCE of the logits, plus weighted BCE of auxiliary logits (section 5)."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ftu.files.limits import COARSEST_STRIDE
from ftu.networks.common.contract import Segmentation, Segmenter, pad_to_stride
from ftu.training.losses.schedules import AUX_TERMS


def aux_loss(logits: Tensor, masks: Tensor, stride: int = COARSEST_STRIDE) -> Tensor:
    """BCE of (B, 1, h, w) logits against (B, 1, S, S) masks, padded as images are, by nearest neighbour.

    `stride` is the encoder's, to whose multiples images are padded.
    """
    targets = F.interpolate(pad_to_stride(masks, stride), logits.shape[-2:], mode="nearest")
    return F.binary_cross_entropy_with_logits(logits, targets)


def loss_terms(
    output: Segmentation, masks: Tensor, weights: Mapping[str, float], stride: int = COARSEST_STRIDE
) -> dict[str, Tensor]:
    """The unweighted terms that `weights` names with a weight other than 0, as scalars, in float32."""
    terms = {"main": F.binary_cross_entropy_with_logits(output.logits.float(), masks)}
    for name, logits in zip(AUX_TERMS, output.aux_logits, strict=True):
        if weights.get(name):
            terms[name] = aux_loss(logits.float(), masks, stride)
    return terms


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the terms."""
    weighted = [value if weights[name] == 1 else weights[name] * value for name, value in terms.items()]
    return weighted[0] if len(weighted) == 1 else weighted[0] + sum(weighted[1:])


class Objective(nn.Module):
    """The network and its loss as one module.

    A head without a term is then no output, and DistributedDataParallel does not wait for its gradient.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor, masks: Tensor, weights: Mapping[str, float]) -> dict[str, Tensor]:
        return loss_terms(self.segmenter(images), masks, weights, self.segmenter.encoder.stride)
