"""The data set, the sample, the folds."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ftu.files import limits, names
from ftu.pipeline.sections.fields import NotNegative, PathText, Section, Seed, Text


def _column_or_pattern(text: str) -> str:
    if text and (fault := names.fault(text)):
        raise ValueError(fault)
    return text


def _plain(name: str) -> str:
    """A name that may be that of a folder: those of sources are."""
    if name != name.strip():
        raise ValueError(f"{name!r} has blanks around it; write {name.strip()!r}")
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is a place, not a name; write a plain name, without /")
    if limits.RESERVED in name:
        raise ValueError(
            f"{name!r} holds {limits.RESERVED!r}, which marks unfinished files; use another name"
        )
    return name


MOST_SLICES = 400  # of the sample: 1 GB of memory
Told = Annotated[Text, AfterValidator(_column_or_pattern)]
Name = Annotated[Text, AfterValidator(_plain)]

MEAN = "mean"  # a key beside the names of classes and organs in reports
CLASS_NAME, MOST_CLASSES = r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,39}$", 250
ClassName = Annotated[str, Field(pattern=CLASS_NAME)]


class Data(Section):
    """The data set: [own-data.md](own-data.md)."""

    layout: Literal["competition", "folders"]
    """`competition`: its tables and TIFFs. `folders`: `train` and `test`, each with `images` and `masks`."""
    root: Annotated[PathText, Field(min_length=1)]
    """Folder of the data set: `data/sample`, which the first stage draws, or `data/raw`."""
    organs: Annotated[list[Name], Field(min_length=1)]
    """The organs that the tables may contain; none is called `mean`. Each pair of organ and source needs a
    threshold."""
    sources: Annotated[list[Name], Field(min_length=1)]
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
    channels: Literal[1, 3]
    """Of an image: 3 (RGB), or 1 (grey)."""
    classes: Annotated[list[ClassName], Field(min_length=1, max_length=MOST_CLASSES)]
    """What masks tell apart, besides the background: the first has the number 1 in them, and so on. Of one
    class masks hold 0 and 1, or 0 and 255. None is called `background` or `mean`."""

    @model_validator(mode="after")
    def _names_can_be_told_apart(self) -> Self:
        for key in ("organs", "sources", "classes"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                raise ValueError(f"{key} must have different names, got {names}")
        for key in ("organs", "classes"):
            if MEAN in getattr(self, key):
                raise ValueError(f"{key} names {MEAN}, as reports call the mean of all; use another name")
        return self

    @model_validator(mode="after")
    def _classes_are_those_of_the_layout(self) -> Self:
        if "background" in self.classes:
            raise ValueError("classes names background, which is 0 in every mask; leave it out")
        if self.layout == "competition" and (self.channels != 3 or len(self.classes) > 1):
            raise ValueError(
                f"the competition's images have 3 channels and its masks one class, got channels "
                f"{self.channels} and {len(self.classes)} classes; use layout: folders"
            )
        return self

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

    kind: Literal["histology", "cells"]
    """`histology`: tissue of five organs, in the competition's layout. `cells`: slices of two volumes, grey,
    with three classes, in `folders`."""
    seed: Seed
    """Which images are drawn."""
    train: Annotated[int, Field(ge=1, le=10_000)]
    """Training images."""
    test: Annotated[int, Field(ge=1, le=10_000)]
    """Test images."""

    @model_validator(mode="after")
    def _two_volumes_can_be_drawn(self) -> Self:
        if self.kind == "cells" and self.train < 2:
            raise ValueError("train is 1, and kind cells draws two volumes; give at least a slice of each: 2")
        if self.kind == "cells" and self.train + self.test > MOST_SLICES:
            raise ValueError(
                f"train {self.train} and test {self.test} make {self.train + self.test} slices, and those of "
                f"kind cells are held in memory: draw at most {MOST_SLICES}"
            )
        return self


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
