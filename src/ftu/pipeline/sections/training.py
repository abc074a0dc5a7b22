"""The training of a network, and the augmentation of its images."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from ftu.pipeline.sections.fields import (
    Block,
    Cores,
    Count,
    InnerShare,
    NotNegative,
    PathText,
    Positive,
    Scaling,
    Section,
    Seed,
    Share,
    Text,
)
from ftu.pipeline.sections.networks import PRETRAINED, Model, MsTwins


class Scheduler(Section):
    kind: Literal["plateau", "cosine", "onecycle", "poly"]
    """How the learning rate changes."""
    min_lr: Positive
    """cosine, poly and onecycle: where it ends (onecycle: times `lr_decoder` for the decoder). plateau: below
    it the rate does not fall."""
    factor: Annotated[float, Field(gt=0, lt=1)]
    """plateau: the rate is multiplied by it when the main validation loss has not fallen by `threshold` for
    more than `patience` epochs."""
    patience: Annotated[int, Field(ge=0)]
    """plateau: epochs."""
    threshold: NotNegative
    """plateau: a share of the loss."""
    warmup: Annotated[float, Field(gt=0, lt=1)]
    """onecycle: the share of the steps in which the rate rises."""


class Optimizer(Section):
    kind: Literal["adamw", "adamw_fixed", "adam", "sgd"]
    """`adamw`: weights lose the learning rate times `weight_decay` of themselves in a step. `adamw_fixed`:
    `weight_decay`, whatever the rate, as with TensorFlow Addons. `adam` and `sgd`: the decay is part of the
    gradient."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """sgd: momentum."""


def check_rate(scheduler: Scheduler, lr: float, factor: float = 1.0) -> None:
    """Raise ValueError where the learning rate would end above `lr`, or `lr` times `factor`."""
    if scheduler.min_lr > lr * min(1, factor):
        raise ValueError(
            f"scheduler.min_lr {scheduler.min_lr:g} lies above lr {lr:g}, or above lr x lr_decoder; lower it"
        )


def check_decay(optimizer: Optimizer, weight_decay: float) -> None:
    """Raise ValueError where each step would take whole weights away, or turn them round."""
    if optimizer.kind == "adamw_fixed" and weight_decay >= 1:
        raise ValueError(
            f"weight_decay {weight_decay:g} with optimizer.kind adamw_fixed takes whole weights in a step; "
            "use less, 1e-5 perhaps, or kind adamw"
        )


class Loss(Section):
    """Terms of the main loss, of the full-resolution logits, and their weights; 0: the term is left out."""

    bce: NotNegative
    """Binary cross-entropy, the paper's loss."""
    dice: NotNegative
    """1 - soft Dice of each image."""
    focal: NotNegative
    """Focal loss, exponent 2."""
    lovasz: NotNegative
    """Lovasz hinge of each image."""

    @property
    def counts(self) -> bool:
        """Whether any term has a weight."""
        return any((self.bce, self.dice, self.focal, self.lovasz))


