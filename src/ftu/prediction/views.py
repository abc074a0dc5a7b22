"""Sets of views for test-time augmentation: the symmetries and the scales in which a window is seen."""

from collections.abc import Sequence
from typing import NamedTuple

from ftu.errors import InputError

# Of the eight symmetries of a square, as ttach.aliases.d4_transform lists them: a mirror, then quarter turns.
IDENTITY, MIRRORS, HALF_TURN, TRANSPOSING = (0,), (4, 6), (2,), (1, 3, 5, 7)
FLIPS = (IDENTITY, MIRRORS)  # the paper's three views: identity, horizontal flip, vertical flip (section 6)
D4 = (IDENTITY, MIRRORS, HALF_TURN, TRANSPOSING)


class Group(NamedTuple):
    """Views of one shape, which a set has all or none of."""

    symmetries: tuple[int, ...]
    scale: float


class Views(NamedTuple):
    """A set by its symmetries; `scaled`: each of them at every scale that is asked for, besides 1."""

    symmetries: tuple[tuple[int, ...], ...]
    scaled: bool


VIEWS = {
    "none": Views((IDENTITY,), scaled=False),
    "flips": Views(FLIPS, scaled=False),
    "d4": Views(D4, scaled=False),
    "flips_scales": Views(FLIPS, scaled=True),
    "d4_scales": Views(D4, scaled=True),
}


def groups(tta: str, scales: Sequence[float]) -> list[Group]:
    """The views of the set called `tta`; InputError when it is scaled and `scales` make no sense."""
    symmetries, scaled = VIEWS[tta]
    if scaled:
        check_scales(tta, scales)
    factors = sorted({1.0, *scales}) if scaled else [1.0]
    return [Group(turns, factor) for factor in factors for turns in symmetries]


def check_scales(tta: str, scales: Sequence[float]) -> None:
    if len(set(scales)) < len(scales):
        raise InputError(f"predict.scales: {list(scales)} names a factor twice; leave one out")
    if not set(scales) - {1.0}:
        raise InputError(
            f"predict.scales: {list(scales)} names no factor besides 1, so that {tta} would be "
            f"{tta.removesuffix('_scales')}; add one, or use that"
        )
