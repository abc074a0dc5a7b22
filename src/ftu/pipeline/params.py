"""Every parameter, typed and frozen, without defaults: params.yaml is the one home of a value."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError, model_validator

from ftu.errors import InputError
from ftu.files import yamlfile
from ftu.files.limits import COARSEST_STRIDE
from ftu.pipeline import paths
from ftu.pipeline.sections.data import Data, Sample, Split
from ftu.pipeline.sections.fields import Cores, Section, Share, Text
from ftu.pipeline.sections.masks import Calibrate, Evaluate, Postprocess
from ftu.pipeline.sections.networks import families_with
from ftu.pipeline.sections.prediction import Ensemble, Predict
from ftu.pipeline.sections.preprocessing import Resize, Shift, Stain
from ftu.pipeline.sections.pretraining import Pretrain
from ftu.pipeline.sections.training import Augment, Train

SHOWN, TOLD = 200, 50  # characters of a wrong value; lines of errors
# DVC's run cache takes no notice of keys named size or nfiles (dvc issue 10296): another value ran nothing.
RENAMED = {
    "resize.size": "resize.side",
    "predict.window.size": "predict.window.side",
    "augment.elastic": "augment.distort",  # one of the two, at the probability given
    "augment.grid": "augment.distort",
    "postprocess.threshold": "postprocess.method",  # it named no number
    "split.group": "data.group",  # and split.by: group
}


class Compute(Section):
    """How the per-image stages run. Outputs are the same for any values, so no stage depends on them."""

    executor: Literal["process", "dask"]
    """Processes of this machine, or Dask (`uv sync --extra dask`): [scaling.md](scaling.md)."""
    workers: Cores
    """Processes."""
    scheduler: Text
    """dask: the address of a running cluster; `''`: one is started on this machine, for the stage alone."""


class Params(Section):
    data: Data
    sample: Sample
    compute: Compute
    resize: Resize
    stain: Stain
    shift: Shift
    split: Split
    pretrain: Pretrain
    train: Train
    augment: Augment
    predict: Predict
    ensemble: Ensemble
    postprocess: Postprocess
    calibrate: Calibrate
    evaluate: Evaluate
    thresholds: dict[str, dict[str, Share]]
    """`<source>.<organ>`: foreground is where the probability is above it. params.yaml has the paper's. Of
    several classes there are none: `{}`."""

    @model_validator(mode="after")
    def _every_organ_has_a_threshold(self) -> Self:
        if len(self.data.classes) > 1:
            return self
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
    def _the_sample_is_read_as_it_is_drawn(self) -> Self:
        layout = {"histology": "competition", "cells": "folders"}[self.sample.kind]
        if Path(self.data.root) == paths.SAMPLE and self.data.layout != layout:
            raise ValueError(
                f"data.layout {self.data.layout} does not read data/sample: sample.kind {self.sample.kind} "
                f"is drawn as {layout}; set data.layout: {layout}, or another sample.kind or data.root"
            )
        return self

    @model_validator(mode="after")
    def _what_folds_hold_is_known(self) -> Self:
        by, group = self.split.by, self.data.group
        if by == "group" and not group:
            raise ValueError("split.by group needs data.group, which says who belongs together")
        if by == "image" and group:
            raise ValueError(
                f"split.by image would put images of one group ({', '.join(group)}, of data.group) into "
                "several folds; use by group, or data.group: [] where images are independent"
            )
        if by == "image" and self.data.z:
            raise ValueError(
                "split.by image would put slices of one volume (data.z) into several folds; use by group "
                "with data.group, by z for blocks of slices, or data.z: '' where slices are independent"
            )
        if by == "z" and not self.data.z:
            raise ValueError("split.by z needs data.z, the number of a slice in its volume")
        return self

    @model_validator(mode="after")
    def _organs_are_known(self) -> Self:
        if unknown := sorted(set(self.train.organ_weights) - set(self.data.organs)):
            raise ValueError(f"train.organ_weights: {', '.join(unknown)} is not in data.organs; correct it")
        if not any(self.train.organ_weights.get(organ, 1.0) for organ in self.data.organs):
            raise ValueError("train.organ_weights: every organ has weight 0; nothing would be learnt")
        return self

    @model_validator(mode="after")
    def _one_class_has_thresholds_and_several_have_none(self) -> Self:
        count, method = len(self.data.classes), self.postprocess.method
        sizes = {name: getattr(self.postprocess, name) for name in ("smallest_object", "largest_hole")}
        if count == 1:
            if method == "argmax":
                raise ValueError("postprocess.method argmax is of several data.classes; use table")
            for name, size in sizes.items():
                if isinstance(size, dict):
                    raise ValueError(f"postprocess.{name} {size} names classes, and data.classes has one")
            return self
        refused = {
            f"postprocess.method {method}": method != "argmax" and "use argmax",
            "thresholds": bool(self.thresholds) and "set thresholds: {}",
            "calibrate.enabled": self.calibrate.enabled and "set it to false",
            "calibrate.metric dice_shifted": self.calibrate.metric != "dice" and "use dice",
            "postprocess.never_empty lower": self.postprocess.never_empty == "lower" and "use warn or off",
            "ensemble.mean logit": self.ensemble.mean == "logit" and "use probability",
            "shift.enabled": self.shift.enabled and "set it to false",
        }
        told = [
            f"{key} is of one class, and data.classes has {count}; {out}"
            for key, out in refused.items()
            if out
        ]
        for name, size in sizes.items():
            if isinstance(size, dict) and (odd := sorted(set(size) - set(self.data.classes))):
                told.append(f"postprocess.{name}: {', '.join(odd)} is not in data.classes")
        if told:
            raise ValueError("\n".join(told))
        return self

    @model_validator(mode="after")
    def _grey_has_no_stains(self) -> Self:
        if self.data.channels == 3:
            return self
        refused = {
            f"stain.backend {self.stain.backend}": self.stain.backend in ("exact", "staintools")
            and "use histogram, clahe or none",
            "augment.stain": self.augment.stain and "set it to 0",
            "augment.hue": self.augment.hue and "set it to 0",
            "shift.enabled": self.shift.enabled and "set it to false",
        }
        if told := [
            f"{key} is of colours, and data.channels is 1; {out}" for key, out in refused.items() if out
        ]:
            raise ValueError("\n".join(told))
        return self

    @model_validator(mode="after")
    def _a_mean_histogram_is_of_a_known_source(self) -> Self:
        target, backend = self.stain.target, self.stain.backend
        matched = {f"pretrain.steps.{place}": step.match for place, step in enumerate(self.pretrain.steps)}
        matched["augment"] = self.augment.match
        on = [f"{key}.match" for key, share in matched.items() if share]
        if on and backend == "clahe":
            raise ValueError(
                f"{on[0]} gives images levels as they are before clahe, and stain.backend clahe evens out "
                "those that are predicted; use backend none, or match: 0"
            )
        if target.kind != "source":
            if on:
                raise ValueError(
                    f"{on[0]} gives images the levels of stain.target, whose kind is {target.kind}; "
                    "use kind source, or match: 0"
                )
            return self
        if target.source not in self.data.sources:
            raise ValueError(
                f"stain.target.source {target.source!r} is not in data.sources {self.data.sources}"
            )
        if backend in ("exact", "staintools"):
            raise ValueError(
                f"stain.target.kind source is a histogram, and stain.backend {backend} wants stains; use "
                "backend histogram, or another kind"
            )
        return self

    @model_validator(mode="after")
    def _windows_are_drawn(self) -> Self:
        if self.resize.mode == "microns":
            return self
        if self.train.balance == "foreground":
            raise ValueError(
                "train.balance foreground lays windows over masks, and resize.mode fixed shows whole images; "
                "use mode microns, or balance organ or none"
            )
        if self.train.crops > 1:
            raise ValueError(
                f"train.crops {self.train.crops} draws windows of an image, and resize.mode fixed shows "
                "whole images; use mode microns, or crops: 1"
            )
        if self.augment.scale_window != [1, 1]:
            raise ValueError(
                f"augment.scale_window {self.augment.scale_window} needs resize.mode microns; with fixed use "
                "[1, 1], and augment.crop or rotate_scale"
            )
        return self

    @model_validator(mode="after")
    def _steps_fit_the_network_and_its_images(self) -> Self:
        family = self.train.model.family
        if self.pretrain.reconstruct == "decoder" and family != "unet":
            raise ValueError(
                f"pretrain.reconstruct decoder: family {family} has no decoder for images; use reconstruct: "
                "head, or train.model.family unet"
            )
        for number, step in enumerate(self.pretrain.steps):
            key = f"pretrain.steps.{number} ({step.name})"
            if step.batch_size % self.train.processes:
                raise ValueError(
                    f"{key}: batch_size {step.batch_size} cannot be dealt to train.processes "
                    f"{self.train.processes}; use a multiple"
                )
            if step.crops > 1 and self.resize.mode != "microns":
                raise ValueError(
                    f"{key}: crops {step.crops} draws windows of an image, and resize.mode fixed shows whole "
                    "images; use mode microns, or crops: 1"
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
    def _what_is_chosen_is_scored_on_other_folds(self) -> Self:
        if self.calibrate.enabled and len(self.split.run) < 2:
            raise ValueError(
                f"calibrate.enabled: split.run is {self.split.run}, but what is chosen on some folds is "
                "scored on another: run at least two, or set calibrate.enabled: false"
            )
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

    @model_validator(mode="after")
    def _a_transformer_of_one_size_gets_it(self) -> Self:
        encoder, side, window = self.train.model.encoder, self.resize.side, self.predict.window.side
        if self.train.model.family != "unetr":
            return self
        if window and window + -window % COARSEST_STRIDE != side + -side % COARSEST_STRIDE:
            raise ValueError(
                f"predict.window.side {window}: {encoder} is built for resize.side {side} px and takes no "
                "others; use 0"
            )
        views = [self.predict.tta, *self.predict.candidates]
        if scaled := [name for name in views if name.endswith("_scales")]:
            raise ValueError(
                f"predict: {scaled[0]} resizes windows, but {encoder} is built for {side} px; use "
                f"{scaled[0].removesuffix('_scales')}"
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
        raise InputError(f"{path}: " + "\n".join([*lines, "See docs/parameters.md."])) from error


def _key(detail: dict) -> str:
    return ".".join(str(part)[:SHOWN] for part in detail["loc"])


def _describe(key: str, detail: dict) -> str:
    """One line of a pydantic error: the dotted key, what is wrong, and the value found."""
    if key in RENAMED:
        return f"{key} is now {RENAMED[key]}: rename it"
    message = detail["msg"].removeprefix("Value error, ")
    found = "" if detail["type"] in ("missing", "value_error") else f", got {_short(detail['input'])}"
    if detail["type"] == "string_type" and not isinstance(detail["input"], list | dict):
        found += "; put it in quotes, as it is no text in YAML without"
    if detail["type"] == "literal_error":
        near = get_close_matches(str(detail["input"]), re.findall(r"'([^']+)'", message), n=1)
        found += f"; did you mean {near[0]}?" if near else ""
    if detail["type"] == "extra_forbidden" and (families := families_with(key)):
        found += f"; it is of train.model.family {' and '.join(families)}"
    return f"{key}: {message}{found}" if key else f"{message}{found}"


def _short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