class Train(Section):
    """One model on all folds but one: [training.md](training.md)."""

    model: Model
    weights: Annotated[PathText, Field(min_length=1)]
    """The encoder's first weights: `none`, `imagenet` (families encoder_decoder and ms_twins), or the path of
    a file, which has to fit."""
    weights_parts: Literal["all", "mlp_only"]
    """What of them is taken. `mlp_only`: those of MLP layers, as in the third paper (family ms_twins); the
    rest begins at random."""
    seed: Seed
    """First weights, order of images, augmentation."""
    epochs: Annotated[int, Field(ge=2)]
    """Passes over the training images."""
    batch_size: Count
    """Images of one step of the optimiser, over all processes and rounds."""
    accumulate: Count
    """Rounds in which a step is computed: more take less memory."""
    valid_batch_size: Count
    """Images at a time in validation, in each process."""
    lr: Positive
    """Learning rate."""
    weight_decay: NotNegative
    """Weight decay."""
    decay_norms: bool
    """Weight decay also on norms and biases, as in the authors' code."""
    lr_decoder: Positive
    """Factor of the learning rate for what is not the encoder's."""
    optimizer: Optimizer
    scheduler: Scheduler
    freeze: list[Text]
    """Parts of the network that stay as they are, by their names in torch: `encoder.net.levels.0`. They take
    no dropout, and their running statistics do not move."""
    clip: NotNegative
    """Largest norm of the gradient; 0: any."""
    ema: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the weights' average over the steps, which then ships; 0: none."""
    early_stopping: Annotated[int, Field(ge=0)]
    """Epochs without a better Dice (or what `watch` says) after which training ends, counted from
    `switch_epoch` at the earliest; 0: never."""
    watch: Literal["dice", "loss", "solidity"]
    """What says which epoch is best, for `checkpoint` and `early_stopping`: the highest Dice of the held-out
    images, or their lowest main loss. `solidity`: of the test images, without their masks, objects as compact
    as those of the training masks ([adaptation.md](adaptation.md)); the scores of these are transductive."""
    loss: Loss
    organ_weights: dict[str, NotNegative]
    """`<organ>`: weight of the loss of its images; those not named count 1."""
    standardize: Literal["imagenet", "unit", "dataset"]
    """What makes pixels inputs. `imagenet`: mean and deviation that the encoder's weights were trained with
    (without weights, ImageNet's). `unit`: values from 0 to 1. `dataset`: those of this fold's training
    images."""
    crops: Annotated[int, Field(ge=1, le=10_000)]
    """Windows of an image in an epoch, where `resize.mode` is `microns`: as many as it holds, for large
    ones."""
    balance: Literal["none", "organ", "foreground"]
    """`none`: an epoch shows each image once. `organ`: as many draws, each organ as often as the others.
    `foreground`: where `resize.mode` is `microns`, every second window is laid over foreground."""
    aux_loss: Literal["none", "single", "switched", "cascade"]
    """The loss schedule. `single`: an auxiliary loss on the first of `aux_blocks`. `switched`: then on
    the second, from `switch_epoch` on. `cascade`: on each of four predictions, weighted by the errors of the
    coarser one (family ms_twins: [ms-twins.md](ms-twins.md)); every term of `loss` may then be 0."""
    aux_source: Literal["map", "serial"]
    """What of a block the auxiliary loss reads. `map`: the map that the decoder sees. `serial`: the end of
    its serial block, which differs for `coat_*` with parallel blocks; elsewhere the two are the same."""
    aux_blocks: Annotated[list[Block], Field(min_length=2, max_length=2)]
    """Encoder blocks, before and after the switch; 1 to 4 have strides 4, 8, 16, 32 (families unet and unetr:
    [models.md](models.md))."""
    aux_weight: NotNegative
    """Weight of the auxiliary loss beside the main one."""
    contrast_weight: Share
    """cascade: weight of the overlap of predictions of different classes; 0: none."""
    aux_target: Literal["exact", "area", "nearest"]
    """The mask at the stride of a block, or of a level of the cascade. `exact`: the pixel at the middle of
    each cell. `area`: the share of foreground. `nearest`: the top left pixel, as in the authors' code, which
    shifts it by half a cell."""
    switch_epoch: Count | InnerShare
    """The first epoch of the second phase, counted from 0; in 1 to `epochs` - 1. 0.5 is half of `epochs`."""
    restart_at_switch: bool
    """Begin the second phase with a new optimiser (no moments) and scheduler (from `lr`), for any loss."""
    checkpoint: Literal["last", "best", "best_after_switch"]
    """Which epoch ships: the last; or the best by the held-out images, of all or of the second phase, which
    flatters its score. All three are recorded."""
    device: Literal["cpu", "cuda"]
    """What training computes on."""
    precision: Literal["fp32", "bf16", "fp16"]
    """Of the computation; fp16 needs cuda. A cpu that has no bf16 computes in fp32, with a warning."""
    recompute: bool
    """Keep less of the encoder in memory, and compute it again on the way back: slower, the same weights."""
    compile: bool
    """Compile the network (torch.compile)."""
    processes: Cores
    """Processes, one for each GPU, over all machines."""
    threads: Cores
    """Threads of each process. Another number gives other bytes."""
    workers: Annotated[int, Field(ge=0, le=1024)]
    """Processes that load data, of each process; 0: it loads them itself."""
    cache: bool
    """Keep the images in memory."""

    @property
    def switch(self) -> int:
        """The first epoch of the second phase: of a share of the epochs, the whole ones, and 1 at least."""
        share = isinstance(self.switch_epoch, float)
        return max(1, int(self.switch_epoch * self.epochs)) if share else int(self.switch_epoch)

    @model_validator(mode="after")
    def _switch_is_inside(self) -> Self:
        if not 1 <= self.switch <= self.epochs - 1:
            raise ValueError(
                f"switch_epoch must lie in 1..epochs-1 = 1..{self.epochs - 1}, or be a share such as 0.5, "
                f"got {self.switch_epoch}"
            )
        check_rate(self.scheduler, self.lr, self.lr_decoder)
        check_decay(self.optimizer, self.weight_decay)
        if self.recompute and self.compile:
            raise ValueError("recompute and compile do not work together; set one of them to false")
        if self.precision == "fp16" and self.device == "cpu":
            raise ValueError("precision fp16 needs device cuda; use fp32 or bf16 on cpu")
        return self

    @model_validator(mode="after")
    def _weights_are_there(self) -> Self:
        if self.weights == "imagenet" and not isinstance(self.model, PRETRAINED):
            raise ValueError(
                f"weights imagenet: nobody trained {self.model.encoder} of family {self.model.family} on it; "
                "use none, or the path of a file"
            )
        if self.weights_parts == "mlp_only" and not isinstance(self.model, MsTwins):
            raise ValueError(
                f"weights_parts mlp_only is of model.family ms_twins, not {self.model.family}; use all"
            )
        if self.weights_parts == "mlp_only" and self.weights == "none":
            raise ValueError(
                "weights_parts mlp_only, and weights none has no parts; use all, or weights imagenet"
            )
        return self

    @model_validator(mode="after")
    def _a_loss_is_of_what_there_is(self) -> Self:
        cascade = self.aux_loss == "cascade"
        if cascade and not (isinstance(self.model, MsTwins) and self.model.cascade == "residual"):
            of = getattr(self.model, "cascade", None)
            raise ValueError(
                f"aux_loss cascade needs predictions at four levels, and model.family {self.model.family}"
                f"{f' with cascade {of}' if of else ''} has one; use none, single or switched, or "
                "family ms_twins with cascade residual"
            )
        if not cascade and not self.loss.counts:
            raise ValueError("loss: every term has weight 0: nothing would be learnt; give one a weight")
        return self

    @model_validator(mode="after")
    def _serial_ends_are_known(self) -> Self:
        name = self.model.encoder
        if self.aux_source == "serial" and name.startswith("tu-coat_"):
            raise ValueError(
                f"aux_source serial cannot see where the serial blocks of {name} end; use aux_source map, or "
                f"encoder {name.removeprefix('tu-')}"
            )
        return self

    @model_validator(mode="after")
    def _a_step_can_be_dealt(self) -> Self:
        if self.batch_size % (self.processes * self.accumulate):
            raise ValueError(
                f"batch_size {self.batch_size} cannot be dealt to {self.processes} processes in "
                f"{self.accumulate} rounds; use a multiple of processes x accumulate"
            )
        return self


