"""The data set, the sample, the folds."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ftu.files import names
from ftu.pipeline.sections.fields import NotNegative, PathText, Section, Seed, Text


def _column_or_pattern(text: str) -> str:
    if text and (fault := names.fault(text)):
        raise ValueError(fault)
    return text


Told = Annotated[Text, AfterValidator(_column_or_pattern)]


class Data(Section):
    """The data set: [own-data.md](own-data.md)."""

    layout: Literal["competition", "folders"]
    """`competition`: its tables and TIFFs. `folders`: `train` and `test`, each with `images` and `masks`."""
    root: Annotated[PathText, Field(min_length=1)]
    """Folder of the data set: `data/sample`, which the first stage draws, or `data/raw`."""
    organs: Annotated[list[Text], Field(min_length=1)]
    """The organs that the tables may contain. Each pair of organ and source needs a threshold."""
    sources: Annotated[list[Text], Field(min_length=1)]
    """The values of `data_source` that the tables may contain."""
    pixel_size: NotNegative
    """folders: um per px, where `images.csv` does not say; 1 where nobody knows. competition: 0, its
    tables say."""
    group: list[Annotated[Told, Field(min_length=1)]]
    """What images of one patient, slide or volume share: columns of the table, or regular expressions with
    one bracket, which are looked for in the image's name. `[]`: no patients are known. `[organ, sex, age]`
    comes nearest to the competition's."""
    z: Told
    """The number of a slice in its volume: a column, or such a regular expression; `''`: no volumes."""

    @model_validator(mode="after")
    def _the_scale_is_known(self) -> Self:
        if self.layout == "folders" and not self.pixel_size:
            raise ValueError(
                "pixel_size is 0, and folders have no table that must say it; give um per px, or 1"
            )
        if self.layout == "competition" and self.pixel_size:
            raise ValueError("pixel_size is what the competition's tables say; set it 0, or layout: folders")
        if self.z and not names.is_pattern(self.z) and not self.group:
            raise ValueError(
                f"z is the column {self.z}, and group is []: nothing says of which volume a slice is"
            )
        return self


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
    by: Literal["image", "group", "z", "source"]
    """What lies in one fold as a whole: an image; a group (`data.group`); neighbouring slices of a volume
    (`data.z`); a source (`data.sources`), so that each fold is scored on a source that its model has not
    seen."""

    @model_validator(mode="after")
    def _run_is_dealt(self) -> Self:
        if len(set(self.run)) != len(self.run) or not set(self.run) <= set(range(self.count)):
            raise ValueError(f"run must name different folds among 0..{self.count - 1}, got {self.run}")
        return self
