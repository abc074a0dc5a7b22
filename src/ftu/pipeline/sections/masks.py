"""From probabilities to masks: the rule, and how it is chosen."""

from typing import Annotated, Literal

from pydantic import Field

from ftu.pipeline.sections.fields import Count, NotNegative, Section, Seed


class Postprocess(Section):
    method: Literal["table", "otsu", "quantile"]
    smallest_object: NotNegative  # um2, 0: any
    largest_hole: NotNegative  # um2 that are filled, 0: none
    never_empty: Literal["off", "warn", "lower"]


class Calibrate(Section):
    enabled: bool
    metric: Literal["dice", "dice_shifted"]
    fewest: Count  # images of an organ and source, below which it keeps the table's threshold
    flat: NotNegative  # Dice by which a threshold may be worse than the best to count as equally good
    smallest_objects: Annotated[list[NotNegative], Field(min_length=1)]  # um2, to choose from
    largest_holes: Annotated[list[NotNegative], Field(min_length=1)]  # um2, to choose from
    choose_tta: bool
    choose_weights: bool
    bootstrap: Annotated[int, Field(ge=1, le=10**6)]  # draws
    seed: Seed
