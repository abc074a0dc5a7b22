"""From images to probabilities: views, windows, and other experiments."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ftu.files.limits import COARSEST_STRIDE
from ftu.pipeline.sections.fields import (
    Cores,
    Count,
    NotNegative,
    PathText,
    Positive,
    Section,
    Side,
)

Views = Literal["none", "flips", "d4", "flips_scales", "d4_scales"]
Scale = Annotated[float, Field(ge=0.25, le=4)]  # beyond, the network is shown nothing that it knows


class Window(Section):
    side: Side
    """px: side of the windows over large images; 0: that of the square in training."""
    overlap: Annotated[float, Field(ge=0, lt=1)]
    """`smooth`: the least share of a window that its neighbour covers, too; `centre` takes half of it."""
    blend: Literal["smooth", "centre"]
    """`smooth`: overlaps are blended. `centre`: only the middle half of each side counts."""

    @model_validator(mode="after")
    def _no_smaller_than_the_network_takes(self) -> Self:
        if self.side and self.side < COARSEST_STRIDE:
            raise ValueError(f"side must be 0 or at least {COARSEST_STRIDE}, got {self.side}")
        return self


class Predict(Section):
    """Probabilities, in windows and views: [inference.md](inference.md)."""

    tta: Views
    """Views whose mean is taken. `flips`: identity, horizontal, vertical, as in the paper. `d4`: all eight
    symmetries. `_scales`: each at every one of `scales`, too."""
    scales: Annotated[list[Scale], Field(min_length=1)]
    """Factors by which windows are resized, for the sets named `_scales`."""
    candidates: list[Views]
    """Further sets of views to predict, for `calibrate` to choose from."""
    window: Window
    batch_size: Count
    """Windows and views at a time."""
    device: Literal["cpu", "cuda"]
    """What predicting computes on."""
    precision: Literal["fp32", "bf16", "fp16"]
    """Of the computation: bf16 is faster on a CPU that has it; fp16 needs cuda. A cpu without
    bf16 computes in fp32, with a warning."""
    threads: Cores
    """Threads. Another number gives other bytes."""

    @model_validator(mode="after")
    def _fp16_has_a_gpu(self) -> Self:
        if self.precision == "fp16" and self.device == "cpu":
            raise ValueError("precision fp16 needs device cuda; use fp32 or bf16 on cpu")
        return self


class Member(Section):
    name: Annotated[PathText, Field(min_length=1)]
    """A DVC experiment, or the folder of a project."""
    weight: Positive
    """Its weight in the mean."""


class Ensemble(Section):
    """The mean with other experiments: [inference.md](inference.md)."""

    own: NotNegative
    """Weight of this project's own models."""
    mean: Literal["probability", "logit"]
    """What the mean is taken of."""
    members: list[Member]
    """The other experiments; `[]`: none."""

    @property
    def others(self) -> dict[str, float]:
        """The weight of each member, by its name."""
        return {member.name: member.weight for member in self.members}

    @model_validator(mode="after")
    def _somebody_counts(self) -> Self:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError(f"members must have different names, got {names}")
        if not self.own and not self.members:
            raise ValueError("own is 0 and there are no members: nobody would predict; give one a weight")
        return self
