"""Every parameter, typed and frozen, without defaults: params.yaml is the one home of a value."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ftu.errors import InputError
from ftu.files import yamlfile
from ftu.files.limits import COARSEST_STRIDE


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
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and torch take
Block = Annotated[int, Field(ge=1, le=4)]

SHOWN, TOLD = 200, 50  # characters of a wrong value; lines of errors
# DVC's run cache takes no notice of keys named size or nfiles (dvc issue 10296): another value ran nothing.
RENAMED = {"resize.size": "resize.side", "predict.window.size": "predict.window.side"}


class Section(BaseModel):
    """Unknown keys, missing keys and wrong types are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Section):
    root: Annotated[Text, Field(min_length=1)]  # folder in the competition's layout
    organs: Annotated[list[Text], Field(min_length=1)]
    sources: Annotated[list[Text], Field(min_length=1)]


class Sample(Section):
    seed: Seed
    train: Annotated[int, Field(ge=1, le=10_000)]  # images
    test: Annotated[int, Field(ge=1, le=10_000)]  # images


class Compute(Section):
    """How the per-image stages run: outputs are the same for any values, so no stage depends on them."""

    executor: Literal["process", "dask"]
    workers: Cores  # processes
    scheduler: Text  # dask: the address of a running cluster; '': one on this machine, for the stage alone


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


class Split(Section):
    count: Annotated[int, Field(ge=2, le=1000)]  # folds that are dealt
    run: Annotated[list[int], Field(min_length=1)]  # folds that are trained
    seed: Seed

    @model_validator(mode="after")
    def _run_is_dealt(self) -> Self:
        if len(set(self.run)) != len(self.run) or not set(self.run) <= set(range(self.count)):
            raise ValueError(f"run must name different folds among 0..{self.count - 1}, got {self.run}")
        return self


class Model(Section):
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


Views = Literal["none", "flips", "d4", "flips_scales", "d4_scales"]


Scale = Annotated[float, Field(ge=0.25, le=4)]  # beyond, the network is shown nothing that it knows


class Window(Section):
    side: Side  # px, 0: that of the square that the network was trained on
    overlap: Annotated[float, Field(ge=0, lt=1)]  # share of the window
    blend: Literal["smooth", "centre"]

    @model_validator(mode="after")
    def _no_smaller_than_the_network_takes(self) -> Self:
        if self.side and self.side < COARSEST_STRIDE:
            raise ValueError(f"side must be 0 or at least {COARSEST_STRIDE}, got {self.side}")
        return self


class Predict(Section):
    tta: Views
    scales: Annotated[list[Scale], Field(min_length=1)]  # of the sets named *_scales
    candidates: list[Views]  # further sets, for calibrate to choose from
    window: Window
    batch_size: Count  # windows and views at a time
    device: Literal["cpu", "cuda"]
    threads: Cores


class Member(Section):
    name: Annotated[Text, Field(min_length=1)]  # a DVC experiment, or the folder of a project
    weight: Positive


class Ensemble(Section):
    own: NotNegative  # the weight of this project's own models
    mean: Literal["probability", "logit"]
    members: list[Member]

    @property
    def others(self) -> dict[str, float]:
        """The weight of each member, by its name."""
        return {member.name: member.weight for member in self.members}

    @model_validator(mode="after")
    def _somebody_counts(self) -> Self:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError(f"members must have different names, got {names}")
        if not self.own and not self.members:
            raise ValueError("own is 0 and there are no members: nobody would predict; give one a weight")
        return self


class Postprocess(Section):
    threshold: Literal["table", "otsu", "quantile"]
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


class Params(Section):
    data: Data
    sample: Sample
    compute: Compute
    resize: Resize
    stain: Stain
    shift: Shift
    split: Split
    train: Train
    augment: Augment
    predict: Predict
    ensemble: Ensemble
    postprocess: Postprocess
    calibrate: Calibrate
    thresholds: dict[str, dict[str, Share]]  # data_source -> organ -> probability

    @model_validator(mode="after")
    def _every_organ_has_a_threshold(self) -> Self:
        for source in self.data.sources:
            missing = set(self.data.organs) - set(self.thresholds.get(source, {}))
            if missing:
                raise ValueError(
                    f"thresholds.{source} has no value for {', '.join(sorted(missing))}, "
                    "which data.organs and data.sources name"
                )
        for source, organs in self.thresholds.items():
            unknown = {source} - set(self.data.sources) or set(organs) - set(self.data.organs)
            if unknown:
                raise ValueError(
                    f"thresholds.{source}: {', '.join(sorted(unknown))} is not in data.organs or data.sources"
                )
        return self

    @model_validator(mode="after")
    def _a_shift_can_be_made(self) -> Self:
        if not self.shift.enabled:
            if self.calibrate.enabled and self.calibrate.metric == "dice_shifted":
                raise ValueError("calibrate.metric dice_shifted needs shift.enabled: true")
            return self
        if self.shift.source not in self.data.sources:
            raise ValueError(f"shift.source {self.shift.source!r} is not in data.sources {self.data.sources}")
        if missing := sorted(set(self.data.organs) - set(self.shift.pixel_size)):
            raise ValueError(f"shift.pixel_size has no value for {', '.join(missing)}; add it")
        return self

    @model_validator(mode="after")
    def _a_window_fits_the_image(self) -> Self:
        if self.resize.mode == "fixed" and self.predict.window.side > self.resize.side:
            raise ValueError(
                f"predict.window.side {self.predict.window.side} is larger than the image, which resize.side "
                f"makes {self.resize.side} px; use a smaller window, or 0"
            )
        return self

    @model_validator(mode="after")
    def _windows_can_be_laid(self) -> Self:
        window, side = self.predict.window, self.predict.window.side or self.resize.side
        if window.blend == "smooth" and int(side * (1 - window.overlap)) < 1:
            raise ValueError(
                f"predict.window.overlap {window.overlap} leaves no step between windows of {side} px; "
                "use less"
            )
        if window.blend == "centre" and side % 4:
            raise ValueError(
                f"predict.window: blend centre keeps two quarters of a window, and {side} px have none; "
                f"use {side // 4 * 4} px, or blend smooth"
            )
        return self


def load_params(path: Path) -> Params:
    """All parameters of the file at `path`, checked whole.

    Raises InputError with a line for each unknown, missing or wrong key.
    """
    raw = yamlfile.read(path, "run from the project's folder")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        details = {_key(detail): detail for detail in map(dict, error.errors())}
        for old in RENAMED.keys() & details:
            details.pop(RENAMED[old], None)  # missed under its new name
        lines = [_describe(key, detail) for key, detail in details.items()]
        if len(lines) > TOLD:
            lines[TOLD:] = [f"... {len(lines) - TOLD} more"]
        raise InputError(
            f"{path}: " + "\n".join([*lines, "See the table of parameters in README.md."])
        ) from error


def _key(detail: dict) -> str:
    return ".".join(str(part)[:SHOWN] for part in detail["loc"])


def _describe(key: str, detail: dict) -> str:
    """One line of a pydantic error: the dotted key, what is wrong, and the value found."""
    if key in RENAMED:
        return f"{key} is now {RENAMED[key]}: rename it"
    message = detail["msg"].removeprefix("Value error, ")
    found = "" if detail["type"] in ("missing", "value_error") else f", got {_short(detail['input'])}"
    return f"{key}: {message}{found}" if key else f"{message}{found}"


def _short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
