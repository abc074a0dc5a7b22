"""params.yaml: the committed files are valid, and each kind of mistake is named with file, key and value."""

import copy
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from ftu.errors import InputError
from ftu.pipeline.params import RENAMED, Params, load_params
from ftu.pipeline.sections.data import Sample
from ftu.pipeline.sections.fields import Section
from ftu.pipeline.sections.networks import (
    FAMILIES,
    EncoderDecoder,
    Family,
    Model,
    MsTwins,
    Unet,
    Unetr,
)
from ftu.pipeline.sections.prediction import Predict
from ftu.pipeline.sections.preprocessing import Stain, StainTarget
from ftu.pipeline.sections.pretraining import Step
from ftu.pipeline.sections.training import Optimizer
from ftu.pipeline.sections.training import Train as TrainParams
from imports import ROOT
from undisturbed import STEP

PROFILES = [*(ROOT / "profiles").glob("*.yaml"), *(ROOT / "benchmarks").rglob("params*.yaml")]


def read(path: Path) -> dict[str, Any]:
    return copy.deepcopy(parsed(path.read_text(encoding="utf-8")))


@cache
def parsed(text: str) -> dict[str, Any]:
    """Once for all tests that change a value of the same file: it takes as long as the rest of them."""
    return YAML(typ="safe").load(text)


EPOCHS = read(ROOT / "params.yaml")["train"]["epochs"]
ORDER = read(ROOT / "params.yaml")["augment"]["order"]


def keys(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


def changed(folder: Path, key: str, value: object, path: Path = ROOT / "params.yaml") -> Path:
    """The file with one value changed; None takes the key out."""
    params = read(path)
    *parents, last = key.split(".")
    section = params
    for name in parents:
        section = section[name]
    if value is None:
        del section[last]
    else:
        section[last] = value
    YAML(typ="safe").dump(params, folder / "params.yaml")
    return folder / "params.yaml"


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        load_params(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def fixed(path: Path) -> dict[str, Any]:
    """The parameters without those by organ and source, and by family of networks."""
    params = read(path)
    del params["shift"]["pixel_size"], params["thresholds"], params["train"]["model"]
    return params


# ------------------------------------------------------------------ the committed files


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_a_committed_file_is_valid_and_has_the_keys_of_params_yaml(path):
    """But for those that are names of the data set's own: of organs and sources."""
    load_params(path)
    assert list(keys(fixed(path))) == list(keys(fixed(ROOT / "params.yaml")))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_what_stages_are_given_is_what_the_file_says(path):
    """DVC follows the file's values alone: no stage depends on the code that reads them."""
    assert load_params(path).model_dump() == read(path)


def test_there_is_no_default_outside_params_yaml():
    def sections(model: type[Section]) -> Iterator[type[Section]]:
        yield model
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                yield from sections(field.annotation)

    for section in sections(Params):
        for name, field in section.model_fields.items():
            assert field.is_required(), f"{section.__name__}.{name}"


def test_parameters_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_params(ROOT / "params.yaml").train.epochs = 5  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("section", "field", "module", "table", "others"),
    [
        (Predict, "tta", "prediction.views", "VIEWS", set()),
        (EncoderDecoder, "decoder", "networks.encoder_decoder.segmenter", "DECODERS", set()),
        (EncoderDecoder, "fuse", "networks.encoder_decoder.daformer", "FUSES", set()),
        (Unet, "encoder", "networks.unet.segmenter", "ENCODERS", set()),
        (Unet, "decoder", "networks.unet.segmenter", "DECODERS", set()),
        (Unet, "fuse", "networks.unet.decoders", "WEIGHED", set()),
        (Unetr, "encoder", "networks.unetr.segmenter", "ENCODERS", set()),
        (Unetr, "decoder", "networks.unetr.segmenter", "DECODERS", set()),
        (MsTwins, "encoder", "networks.ms_twins.twins", "ENCODERS", set()),
        (MsTwins, "decoder", "networks.ms_twins.segmenter", "DECODERS", set()),
        (MsTwins, "fuse", "networks.ms_twins.segmenter", "FUSED", set()),
        (MsTwins, "cascade", "networks.ms_twins.segmenter", "LEVELS", set()),
        (Unet, "norm", "networks.common.convolutions", "NORMS", set()),
        (Unet, "activation", "networks.common.convolutions", "ACTIVATIONS", set()),
        (Unet, "dropout", "networks.common.convolutions", "DROPOUTS", set()),
        (Unet, "init", "networks.common.convolutions", "INITS", set()),
        (Optimizer, "kind", "training.optimizer", "OPTIMIZERS", set()),
        (Step, "corrupt", "training.pretraining.corruptions", "CORRUPTIONS", {"none"}),
        (TrainParams, "checkpoint", "training.checkpoints", "CHOICES", set()),
        (Sample, "kind", "datasets.sample", "SAMPLES", set()),
        (Stain, "backend", "preprocessing.normalization", "BACKENDS", {"none"}),
    ],
)
def test_a_choice_names_what_the_library_offers(section, field, module, table, others):
    offered = set(getattr(import_module(f"ftu.{module}"), table)) | others
    assert set(get_args(section.model_fields[field].annotation)) == offered


def test_a_family_of_networks_is_a_class_of_its_name():
    assert FAMILIES.keys() == set(get_args(Family.model_fields["family"].annotation))
    for name, section in FAMILIES.items():
        assert get_args(section.model_fields["family"].annotation) == (name,)
    read_as = get_args(Model)[0]
    assert set(FAMILIES.values()) == set(get_args(read_as) or [read_as])


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize("key", ["train.augmentation", "trian", "stain.target.id", "thresholds_"])
def test_an_unknown_key_is_named_with_its_value(tmp_path, key):
    refused(changed(tmp_path, key, 7), f"{key}: Extra inputs are not permitted, got 7", "docs/parameters.md")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_told_the_new_one_in_one_line(tmp_path, old, new):
    path = changed(tmp_path, old, 64, changed(tmp_path, new, None))
    refused(path, f"{path}: {old} is now {new}: rename it\nSee docs/parameters.md.")
    assert new in keys(read(ROOT / "params.yaml"))


NAMED = ("thresholds.", "shift.pixel_size.")  # keys that the data set names


@pytest.mark.parametrize(
    "key", [key for key in keys(read(ROOT / "params.yaml")) if not key.startswith(NAMED)]
)
def test_a_missing_key_is_named(tmp_path, key):
    refused(changed(tmp_path, key, None), f"{key}: Field required")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", "120"),
        ("train.epochs", 12.0),
        ("train.epochs", True),
        ("train.lr", "1e-5"),
        ("resize.side", [768]),
        ("split.run", 0),
        ("data.organs", "kidney"),
        ("predict", "flips"),
        ("thresholds.HPA.lung", "0.1"),
    ],
)
def test_a_wrong_type_is_named_with_the_value_and_nothing_is_converted(tmp_path, key, value):
    refused(changed(tmp_path, key, value), f"{key}: Input should be", f"got {value!r}")


