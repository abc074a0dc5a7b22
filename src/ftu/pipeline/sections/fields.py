"""What the sections of params.yaml are made of: types of values, and how strictly they are read."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed, such as NUL or a line break")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Count = Annotated[int, Field(ge=1)]
Cores = Annotated[int, Field(ge=1, le=1024)]  # of one machine: threads, processes
Side = Annotated[int, Field(ge=0, le=2**15)]  # px; the square has as many pixels as an image may have
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Scaling = Annotated[float, Field(ge=0.1, le=10)]  # a factor of lengths
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and torch take
Block = Annotated[int, Field(ge=1, le=4)]


class Section(BaseModel):
    """Unknown keys, missing keys and wrong types are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
