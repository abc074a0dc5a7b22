"""The data set, the sample, the folds."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ftu.pipeline.sections.fields import Section, Seed, Text


class Data(Section):
    root: Annotated[Text, Field(min_length=1)]  # folder in the competition's layout
    organs: Annotated[list[Text], Field(min_length=1)]
    sources: Annotated[list[Text], Field(min_length=1)]


class Sample(Section):
    seed: Seed
    train: Annotated[int, Field(ge=1, le=10_000)]  # images
    test: Annotated[int, Field(ge=1, le=10_000)]  # images


class Split(Section):
    count: Annotated[int, Field(ge=2, le=1000)]  # folds that are dealt
    run: Annotated[list[int], Field(min_length=1)]  # folds that are trained
    seed: Seed

    @model_validator(mode="after")
    def _run_is_dealt(self) -> Self:
        if len(set(self.run)) != len(self.run) or not set(self.run) <= set(range(self.count)):
            raise ValueError(f"run must name different folds among 0..{self.count - 1}, got {self.run}")
        return self
