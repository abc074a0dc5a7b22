"""The network, its training, and the augmentation of its images."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ftu.pipeline.sections.fields import (
    Block,
    Cores,
    Count,
    NotNegative,
    Positive,
    Section,
    Seed,
    Share,
    Text,
)


class EncoderDecoder(Section):
    family: Literal["encoder_decoder"]
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # a name, not a place in a hub
    decoder: Literal["unet", "deeplabv3plus", "daformer"]
    width: Annotated[int, Field(ge=1, le=8192)]  # channels of the decoder's widest map
    fuse: Literal["conv1x1", "aspp"]  # how daformer joins its maps

    @model_validator(mode="after")
    def _decoder_can_read_the_encoder(self) -> Self:
        if self.encoder.startswith("coat_") and self.decoder != "daformer":
            raise ValueError(
                f"decoder {self.decoder} needs maps at strides 1 and 2, which {self.encoder} lacks; "
                "use daformer"
            )
        return self


class Family(Section):
    """The one key of `train.model` that says whose the others are."""

    model_config = ConfigDict(extra="ignore")

    family: Literal["encoder_decoder"]


FAMILIES = {"encoder_decoder": EncoderDecoder}


def _of_its_family(raw: object) -> Section:
    """What `raw` says, read by the class of its family alone: no error is of another family's keys."""
    return FAMILIES[Family.model_validate(raw).family].model_validate(raw)


# Another family is a class with keys of its own; Family names it, and it joins FAMILIES and (by |) this line.
Model = Annotated[EncoderDecoder, BeforeValidator(_of_its_family)]


class Scheduler(Section):
    kind: Literal["plateau", "cosine", "onecycle"]
    min_lr: Positive  # where every kind ends
    factor: Annotated[float, Field(gt=0, lt=1)]  # plateau
    patience: Annotated[int, Field(ge=0)]  # plateau: epochs
    threshold: NotNegative  # plateau
    warmup: Annotated[float, Field(gt=0, lt=1)]  # onecycle: share of the steps


class Train(Section):
    model: Model
    weights: Annotated[Text, Field(min_length=1)]  # none, imagenet, or a local file
    seed: Seed
    epochs: Annotated[int, Field(ge=2)]
    batch_size: Count  # images of one step, over all processes
    accumulate: Count  # rounds in which a step is computed
    valid_batch_size: Count  # images at a time, in each process
    lr: Positive
    weight_decay: NotNegative
    scheduler: Scheduler
    clip: NotNegative  # largest norm of the gradient, 0: any
    ema: Annotated[float, Field(ge=0, lt=1)]  # decay of the weights' average, 0: none
    early_stopping: Annotated[int, Field(ge=0)]  # epochs without a better Dice, 0: never
    aux_loss: Literal["none", "single", "switched"]
    aux_blocks: Annotated[list[Block], Field(min_length=2, max_length=2)]  # before, after the switch
    aux_weight: NotNegative
    switch_epoch: int  # the first epoch of the second phase, counted from 0
    checkpoint: Literal["best", "best_after_switch"]
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool
    processes: Cores
    threads: Cores  # of each process
    workers: Annotated[int, Field(ge=0, le=1024)]  # data loading processes, of each process
    cache: bool  # images in memory

    @model_validator(mode="after")
    def _switch_is_inside(self) -> Self:
        if not 1 <= self.switch_epoch <= self.epochs - 1:
            raise ValueError(
                f"switch_epoch must lie in 1..epochs-1 = 1..{self.epochs - 1}, got {self.switch_epoch}"
            )
        if self.scheduler.min_lr > self.lr:
            raise ValueError(
                f"scheduler.min_lr {self.scheduler.min_lr:g} lies above lr {self.lr:g}; lower it"
            )
        if self.precision == "fp16" and self.device == "cpu":
            raise ValueError("precision fp16 needs device cuda; use fp32 or bf16 on cpu")
        return self

    @model_validator(mode="after")
    def _a_step_can_be_dealt(self) -> Self:
        if self.batch_size % (self.processes * self.accumulate):
            raise ValueError(
                f"batch_size {self.batch_size} cannot be dealt to {self.processes} processes in "
                f"{self.accumulate} rounds; use a multiple of processes x accumulate"
            )
        return self


class Augment(Section):
    flip: Share  # probability of each of: horizontal flip, vertical flip, transpose, quarter turns
    crop: Share  # probability
    crop_scale: Annotated[float, Field(gt=0, le=1)]  # smallest area of a crop
    rotate: Share  # probability of rotation and scaling
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    rotate_scale: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    contrast: Share  # probability of brightness and contrast
    contrast_limit: Share
    hue: Share  # probability of hue, saturation and value
    hue_limit: Share  # of the full range
    noise: Share  # probability
    noise_std: Annotated[list[Share], Field(min_length=2, max_length=2)]
    elastic: Share  # probability
    grid: Share  # probability

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, (low, high) in {"rotate_scale": self.rotate_scale, "noise_std": self.noise_std}.items():
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], got [{low}, {high}]")
        return self