def test_an_id_is_text_because_zeros_in_front_count(tmp_path):
    refused(
        changed(tmp_path, "stain.target.ids", ["00012", 12]), "stain.target.ids.1", "valid string, got 12"
    )


@pytest.mark.parametrize(
    ("key", "value", "options"),
    [
        ("train.aux_loss", "swiched", "'none', 'single', 'switched' or 'cascade'"),
        ("train.model.decoder", "unet++", "'unet', 'deeplabv3plus' or 'daformer'"),
        ("predict.tta", "d8", "'none', 'flips', 'd4', 'flips_scales' or 'd4_scales'"),
        ("stain.backend", "Exact", "'exact', 'staintools', 'histogram', 'clahe' or 'none'"),
        ("train.device", "gpu", "'cpu' or 'cuda'"),
    ],
)
def test_a_misspelt_choice_is_named_with_the_options(tmp_path, key, value, options):
    refused(changed(tmp_path, key, value), f"{key}: Input should be {options}, got {value!r}")


def test_a_misspelt_choice_is_told_the_nearest(tmp_path):
    refused(changed(tmp_path, "train.aux_loss", "swiched"), "got 'swiched'; did you mean switched?")
    path = changed(tmp_path, "pretrain.steps", [STEP | {"corrupt": "cutuot", "terms": {"reconstrct": 1.0}}])
    refused(path, "'cutuot'; did you mean cutout?", "'reconstrct'; did you mean reconstruct?")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", 0),
        ("train.lr", float("nan")),
        ("train.weight_decay", -0.1),
        ("train.aux_blocks", [0, 1]),
        ("train.aux_blocks", [2, 5]),
        ("train.aux_blocks", [2]),
        ("augment.flip", 1.1),
        ("compute.workers", 0),
        ("split.count", 1),
        ("resize.side", 31),
        ("sample.seed", -1),
        ("stain.most_gain", 0.9),
        ("data.organs", []),
        ("thresholds.HPA.lung", 1.5),
    ],
)
def test_a_value_out_of_range_is_named(tmp_path, key, value):
    refused(changed(tmp_path, key, value), key, "got ")


