"""The data set, the sample, the folds."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ftu.pipeline.sections.fields import PathText, Section, Seed, Text


class Data(Section):
    """The data set, in the competition's layout."""

    root: Annotated[PathText, Field(min_length=1)]
    """Folder of the data set: `data/sample`, which the first stage draws, or `data/raw`."""
    organs: Annotated[list[Text], Field(min_length=1)]
    """The organs that the tables may contain. Each pair of organ and source needs a threshold."""
    sources: Annotated[list[Text], Field(min_length=1)]
    """The values of `data_source` that the tables may contain."""


class Sample(Section):
    """The embedded sample, which is drawn whatever `data.root` says."""

    seed: Seed
    """Which images are drawn."""
    train: Annotated[int, Field(ge=1, le=10_000)]
    """Training images."""
    test: Annotated[int, Field(ge=1, le=10_000)]
    """Test images."""


class Split(Section):
    """The folds, stratified by organ: [splits.md](splits.md)."""

    count: Annotated[int, Field(ge=2, le=1000)]
    """Folds that are dealt."""
    run: Annotated[list[int], Field(min_length=1)]
    """Folds that are trained, numbered from 0. One, as in the paper, takes a fifth of the time of five."""
    seed: Seed
    """The deal."""
    group: list[Text]
    """Columns of train.csv. Images with equal values in all of them, as those of one patient, share a fold.
    `[]`: no patients are known. `[organ, sex, age]` comes nearest to the competition's patients."""

    @model_validator(mode="after")
    def _run_is_dealt(self) -> Self:
        if len(set(self.run)) != len(self.run) or not set(self.run) <= set(range(self.count)):
            raise ValueError(f"run must name different folds among 0..{self.count - 1}, got {self.run}")
        return self
