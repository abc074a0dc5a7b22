"""Loss schedules: pure functions from the epoch to the weights of the named loss terms.

Terms: `bce`, `dice`, `focal` and `lovasz` are losses of the full-resolution logits (the paper's is bce
alone), `aux_1` .. `aux_4` those of the auxiliary heads on encoder blocks 1 to 4 (strides 4, 8, 16, 32),
`reconstruct` that of an image which the network gives back. Epochs count from 0. A term that is not named has
no gradient.
"""

from collections.abc import Callable, Mapping, Sequence

Schedule = Callable[..., dict[str, float]]

MAIN_TERMS = ("bce", "dice", "focal", "lovasz")
AUX_TERMS = ("aux_1", "aux_2", "aux_3", "aux_4")
RECONSTRUCT = "reconstruct"


def none(epoch: int, *, blocks: Sequence[int], weight: float, switch_epoch: int) -> dict[str, float]:  # noqa: ARG001
    """No block is supervised."""
    return {}


def single(epoch: int, *, blocks: Sequence[int], weight: float, switch_epoch: int) -> dict[str, float]:  # noqa: ARG001
    """The first of `blocks` is supervised in every epoch."""
    return {f"aux_{blocks[0]}": weight}


def switched(epoch: int, *, blocks: Sequence[int], weight: float, switch_epoch: int) -> dict[str, float]:
    """The first of `blocks` before `switch_epoch`, then the second: the paper's method (section 5)."""
    return {f"aux_{blocks[0] if epoch < switch_epoch else blocks[1]}": weight}


SCHEDULES: dict[str, Schedule] = {"none": none, "single": single, "switched": switched}


def choose(
    name: str, blocks: Sequence[int], weight: float, switch_epoch: int, main: Mapping[str, float]
) -> Callable[[int], dict[str, float]]:
    """The schedule called `name` with its numbers, beside the weights of the main terms, which stay as they
    are: a function of the epoch alone. Terms of weight 0 are not named."""
    counted = {term: main[term] for term in MAIN_TERMS if main.get(term)}

    def weights_at(epoch: int) -> dict[str, float]:
        return counted | SCHEDULES[name](epoch, blocks=blocks, weight=weight, switch_epoch=switch_epoch)

    return weights_at


def active_block(weights: dict[str, float]) -> int:
    """The encoder block whose auxiliary head is supervised, 0 when there is none."""
    return next((number for number, term in enumerate(AUX_TERMS, start=1) if weights.get(term)), 0)
