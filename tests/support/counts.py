"""How many numbers a network learns, and how many it keeps beside these."""

from torch import nn

from ftu.networks.common.contract import Segmenter


def trainable(*parts: nn.Module | None) -> int:
    """The parameters of some parts of a network."""
    return sum(each.numel() for part in parts if part for each in part.parameters())


def of_paper(network: Segmenter) -> tuple[int, int]:
    """The parameters of all but the auxiliary heads, which no paper counts, and the running statistics."""
    parts = (network.encoder, network.decoder, network.head, network.reconstruction)
    kept = (name for name, _ in network.named_buffers() if not name.endswith("num_batches_tracked"))
    return trainable(*parts), sum(network.get_buffer(name).numel() for name in kept)
