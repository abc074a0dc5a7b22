"""What the sections of params.yaml are made of: types of values, and how strictly they are read."""

import os
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed, such as NUL or a line break")
    return text


def _written_out(text: str) -> str:
    """A path as the system takes it: no shell reads these."""
    if text != text.strip():
        raise ValueError(f"has blanks around it; write {text.strip()!r}")
    if text.startswith("~") or re.search(r"(^|/)\$", text):
        whole = os.path.expanduser(os.path.expandvars(text))
        raise ValueError(f"~ and $ are not expanded; write the path out, {whole!r} perhaps")
    return text


Text = Annotated[str, AfterValidator(_printable)]
PathText = Annotated[Text, AfterValidator(_written_out)]
Count = Annotated[int, Field(ge=1)]
Cores = Annotated[int, Field(ge=1, le=1024)]  # of one machine: threads, processes
Side = Annotated[int, Field(ge=0, le=2**15)]  # px; the square has as many pixels as an image may have
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
LARGEST = 1e9  # beyond, what is computed in 32 bits overflows: no length, rate or weight is near
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
Scaling = Annotated[float, Field(ge=0.1, le=10)]  # a factor of lengths
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and torch take
Block = Annotated[int, Field(ge=1, le=4)]


class Section(BaseModel):
    """Unknown keys, missing keys and wrong types are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