@pytest.mark.parametrize("key", ["train.lr", "train.aux_weight", "train.weight_decay"])
@pytest.mark.parametrize("text", [".inf", ".nan"])
def test_a_number_must_be_finite(tmp_path, key, text):
    path = changed(tmp_path, key, 0.125)
    path.write_text(path.read_text().replace(f"{key.split('.')[1]}: 0.125", f"{key.split('.')[1]}: {text}"))
    refused(path, f"{key}: Input should be a finite number, got {text[1:]}")


@pytest.mark.parametrize("past", [0, 1])
def test_the_switch_lies_inside_the_training(tmp_path, past):
    path = changed(tmp_path, "train.switch_epoch", EPOCHS + past)
    refused(path, "train: switch_epoch", f"1..{EPOCHS - 1}", f"got {EPOCHS + past}")


@pytest.mark.parametrize("value", [-1, 0, 0.0, 1.0, 1.5, "half", True])
def test_the_switch_is_an_epoch_after_the_first_or_a_share(tmp_path, value):
    with pytest.raises(InputError, match=r"train\.switch_epoch"):
        load_params(changed(tmp_path, "train.switch_epoch", value))


@pytest.mark.parametrize(
    ("share", "epochs", "first"),
    [(0.5, 120, 60), (0.5, 4, 2), (0.5, 5, 2), (0.5, 2, 1), (0.25, 3, 1), (0.9, 10, 9)],
)
def test_a_share_of_the_epochs_moves_with_them(tmp_path, share, epochs, first):
    path = changed(tmp_path, "train.switch_epoch", share)
    settings = load_params(path).train.model_copy(update={"epochs": epochs})
    assert settings.switch == first
    assert type(settings)(**settings.model_dump()).switch == first  # and it is allowed


@pytest.mark.parametrize("value", [1, EPOCHS - 1])
def test_the_switch_may_lie_at_either_end(tmp_path, value):
    assert load_params(changed(tmp_path, "train.switch_epoch", value)).train.switch_epoch == value


@pytest.mark.parametrize("value", [[5], [-1], [0, 0]])
def test_a_fold_that_is_not_dealt_cannot_run(tmp_path, value):
    refused(changed(tmp_path, "split.run", value), "split: run", "0..4", f"got {value}")


def test_a_subset_of_folds_may_run(tmp_path):
    assert load_params(changed(tmp_path, "split.run", [3, 1])).split.run == [3, 1]


@pytest.mark.parametrize("key", ["thresholds.HPA.lung", "thresholds.Hubmap"])
def test_an_organ_or_source_without_a_threshold_is_named(tmp_path, key):
    _, source, *_ = key.split(".")
    refused(changed(tmp_path, key, None), f"thresholds.{source}", "lung", "data.organs")


@pytest.mark.parametrize("key", ["HPA.lungs", "GTEX"])
def test_a_threshold_for_what_data_does_not_name_is_refused(tmp_path, key):
    value = 0.5 if "." in key else {}
    refused(changed(tmp_path, f"thresholds.{key}", value), key.split(".")[-1], "not in data.organs")


def test_serial_ends_are_those_of_our_own_coat(tmp_path):
    path = changed(tmp_path, "train.aux_source", "serial")
    path = changed(tmp_path, "train.model.encoder", "tu-coat_tiny", path)
    refused(path, "train: aux_source serial", "tu-coat_tiny", "aux_source map, or encoder coat_tiny")


def test_the_unet_cannot_read_coat(tmp_path):
    path = changed(tmp_path, "train.model.encoder", "coat_tiny")
    path = changed(tmp_path, "train.model.decoder", "unet", path)
    refused(path, "train.model: decoder unet", "coat_tiny", "use daformer")


