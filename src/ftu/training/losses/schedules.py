"""Loss schedules: pure functions from the epoch to the weights of the named loss terms.

Terms: `bce`, `dice`, `focal` and `lovasz` are losses of the full-resolution logits (the paper's is bce
alone), `aux_1` .. `aux_4` those of the auxiliary heads on encoder blocks 1 to 4 (strides 4, 8, 16, 32),
`reconstruct` that of an image which the network gives back, `level_1` .. `level_4` those of predictions at
strides 4 to 32, each weighted by the errors of the coarser one, `contrast` how much they mix classes. Epochs
count from 0. A term that is not named has no gradient.
"""

from collections.abc import Callable, Mapping, Sequence

Schedule = Callable[..., dict[str, float]]

MAIN_TERMS = ("bce", "dice", "focal", "lovasz")
AUX_TERMS = ("aux_1", "aux_2", "aux_3", "aux_4")
RECONSTRUCT = "reconstruct"
LEVEL_TERMS = ("level_4", "level_3", "level_2", "level_1")  # coarsest first, as the network predicts
CONTRAST = "contrast"


def none(epoch: int, **numbers: object) -> dict[str, float]:  # noqa: ARG001
    """No block is supervised."""
    return {}


def single(epoch: int, *, blocks: Sequence[int], weight: float, **numbers: object) -> dict[str, float]:  # noqa: ARG001
    """The first of `blocks` is supervised in every epoch."""
    return {f"aux_{blocks[0]}": weight}


def switched(
    epoch: int,
    *,
    blocks: Sequence[int],
    weight: float,
    switch_epoch: int,
    **numbers: object,  # noqa: ARG001
) -> dict[str, float]:
    """The first of `blocks` before `switch_epoch`, then the second: the paper's method (section 5)."""
    return {f"aux_{blocks[0] if epoch < switch_epoch else blocks[1]}": weight}


def cascade(epoch: int, *, contrast: float, **numbers: object) -> dict[str, float]:  # noqa: ARG001
    """The third paper's: every level in every epoch, and the contrast of classes."""
    return dict.fromkeys(LEVEL_TERMS, 1.0) | ({CONTRAST: contrast} if contrast else {})


SCHEDULES: dict[str, Schedule] = {"none": none, "single": single, "switched": switched, "cascade": cascade}


def choose(
    name: str,
    blocks: Sequence[int],
    weight: float,
    switch_epoch: int,
    main: Mapping[str, float],
    contrast: float = 0.0,
) -> Callable[[int], dict[str, float]]:
    """The schedule called `name` with its numbers, beside the weights of the main terms, which stay as they
    are: a function of the epoch alone. Terms of weight 0 are not named."""
    counted = {term: main[term] for term in MAIN_TERMS if main.get(term)}
    numbers = {"blocks": blocks, "weight": weight, "switch_epoch": switch_epoch, "contrast": contrast}

    def weights_at(epoch: int) -> dict[str, float]:
        return counted | SCHEDULES[name](epoch, **numbers)

    return weights_at


def main_terms(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights of the terms that say how good masks are, which held-out images are judged by: the main
    ones or, where a cascade stands in for them, those of its levels."""
    main, levels = (
        {term: weights[term] for term in terms if weights.get(term)} for terms in (MAIN_TERMS, LEVEL_TERMS)
    )
    return main or levels


def active_block(weights: dict[str, float]) -> int:
    """The encoder block whose auxiliary head is supervised, 0 when there is none."""
    return next((number for number, term in enumerate(AUX_TERMS, start=1) if weights.get(term)), 0)
