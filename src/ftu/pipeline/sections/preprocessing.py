"""How images are made alike: size, stains, and the look of another source."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ftu.files.limits import COARSEST_STRIDE
from ftu.pipeline.sections.fields import NotNegative, Positive, Section, Seed, Side, Text


class Resize(Section):
    mode: Literal["fixed", "microns"]  # the whole image at one size, or at one scale
    side: Annotated[Side, Field(ge=COARSEST_STRIDE)]  # px, of the square that the network sees
    microns: Positive  # um per px, where mode is microns


class Shift(Section):
    enabled: bool
    source: Text  # the data_source that the images are made to look like
    pixel_size: dict[str, Positive]  # organ -> um
    field: Positive  # um, the widest side
    blur: NotNegative  # um, standard deviation
    stain: Literal["none", "pas", "he"]


class StainTarget(Section):
    kind: Literal["image", "file", "mosaic", "mosaic_by_organ"]
    ids: list[Text]  # image: exactly one; mosaic: at least one
    source: Text  # mosaic_by_organ: the data_source to take images of
    file: Text  # file: an image on disk

    @model_validator(mode="after")
    def _ids_fit_kind(self) -> Self:
        expected = {"image": "exactly one id", "mosaic": "at least one id"}
        fits = {"image": len(self.ids) == 1, "mosaic": len(self.ids) >= 1}
        if not fits.get(self.kind, True):
            raise ValueError(f"kind {self.kind} needs {expected[self.kind]} in ids, got {self.ids}")
        if self.kind == "file" and not self.file:
            raise ValueError("kind file needs the path of an image in file, got ''")
        return self


class Stain(Section):
    backend: Literal["exact", "staintools", "none"]
    target: StainTarget
    seed: Seed