@pytest.mark.parametrize(
    ("kind", "ids", "file", "message"),
    [
        ("image", [], "", "exactly one id in ids, got []"),
        ("image", ["1", "2"], "", "exactly one id in ids, got ['1', '2']"),
        ("mosaic", [], "", "at least one id in ids, got []"),
        ("file", [], "", "the path of an image in file, got ''"),
    ],
)
def test_a_stain_target_lacks_what_its_kind_needs(tmp_path, kind, ids, file, message):
    target = read(ROOT / "params.yaml")["stain"]["target"] | {"kind": kind, "ids": ids, "file": file}
    refused(changed(tmp_path, "stain.target", target), "stain.target", f"kind {kind} needs", message)
    with pytest.raises(ValueError, match=f"kind {kind} needs"):
        StainTarget(**target)


@pytest.mark.parametrize(("kind", "works"), [("adamw_fixed", False), ("adamw", True)])
def test_a_decay_leaves_something_of_a_weight(tmp_path, kind, works):
    path = changed(tmp_path, "train.optimizer.kind", kind)
    for decay in (0.999, 1.0, 2.0):
        path = changed(tmp_path, "train.weight_decay", decay, path)
        if works or decay < 1:
            load_params(path)
        else:
            refused(
                path, f"train: weight_decay {decay:g} with optimizer.kind adamw_fixed takes whole weights"
            )


def test_half_precision_needs_a_gpu(tmp_path):
    for section in ("train", "predict"):
        path = changed(tmp_path, f"{section}.precision", "fp16")
        refused(path, f"{section}: precision fp16 needs device cuda")


def test_an_unknown_family_is_one_mistake_whatever_its_keys(tmp_path):
    path = changed(tmp_path, "train.model", {"family": "forest", "trees": 100})
    *others, last = map(repr, FAMILIES)
    known = f"{', '.join(others)} or {last}"
    refused(path, f"{path}: train.model.family: Input should be {known}, got 'forest'\nSee docs/")


ELSEWHERE = {"norm": "batch", "activation": "elu", "dropout": "none", "init": "he"}


@pytest.mark.parametrize(("key", "value"), ELSEWHERE.items())
def test_a_key_of_another_family_is_refused_with_its_families(tmp_path, key, value):
    path = changed(tmp_path, f"train.model.{key}", value)
    refused(path, f"train.model.{key}: Extra", f"{value!r}; it is of train.model.family unet and unetr")


UNETR = {"family": "unetr", "encoder": "vit-mini", "decoder": "unetr", "width": 8}
UNETR |= {"norm": "batch", "activation": "relu", "dropout": "none", "init": "he"}


@pytest.mark.parametrize(("decoder", "encoder", "way_out"), [
    ("unetr", "yvit-small", "vit-small"), ("ynetr", "vit-base", "yvit-base"),
])  # fmt: skip
def test_a_decoder_reads_its_own_transformer(tmp_path, decoder, encoder, way_out):
    path = changed(tmp_path, "train.model", UNETR | {"decoder": decoder, "encoder": encoder})
    refused(path, "train.model: decoder", f"{decoder} does not read {encoder}; use encoder {way_out}")


@pytest.mark.parametrize(("window", "works"), [(0, True), (128, True), (100, True), (64, False), (96, False)])
def test_a_transformer_of_one_size_gets_no_other_windows(tmp_path, window, works):
    """It is built for a multiple of 32 px, and what is smaller is padded."""
    path = changed(tmp_path, "train.model", UNETR)
    path = changed(tmp_path, "resize.side", 128, path)
    path = changed(tmp_path, "predict.window.side", window, path)
    if works:
        load_params(path)
    else:
        refused(path, f"predict.window.side {window}: vit-mini is built for resize.side 128 px", "use 0")


@pytest.mark.parametrize(("key", "value"), [("tta", "flips_scales"), ("candidates", ["d4", "flips_scales"])])
def test_a_transformer_of_one_size_gets_no_resized_windows(tmp_path, key, value):
    path = changed(tmp_path, "train.model", UNETR)
    path = changed(tmp_path, f"predict.{key}", value, path)
    refused(path, "predict: flips_scales resizes windows, but vit-mini is built for 128 px; use flips")