Change = Literal[
    "crop", "flip", "rotate", "scale", "distort", "low_resolution", "contrast", "hue", "gamma", "noise",
    "blur",
]  # fmt: skip


RANGES = (
    "scale_window", "rotate_scale", "scale_range", "low_resolution_scale", "noise_std", "gamma_range",
    "blur_sigma",
)  # fmt: skip


class Augment(Section):
    """Random changes of training images."""

    order: list[Change]
    """In which order they are made: every one of them, once. `colour: multiplicative` makes its changes of
    colour at the end."""
    flip: Share
    """Probability of each: horizontal flip, vertical flip, transpose, quarter turns."""
    turns: bool
    """flip: also transpose and quarter turns, for images without an upper side."""
    crop: Share
    """Probability of a random crop."""
    crop_scale: Annotated[float, Field(gt=0, le=1)]
    """Smallest share of the area that a crop keeps."""
    scale_window: Annotated[list[Scaling], Field(min_length=2, max_length=2)]
    """Smallest and largest side of the window that is drawn where `resize.mode` is `microns`, in sides of the
    network's: log-uniform, and then brought to that. `[1, 1]`: one scale."""
    rotate: Share
    """Probability of rotation and scaling."""
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    """Largest angle to either side, in degrees."""
    rotate_scale: Annotated[list[Scaling], Field(min_length=2, max_length=2)]
    """Smallest and largest factor of scaling, one for both axes, drawn log-uniformly."""
    scale: Share
    """Probability of scaling alone."""
    scale_range: Annotated[list[Scaling], Field(min_length=2, max_length=2)]
    """Its smallest and largest factor, as of `rotate_scale`."""
    distort: Share
    """Probability of a distortion: elastic or of a grid, each as often."""
    low_resolution: Share
    """Probability of a loss of resolution: the image is shrunk, and enlarged again."""
    low_resolution_scale: Annotated[list[Scaling], Field(min_length=2, max_length=2)]
    """Smallest and largest factor by which it is shrunk, up to 1."""
    colour: Literal["multiplicative", "additive"]
    """`multiplicative`: colours times factors, as in the authors' code; black stays black. `additive`:
    amounts are added, and pale tissue is often clipped."""
    colour_picks: Annotated[int, Field(ge=0, le=16)]
    """multiplicative: picks, with replacement, out of nothing, noise, gain, and hue with saturation; 0:
    none."""
    contrast: Share
    """additive: probability of a change of brightness and contrast."""
    contrast_limit: Share
    """Largest change of the gain (additive: of brightness and contrast), as a share."""
    hue: Share
    """additive: probability of a change of hue, saturation and value."""
    hue_limit: Share
    """Largest change of hue and saturation, as a share of what they are (additive: of the full range, and of
    value, too)."""
    noise: Share
    """additive: probability of Gaussian noise."""
    noise_limit: Share
    """multiplicative: the noise is uniform in plus or minus this share of the full range, the same in the
    three channels of a pixel."""
    noise_std: Annotated[list[Share], Field(min_length=2, max_length=2)]
    """additive: smallest and largest standard deviation of the noise, as shares of the full range."""

    gamma: Share
    """Probability of raising values, as shares of the full range, to a power."""
    gamma_range: Annotated[list[Scaling], Field(min_length=2, max_length=2)]
    """Smallest and largest power; above 1 the image gets darker."""
    blur: Share
    """Probability of a Gaussian blur."""
    blur_sigma: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    """px: its smallest and largest standard deviation."""
    match: Share
    """Probability of giving an image the grey levels of `stain.target`, whose kind is `source`."""
    stain: Share
    """Probability of swapping the image's two dyes for those of PAS, H&E or DAB ([stain.md](stain.md))."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in RANGES:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], got [{low}, {high}]")
        if self.low_resolution_scale[1] > 1:
            raise ValueError(
                f"low_resolution_scale {self.low_resolution_scale} would enlarge; end it at 1 or below"
            )
        return self

    @model_validator(mode="after")
    def _every_change_has_its_place(self) -> Self:
        known = get_args(Change)
        if missing := [name for name in known if name not in self.order]:
            raise ValueError(f"order leaves out {', '.join(missing)}; name each of {', '.join(known)} once")
        if twice := sorted({name for name in self.order if self.order.count(name) > 1}):
            raise ValueError(f"order names {', '.join(twice)} twice; name each once")
        return self
