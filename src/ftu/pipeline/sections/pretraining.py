"""What a network learns before its training: steps that may go without masks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ftu.pipeline.sections.fields import Count, NotNegative, Positive, Section, Share, Text
from ftu.pipeline.sections.training import Optimizer, Scheduler, check_decay, check_rate

Term = Literal["main", "reconstruct", "aux_1", "aux_2", "aux_3", "aux_4"]
Crops = Annotated[int, Field(ge=1, le=10_000)]


class Step(Section):
    """One step. What it does not say (seed, device, precision, threads) is as in train."""

    name: Annotated[Text, Field(min_length=1, max_length=60)]
    """What history and reports call it."""
    epochs: Count
    """Passes over its images."""
    batch_size: Count
    """Images of one step of the optimiser, over all processes."""
    crops: Crops
    """As train.crops."""
    use: Annotated[list[Literal["train", "test"]], Field(min_length=1)]
    """Whose images are shown: the fold's own training images (never those that it holds out), and with `test`
    those of the test set, without their masks. What comes of that is transductive, and says so."""
    corrupt: Literal[
        "none", "cutout", "noise", "salt_pepper", "low_resolution", "blur", "defocus", "motion_blur",
        "pixel_dropout",
    ]  # fmt: skip
    """What is done to an image after augmentation, before the network sees it."""
    match: Share
    """As augment.match, in its place; test images keep their levels."""
    terms: Annotated[dict[Term, NotNegative], Field(min_length=1)]
    """The loss: weights of `reconstruct`, the mean squared error against the image before it was corrupted
    (values from 0 to 1); of `main`, the terms of train.loss; of `aux_1` to `aux_4`. The last two are of
    images with masks: others count 0."""
    lr: Positive
    """Learning rate."""
    weight_decay: NotNegative
    """Weight decay."""
    optimizer: Optimizer
    scheduler: Scheduler
    patience: Annotated[int, Field(ge=0)]
    """Epochs without a lower training loss after which the step ends; 0: never."""
    freeze: list[Text]
    """As train.freeze."""

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        counted = {term for term, weight in self.terms.items() if weight}
        if not counted:
            raise ValueError("terms: every weight is 0: nothing would be learnt; give one a weight")
        if counted - {"reconstruct"} and "train" not in self.use:
            raise ValueError(
                f"terms.{min(counted - {'reconstruct'})} is of masks, and use: {self.use} has none; add "
                "train, or use reconstruct alone"
            )
        if self.corrupt != "none" and "reconstruct" not in counted:
            raise ValueError(
                f"corrupt {self.corrupt} without terms.reconstruct: nothing would be repaired; give it a "
                "weight, or use corrupt: none"
            )
        if self.match and "train" not in self.use:
            raise ValueError(
                f"match {self.match} is of training images, and use: {self.use} has none; add train, or "
                "set it to 0"
            )
        check_rate(self.scheduler, self.lr)
        check_decay(self.optimizer, self.weight_decay)
        return self


class Pretrain(Section):
    """Steps that end before the training of each fold begins: [pretraining.md](pretraining.md)."""

    reconstruct: Literal["head", "decoder"]
    """What gives images back. `head`: the network's own decoder, whose last layer is drawn anew for masks
    unless it fits. `decoder`: a second one without skips, which training leaves out (family unet)."""
    steps: list[Step]
    """In order, each with all keys below; `[]`: none."""

    @model_validator(mode="after")
    def _steps_go_together(self) -> Self:
        names = [step.name for step in self.steps]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"steps: {', '.join(twice)} stands there twice; give each its own name")
        for step in self.steps:
            masked = [term for term, weight in step.terms.items() if weight and term != "reconstruct"]
            if masked and self.reconstruct == "head":
                raise ValueError(
                    f"steps {step.name}: terms.{masked[0]} needs the head that pretrain.reconstruct: head "
                    "takes for images; use reconstruct: decoder, or leave the masks to train"
                )
        return self