def test_nobody_has_imagenet_weights_of_the_second_papers_networks(tmp_path):
    path = changed(tmp_path, "train.model", UNETR)
    path = changed(tmp_path, "train.weights", "imagenet", path)
    refused(path, "train: weights imagenet", "vit-mini of family unetr", "use none, or the path")
    load_params(changed(tmp_path, "train.weights", "none", path))


TWINS = {"family": "ms_twins", "encoder": "tu-twins_svt_small", "decoder": "mstwins"}
TWINS |= {"fuse": "ms_fif", "cascade": "residual", "drop_path": 0.0}
CASCADE = {"train.model": TWINS, "train.aux_loss": "cascade"}
NO_LOSS = {f"train.loss.{term}": 0.0 for term in ("bce", "dice", "focal", "lovasz")}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (CASCADE | NO_LOSS, ""),
        (CASCADE | {"train.weights": "imagenet", "train.weights_parts": "mlp_only"}, ""),
        (CASCADE | {"train.weights": "twins.pth", "train.weights_parts": "mlp_only"}, ""),
        ({"train.model": TWINS | {"cascade": "none"}, "train.aux_loss": "single"}, ""),
        ({"train.aux_loss": "cascade"}, "model.family encoder_decoder has one; use none, single or switched"),
        (CASCADE | {"train.model": TWINS | {"cascade": "none"}}, "ms_twins with cascade none has one"),
        (CASCADE | {"train.aux_loss": "none"} | NO_LOSS, "train: loss: every term has weight 0"),
        (CASCADE | {"train.weights_parts": "mlp_only"}, "weights none has no parts; use all"),
        ({"train.weights": "imagenet", "train.weights_parts": "mlp_only"}, "of model.family ms_twins, not"),
        (
            CASCADE | {"train.contrast_weight": 1.5},
            "train.contrast_weight: Input should be less than or equal",
        ),
        (CASCADE | {"train.model": TWINS | {"width": 8}}, "train.model.width: Extra"),
    ],
    ids=str,
)
def test_a_cascade_is_of_the_network_that_has_one(tmp_path, changes, said):
    path = ROOT / "params.yaml"
    for key, value in changes.items():
        path = changed(tmp_path, key, value, path)
    refused(path, said) if said else load_params(path)


def test_every_mistake_is_told_at_once(tmp_path):
    path = changed(tmp_path, "train.aux_loss", "both")
    path.write_text(path.read_text().replace("epochs:", "epoch:"))
    refused(path, "train.aux_loss", "'both'", "train.epochs: Field required", "train.epoch: Extra")


# ------------------------------------------------------------------ the file itself


@pytest.mark.parametrize("text", ["1e-05", "1e-5", "1.0e-05", "0.00001", "1E-5"])
def test_a_rate_may_be_written_as_dvc_writes_it(tmp_path, text):
    path = changed(tmp_path, "train.lr", 0.125)
    path.write_text(path.read_text().replace("lr: 0.125", f"lr: {text}"))
    assert load_params(path).train.lr == 1e-5


@pytest.mark.parametrize(
    "content", ["data: [1, 2\n", "data:\n\troot: x\n", "a: 1\na: 2\n", "data: 'x\n", "a: b: c\n"]
)
def test_what_is_not_yaml_is_refused_with_the_line(tmp_path, content):
    (tmp_path / "params.yaml").write_text(content)
    refused(tmp_path / "params.yaml", "is not valid YAML", "line ")


@pytest.mark.parametrize("content", [b"", b"just text\n", b"- 1\n"])
def test_what_is_no_table_of_sections_is_refused(tmp_path, content):
    (tmp_path / "params.yaml").write_bytes(content)
    refused(tmp_path / "params.yaml", "docs/parameters.md")


@pytest.mark.parametrize("content", [b"data: \xff\n", b"data: \x00\n"])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "params.yaml").write_bytes(content)
    refused(tmp_path / "params.yaml", "is not valid YAML")


