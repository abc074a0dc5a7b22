"""How images are made alike: size, stains, and the look of another source."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ftu.files.limits import COARSEST_STRIDE
from ftu.pipeline.sections.fields import NotNegative, PathText, Positive, Section, Seed, Side, Text


class Resize(Section):
    """What the network sees: its scale and its size. [inference.md](inference.md) says when to take which."""

    mode: Literal["fixed", "microns"]
    """`fixed`: every image is squeezed to one square, as in the paper. `microns`: brought to one scale, its
    aspect kept."""
    side: Annotated[Side, Field(ge=COARSEST_STRIDE)]
    """px: side of the square that the network sees, the image (`fixed`) or a window of it (`microns`)."""
    microns: Positive
    """um per px, where `mode` is `microns`."""


class Shift(Section):
    """Held-out images made to look as if another source had taken them: [shift.md](shift.md)."""

    enabled: bool
    """Score the held-out images also as if they came from `source`: `dice_shifted`."""
    source: Text
    """The source that they are made to look like, one of `data.sources`."""
    pixel_size: dict[str, Positive]
    """`<organ>`: um per px of that source."""
    field: Positive
    """um: the widest side of its images."""
    blur: NotNegative
    """um, standard deviation: the blur of its thicker sections."""
    stain: Literal["none", "pas", "he", "dab"]
    """The dyes that the image's own are swapped for."""


class StainTarget(Section):
    kind: Literal["image", "file", "mosaic", "mosaic_by_organ", "source"]
    """The image whose stains all others get. `image`: that of the id in `ids`. `mosaic`: those in `ids`.
    `mosaic_by_organ`: the first training image of each organ of `source`. `file`: the image at `file`.
    `source`: the mean histogram of all images of `source`, test images too, which stay as they are (backend
    histogram and `augment.match`)."""
    ids: list[Text]
    """Training or test images: one where `kind` is `image`, one or more where it is `mosaic`."""
    source: Text
    """Where `kind` is `mosaic_by_organ` or `source`: the source to take images of."""
    file: PathText
    """Where `kind` is `file`: the path of an image on disk."""

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
    """Stain normalisation: every image gets the stains of one target."""

    backend: Literal["exact", "staintools", "histogram", "clahe", "none"]
    """`exact`: our deterministic solver. `staintools`: the named package, which trains for one second of wall
    time and does not repeat. Of grey images, too: `histogram` gives each channel the target's levels;
    `clahe` evens the contrast out, without a target. `none`: images as they are."""
    target: StainTarget
    most_gain: Annotated[float, Field(ge=1)]
    """Times: the most by which the angle between an image's two stains may grow, and noise of colour with it.
    Above, the target's stains are turned towards each other for that image."""
    seed: Seed
    """Which pixels the stains are learnt from."""
