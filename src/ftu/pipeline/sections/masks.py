"""From probabilities to masks: the rule, and how it is chosen."""

from typing import Annotated, Literal

from pydantic import Field

from ftu.pipeline.sections.fields import Count, NotNegative, Section, Seed


class Postprocess(Section):
    """How a map of probabilities becomes a mask: [calibration.md](calibration.md)."""

    method: Literal["table", "otsu", "quantile", "argmax"]
    """Where an image's threshold comes from: `thresholds`; Otsu's, on its own map; the organ's share of
    foreground in the training masks. `argmax`, of several classes: none, each pixel is of the likeliest."""
    smallest_object: NotNegative | dict[str, NotNegative]
    """um2: smaller objects are dropped; 0: none. Of several classes one for all, or `<class>`: its own."""
    largest_hole: NotNegative | dict[str, NotNegative]
    """um2: holes up to this are filled; 0: none. Of several classes as `smallest_object`."""
    never_empty: Literal["off", "warn", "lower"]
    """What is done about an empty mask: nothing, a warning, or a lower threshold until it holds an object."""


class Calibrate(Section):
    """Rules chosen on out-of-fold predictions, and what that is worth: [calibration.md](calibration.md)."""

    enabled: bool
    """Choose the rules; otherwise those of `thresholds` and `postprocess` hold."""
    metric: Literal["dice", "dice_shifted"]
    """The score to choose by; `dice_shifted` needs `shift.enabled`."""
    fewest: Count
    """Images: an organ and source with fewer keeps the threshold of the table."""
    flat: NotNegative
    """Dice: how much worse than the best counts as equally good."""
    smallest_objects: Annotated[list[NotNegative], Field(min_length=1)]
    """um2: values of `postprocess.smallest_object` to choose from."""
    largest_holes: Annotated[list[NotNegative], Field(min_length=1)]
    """um2: values of `postprocess.largest_hole` to choose from."""
    choose_tta: bool
    """Choose the views, too, from `predict.tta` and `predict.candidates`."""
    choose_weights: bool
    """Choose the weights of the ensemble, too."""
    bootstrap: Annotated[int, Field(ge=1, le=10**6)]
    """Draws behind each interval."""
    seed: Seed
    """These draws."""


class Evaluate(Section):
    """Scores of the masks: [scores.md](scores.md)."""

    tolerance: NotNegative
    """um: how far an outline may lie off in surface Dice; 0: two pixels of the image."""