def test_a_missing_file_says_where_to_run(tmp_path):
    refused(tmp_path / "params.yaml", "cannot be read", "run from the project's folder")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predict.window.side": 256}, "predict.window.side 256 is larger than the image"),
        ({"predict.window.side": 16}, "side must be 0 or at least 32"),
        ({"predict.window.overlap": 1.0}, "predict.window.overlap"),
        (
            {"predict.window.overlap": 0.995},
            "overlap 0.995 leaves no step between windows of 128 px; use less",
        ),
        ({"predict.window.blend": "centre", "predict.window.side": 50}, "50 px have none; use 48 px"),
        ({"resize.microns": 0.0}, "resize.microns"),
        ({"shift.pixel_size.lung": -1.0}, "shift.pixel_size.lung"),
        ({"predict.scales": [0.1]}, "predict.scales.0"),
        ({"ensemble.own": 0.0}, "nobody would predict"),
        ({"ensemble.members": [{"name": "a", "weight": 1.0}] * 2}, "different names"),
        ({"ensemble.members": [{"name": "a", "weight": 0.0}]}, "ensemble.members.0.weight"),
        ({"calibrate.metric": "dice_shifted", "calibrate.enabled": True}, "needs shift.enabled: true"),
        ({"shift.enabled": True, "shift.source": "Mars"}, "shift.source 'Mars'"),
        (
            {"shift.enabled": True, "shift.pixel_size": {"lung": 1.0}},
            "shift.pixel_size has no value for kidney",
        ),
    ],
)
def test_what_inference_cannot_do_is_refused(tmp_path, changes, said):
    path = ROOT / "params.yaml"
    for key, value in changes.items():
        path = changed(tmp_path, key, value, path)
    refused(path, said)


# ------------------------------------------------------------------ what would do nothing, or not what it
# says


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.loss.bce": 0.0}, "train: loss: every term has weight 0"),
        ({"train.organ_weights": {"liver": 1.0}}, "train.organ_weights: liver is not in data.organs"),
        ({"train.balance": "foreground"}, "train.balance foreground lays windows over masks"),
        ({"augment.scale_window": [0.5, 2.0]}, "augment.scale_window [0.5, 2.0] needs resize.mode microns"),
        ({"augment.scale_window": [2.0, 0.5]}, "scale_window must be [smallest, largest]"),
        ({"augment.gamma_range": [1.5, 0.7]}, "augment: gamma_range must be [smallest, largest]"),
        ({"augment.low_resolution_scale": [0.5, 2.0]}, "low_resolution_scale [0.5, 2.0] would enlarge"),
        (
            {"augment.low_resolution_scale": [0.01, 1.0]},
            "scale.0: Input should be greater than or equal",
        ),
        ({"augment.blur_sigma": [0.0, 1.0]}, "augment.blur_sigma.0: Input should be greater than 0"),
        ({"augment.order": ["flip", "crop"]}, "augment: order leaves out rotate, scale, distort, low_res"),
        ({"augment.order": [*ORDER, "crop"]}, "augment: order names crop twice; name each once"),
        ({"augment.order": ["shear"]}, "augment.order.0: Input should be 'crop', 'flip'"),
        ({"train.recompute": True, "train.compile": True}, "recompute and compile do not work together"),
        ({"train.lr_decoder": 1e-4}, "above lr x lr_decoder"),
    ],
    ids=str,
)
def test_what_would_do_nothing_is_refused(tmp_path, changes, message):
    path = ROOT / "params.yaml"
    for key, value in changes.items():
        path = changed(tmp_path, key, value, path)
    refused(path, message)


def test_organs_may_weigh_nothing_but_not_all_of_them(tmp_path):
    organs = read(ROOT / "params.yaml")["data"]["organs"]
    some = changed(tmp_path, "train.organ_weights", dict.fromkeys(organs[1:], 0.0))
    assert load_params(some).train.organ_weights[organs[1]] == 0
    refused(
        changed(tmp_path, "train.organ_weights", dict.fromkeys(organs, 0.0)),
        "train.organ_weights: every organ has weight 0",
    )


# ------------------------------------------------------------------ what is legal alone, and not together


def test_rules_are_not_chosen_on_one_fold(tmp_path):
    path = changed(tmp_path, "split.run", [0])
    load_params(path)  # nothing is chosen
    params = read(path)
    params["calibrate"]["enabled"] = True
    YAML(typ="safe").dump(params, path)
    refused(path, "calibrate.enabled", "split.run is [0]", "run at least two")


@pytest.mark.parametrize(
    ("by", "group", "z", "said"),
    [
        ("group", [], "", "split.by group needs data.group"),
        ("image", ["sex"], "", "would put images of one group (sex, of data.group) into several folds"),
        ("image", [], r"_z(\d+)$", "split.by image would put slices of one volume (data.z) into several"),
        ("z", [], "", "split.by z needs data.z"),
        ("z", [], r"_z(\d+)$", ""),
        ("group", ["sex"], r"_z(\d+)$", ""),
    ],
)
def test_what_belongs_together_is_known_where_it_is_dealt_whole(tmp_path, by, group, z, said):
    path = ROOT / "params.yaml"
    for key, value in {"split.by": by, "data.group": group, "data.z": z}.items():
        path = changed(tmp_path, key, value, path)
    refused(path, said) if said else load_params(path)


FOLDERS = {"data.layout": "folders", "data.pixel_size": 0.006}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sample.kind": "cells"}, "set data.layout: folders, or another sample.kind or data.root"),
        (FOLDERS, "set data.layout: competition, or another sample.kind or data.root"),
        (FOLDERS | {"data.root": "./data/sample/"}, "data.layout folders does not read data/sample"),
        (FOLDERS | {"sample.kind": "cells", "sample.train": 1}, "give at least a slice of each: 2"),
        (FOLDERS | {"sample.kind": "cells", "sample.train": 300, "sample.test": 101}, "make 401 slices"),
        (FOLDERS | {"sample.kind": "cells", "sample.train": 300, "sample.test": 100}, ""),
        (FOLDERS | {"data.root": "data/mine"}, ""),
        ({"data.root": "data/raw", "sample.kind": "cells"}, ""),
        ({"sample.train": 10_000, "sample.test": 1}, ""),
    ],
    ids=str,
)
def test_a_sample_is_read_as_it_is_drawn(tmp_path, changes, said):
    path = ROOT / "params.yaml"
    for key, value in changes.items():
        path = changed(tmp_path, key, value, path)
    if said:
        refused(path, said)
    else:
        load_params(path)


@pytest.mark.parametrize(
    "key", ["train.lr", "train.lr_decoder", "train.clip", "train.loss.bce", "shift.blur"]
)
def test_no_number_is_so_large_that_32_bits_overflow(tmp_path, key):
    refused(changed(tmp_path, key, 1e300), key, "less than or equal to 1000000000", "1e+300")


# ------------------------------------------------------------------ paths and texts as people write them


PATHS = {"data.root", "train.weights", "stain.target.file"}


@pytest.mark.parametrize("key", sorted(PATHS))
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("~/x", "~ and $ are not expanded; write the path out, '/somebody/x' perhaps"),
        ("$HOME/x", "~ and $ are not expanded; write the path out, '/somebody/x' perhaps"),
        ("a/${HOME}", "~ and $ are not expanded"),
        ("x ", "has blanks around it; write 'x'"),
        (" x", "has blanks around it; write 'x'"),
    ],
)
def test_a_path_that_only_a_shell_would_understand_is_refused(tmp_path, monkeypatch, key, value, words):
    monkeypatch.setenv("HOME", "/somebody")
    refused(changed(tmp_path, key, value), key, words)


@pytest.mark.parametrize("value", ["data/x~1", "a$b/c", "/x y/z"])
def test_other_paths_are_taken_as_they_are(tmp_path, value):
    assert load_params(changed(tmp_path, "data.root", value)).data.root == value


@pytest.mark.parametrize("organ", [None, True, 7, 1e5])
def test_an_organ_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path, organ):
    path = changed(tmp_path, "data.organs", ["lung", organ])
    refused(path, "data.organs.1", "valid string", "put it in quotes")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_parameters_in_another_encoding_are_refused_in_a_line(tmp_path, encoding):
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(InputError, match="save it as UTF-8") as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes().replace(b"# The", b"\xef\xbb\xbf# The", 1))
    assert path.read_bytes().startswith(b"\xef")
    assert load_params(path) == load_params(ROOT / "params.yaml")


# ------------------------------------------------------------------ channels and classes


SEVERAL: dict[str, dict[str, Any]] = {
    "data": {"root": "own", "layout": "folders", "pixel_size": 1.0, "classes": ["membrane", "vesicle"]},
    "postprocess": {"method": "argmax"},
}
GREY: dict[str, dict[str, Any]] = {
    "data": {"root": "own", "layout": "folders", "pixel_size": 1.0, "channels": 1},
    "stain": {"backend": "none"},
}


def with_sections(folder: Path, *changes: dict[str, dict[str, Any]], thresholds: bool = True) -> Path:
    params = read(ROOT / "params.yaml")
    for change in changes:
        for section, values in change.items():
            params[section].update(values)
    if not thresholds:
        params["thresholds"] = {}
    YAML(typ="safe").dump(params, folder / "params.yaml")
    return folder / "params.yaml"


def test_several_classes_and_grey_are_read(tmp_path):
    sizes = {"postprocess": {"smallest_object": {"vesicle": 2.0}}}
    params = load_params(with_sections(tmp_path, SEVERAL, GREY, sizes, thresholds=False))
    assert params.data.classes == ["membrane", "vesicle"]
    assert params.postprocess.smallest_object == {"vesicle": 2.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"postprocess": {"method": "otsu"}}, "postprocess.method otsu is of one class"),
        ({"calibrate": {"enabled": True}}, "calibrate.enabled is of one class"),
        ({"postprocess": {"never_empty": "lower"}}, "postprocess.never_empty lower is of one class"),
        ({"ensemble": {"mean": "logit"}}, "ensemble.mean logit is of one class"),
        ({"shift": {"enabled": True}}, "shift.enabled is of one class"),
        ({"postprocess": {"largest_hole": {"axon": 1.0}}}, "postprocess.largest_hole: axon is not in data"),
        ({"data": {"classes": ["a", "a"]}}, "classes must have different names"),
        ({"data": {"classes": ["a", "background"]}}, "names background"),
        ({"data": {"classes": ["a", "mean"]}}, "data: classes names mean, as reports call the mean of all"),
        ({"data": {"classes": ["a", "b,c"]}}, "data.classes.1"),
        ({"data": {"layout": "competition", "pixel_size": 0}}, "use layout: folders"),
    ],
)
def test_what_several_classes_do_not_have_is_refused(tmp_path, change, words):
    refused(with_sections(tmp_path, SEVERAL, change, thresholds=False), words)


@pytest.mark.parametrize("key", ["organs", "sources"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab", "must have different names, got ['lab', 'lab']"),
        (".", "'.' is a place"),
        ("..", "'..' is a place"),
        ("", "'' is a place"),
        ("../other", "'../other' is a place"),
        ("/data/lab", "'/data/lab' is a place"),
        ("lab.tmp-1", "'lab.tmp-1' holds '.tmp-'"),
        ("lab ", "'lab ' has blanks around it; write 'lab'"),
    ],
)
def test_organs_and_sources_have_plain_and_different_names(tmp_path, key, name, words):
    refused(with_sections(tmp_path, SEVERAL, {"data": {key: ["lab", name]}}, thresholds=False), key, words)


def test_no_organ_is_called_as_the_mean_of_all(tmp_path):
    changes = {"data": {"organs": ["lung", "mean"]}}
    refused(with_sections(tmp_path, SEVERAL, changes, thresholds=False), "data: organs names mean")


def test_several_classes_have_no_thresholds_and_one_has_no_argmax(tmp_path):
    refused(with_sections(tmp_path, SEVERAL), "thresholds is of one class", "set thresholds: {}")
    refused(changed(tmp_path, "postprocess.method", "argmax"), "argmax is of several data.classes")
    refused(changed(tmp_path, "postprocess.largest_hole", {"ftu": 1.0}), "names classes, and data.classes")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stain": {"backend": "exact"}}, "stain.backend exact is of colours"),
        ({"augment": {"stain": 0.1}}, "augment.stain is of colours"),
        ({"augment": {"hue": 0.1}}, "augment.hue is of colours"),
        ({"shift": {"enabled": True}}, "shift.enabled is of colours"),
        ({"data": {"channels": 2}}, "data.channels"),
    ],
)
def test_grey_has_no_colours(tmp_path, change, words):
    refused(with_sections(tmp_path, GREY, change), words)


def test_crops_are_of_images_that_are_larger_than_what_the_network_sees(tmp_path):
    refused(changed(tmp_path, "train.crops", 2), "train.crops 2 draws windows", "use mode microns")
