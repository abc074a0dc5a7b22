"""A profile for a data set in folders: values as found there, and a file that is whole or not at all."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import combinations_with_replacement
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftu.datasets import folders
from ftu.errors import InputError
from ftu.files import names as told
from ftu.pipeline.params import Params, load_params
from ftu_tools.dataset import guesses, new
from imports import ROOT

NAMES = ("001", "NA", "1e5", "b", "c", "d", "e")
SHAPE = (32, 40)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def data_set(
    root: Path,
    names: Sequence[str] = NAMES,
    *,
    shape: tuple[int, ...] = (*SHAPE, 3),
    values: Sequence[int] = (0, 1),
    part: str = "train",
) -> Path:
    """Images and masks; the first mask holds all `values`, the last is empty."""
    for name in names:
        mask = np.zeros(shape[:2], np.uint8)
        if name != names[-1]:
            mask[0, : len(values)] = values
        save(root / part / "images" / f"{name}.png", np.zeros(shape, np.uint8))
        save(root / part / "masks" / f"{name}.png", mask)
    return root


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """The parameters that are written of what is guessed."""
    monkeypatch.setattr(new, "START", ROOT / new.START)

    def load(guess: guesses.Guess) -> Params:
        new.write(tmp_path / "mine.yaml", guess)
        return load_params(tmp_path / "mine.yaml")

    return load


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("shape", "side", "mode"),
    [
        ((30, 40), 64, "fixed"),
        ((200, 250), 256, "fixed"),
        ((150, 250), 256, "microns"),  # too far from square to be squeezed
        ((1500, 1600), 512, "microns"),
    ],
)
def test_small_images_are_seen_whole_and_large_ones_in_windows(tmp_path, profile, shape, side, mode):
    params = profile(new.guessed(data_set(tmp_path / "data", NAMES[:3], shape=(*shape, 3))))
    assert (params.resize.mode, params.resize.side) == (mode, side)
    assert params.resize.microns == params.data.pixel_size == 1
    windows = -(-shape[0] * shape[1] // side**2) if mode == "microns" else 1
    assert params.train.crops == windows


def test_an_epoch_of_many_images_has_no_more_windows_than_a_laptop_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(guesses, "MOST_WINDOWS", 6)
    guess = new.guessed(data_set(tmp_path, NAMES[:3], shape=(600, 3000)))
    assert guess.sections["train"]["crops"] == 2
    assert any("which holds 7" in sentence for sentence in guess.words)


def test_images_of_several_scales_are_brought_to_one(tmp_path, profile):
    root = data_set(tmp_path / "data")
    (root / "images.csv").write_text("id,pixel_size\n001,0.1\nNA,0.1\n1e5,0.25\n", encoding="utf-8")
    params = profile(new.guessed(root))
    assert (params.resize.mode, params.resize.microns, params.data.pixel_size) == ("microns", 0.1, 0.1)


# ------------------------------------------------------------------ channels and classes


def test_one_class_in_colour_has_thresholds(tmp_path, profile):
    root = data_set(tmp_path / "data", values=(0, 255))
    params = profile(new.guessed(root))
    assert (params.data.layout, params.data.root) == ("folders", str(root))
    assert (params.data.channels, params.data.classes) == (3, ["class_1"])
    assert (params.postprocess.method, params.thresholds) == ("table", {"own": {"tissue": 0.5}})


def test_grey_images_of_several_classes_get_what_follows(tmp_path, profile):
    guess = new.guessed(data_set(tmp_path / "data", shape=SHAPE, values=(0, 1, 3, 6)))
    params = profile(guess)
    assert (params.data.channels, params.data.classes) == (1, [f"class_{n}" for n in range(1, 7)])
    assert (params.postprocess.method, params.thresholds) == ("argmax", {})
    start = load_params(ROOT / new.START).train.model
    assert params.train.model == start.model_copy(update={"width": 256})  # 16 channels before the logits
    assert (params.stain.backend, params.augment.hue, params.augment.stain) == ("none", 0, 0)
    assert (params.calibrate.enabled, params.ensemble.mean, params.shift.enabled) == (
        False,
        "probability",
        False,
    )
    assert any("no mask holds 2, 4, 5; are these" in sentence for sentence in guess.words)
    assert any("rename data.classes" in sentence for sentence in guess.words)


def test_classes_may_be_named_and_a_number_without_a_name_is_refused(tmp_path, profile):
    root = data_set(tmp_path / "data", values=(0, 1, 2))
    assert profile(new.guessed(root, ["gland", "vessel"])).data.classes == ["gland", "vessel"]
    assert profile(new.guessed(root, ["a", "b", "c"])).data.classes == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"001.png: has the values 0, 1, 2; a mask of one class .*CLASSES"):
        new.guessed(root, ["gland"])


def test_255_is_no_number_of_two_classes(tmp_path):
    root = data_set(tmp_path / "data", values=(0, 255))
    assert new.guessed(root, ["gland"]).sections["data"]["classes"] == ["gland"]
    words = r"001.png: has the values 0, 255; a mask of 2 classes .*--classes 'a b,c' --labels 255="
    with pytest.raises(InputError, match=words):
        new.guessed(root, ["a b", "c"])


@pytest.mark.parametrize("said", [[], ["a"], ["a", "b"], list("abcdef")])
def test_what_decode_refuses_of_masks_is_refused(tmp_path, said):
    """And of classes that are named nothing else."""
    stored = [(0,), (255,), (0, 1), (0, 255), (1, 255), (0, 3), (0, 1, 3, 6), (0, 250), (0, 251)]
    paths = [tmp_path / f"{number}.png" for number in range(len(stored))]
    for path, values in zip(paths, stored, strict=True):
        save(path, np.resize(np.array(values, np.uint8), SHAPE))
    for two in combinations_with_replacement(paths, 2):
        try:
            found = guesses.classes(two, said).sections["data"]["classes"]
        except InputError:
            found = []
        if found or said:
            with nullcontext() if found else pytest.raises(InputError):
                for path in two:
                    folders.decode_mask_file(path, tmp_path / "decoded.png", SHAPE, len(found or said))


@pytest.mark.parametrize("values", [(0, 128, 255), (0, 50), (0, 1, 255, 2)])
def test_levels_of_grey_are_no_classes(tmp_path, values):
    data_set(tmp_path, values=values)
    with pytest.raises(InputError, match=rf"001.png: holds {max(values)}; .*--labels {values[1]}=NAME"):
        new.guessed(tmp_path)


def test_masks_of_test_images_count_and_are_said_to_be_scored(tmp_path):
    data_set(tmp_path)
    data_set(tmp_path, ["t 1", "t 2"], values=(0, 2), part="test")
    save(tmp_path / "test/images/bare.png", np.zeros((*SHAPE, 3), np.uint8))
    guess = new.guessed(tmp_path)
    assert guess.sections["data"]["classes"] == ["class_1", "class_2"]
    assert "3 test images, 2 of them with masks to score" in guess.words[0]


def test_grey_and_colour_in_one_data_set_are_refused(tmp_path):
    data_set(tmp_path)
    save(tmp_path / "train/images/NA.png", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"NA.png is grey, and .*\.png RGB; .*convert"):
        new.guessed(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["", "mine"], "ROOT: is missing"),
        (["data", ""], "PROFILE: is missing"),
        (["data", "mine"], "ROOT: data is no folder"),
        (["data", "../mine"], "PROFILE: .* is no file name"),
        (["data", "mine", "--classes=a,,b"], "CLASSES: '' is no name"),
        (["data", "mine", "--classes=a,mean"], "CLASSES: 'mean' is what reports call"),
        (["data", "mine", "--classes=a,a"], "CLASSES: a, a names one twice"),
    ],
)
def test_an_error_names_the_variable_that_make_was_given(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["new", *words])
    with pytest.raises(InputError, match=f"^{said}"):
        new.main()


# ------------------------------------------------------------------ who belongs together


def test_the_table_and_folders_of_sources_are_heard(tmp_path, profile):
    root = data_set(tmp_path / "data" / "lab", ["0", "1", "2"]).parent
    (root / "images.csv").write_text(
        "id,organ,group,z,pixel_size,sex\n0,gland,a,0,0.25,F\n1,duct,a,1,0.25,\n2,gland,b,0,,M\n",
        encoding="utf-8",
    )
    guess = new.guessed(root)
    params = profile(guess)
    assert params.data.organs == ["duct", "gland"]
    assert params.data.sources == ["lab"]
    assert (params.data.group, params.data.z) == (["group"], "z")
    assert (params.split.by, params.split.count) == ("group", 2)
    assert params.data.pixel_size == 0.25
    assert any("2 folds of 2 groups" in sentence for sentence in guess.words)
    assert any("images.csv has sex, too" in sentence for sentence in guess.words)


def test_what_the_table_says_of_some_images_alone_is_told_of_the_others(tmp_path):
    """An image that a folder gives a source lacks none."""
    names = ["0", "1", "größe", "2", "3"]
    data_set(tmp_path, names[:3])
    data_set(tmp_path / "lab", names[3:])
    rows = "0,kidney,,0.5\n1,,clinic,\ngröße,skin,clinic,0.5\n2,skin,,\n"
    (tmp_path / "images.csv").write_text(f"id,organ,data_source,pixel_size\n{rows}", encoding="utf-8")
    words = "\n".join(new.guessed(tmp_path).words)
    assert "no organ for 2 of 5 images (1, 3), which so have kidney;" in words
    assert "no data_source for 1 of 5 images (0), which so have clinic;" in words
    assert "no pixel_size for 3 of 5 images (1, 2, 3), which so have 0.5;" in words


def test_a_name_in_both_sets_lacks_what_the_row_of_its_own_set_does_not_say(tmp_path):
    data_set(tmp_path, ["0", "1"])
    data_set(tmp_path, ["0"], part="test")
    (tmp_path / "images.csv").write_text(
        "id,set,organ\n0,train,skin\n0,test,\n1,train,skin\n", encoding="utf-8"
    )
    assert any("no organ for 1 of 3 images (0)" in sentence for sentence in new.guessed(tmp_path).words)


def test_a_table_that_says_all_or_nothing_needs_no_word(tmp_path):
    data_set(tmp_path, ["0", "1"])
    for rows in ("0,skin,\n1,skin,\n", "0,,\n1,,\n"):
        (tmp_path / "images.csv").write_text(f"id,organ,data_source\n{rows}", encoding="utf-8")
        assert not any("which so have" in sentence for sentence in new.guessed(tmp_path).words)


def test_a_source_may_have_test_images_alone(tmp_path, profile):
    data_set(tmp_path / "data" / "a")
    data_set(tmp_path / "data" / "b", ["t"], part="test")
    assert profile(new.guessed(tmp_path / "data")).data.sources == ["a", "b"]


def test_patients_in_names_are_groups_that_no_fold_parts(tmp_path, profile):
    found = [
        f"patient{patient:03}_frame{frame}_slice_{z}"
        for patient in (1, 2, 3)
        for frame in (1, 9)
        for z in (2, 5)
    ]
    params = profile(new.guessed(data_set(tmp_path / "data", found)))
    (group,) = params.data.group
    assert not told.fault(group)
    assert not told.fault(params.data.z)
    assert (params.split.by, params.split.count) == ("group", 3)


def test_one_volume_is_dealt_in_blocks_of_slices(tmp_path, profile):
    guess = new.guessed(data_set(tmp_path / "data", [f"heart_z{z:03}" for z in range(4)]))
    params = profile(guess)
    assert (params.split.by, params.split.count, params.split.run) == ("z", 4, [0, 1, 2, 3])
    assert any("says nothing of other volumes" in sentence for sentence in guess.words)


def test_a_column_of_slices_with_gaps_is_left_out(tmp_path):
    root = data_set(tmp_path, ["0", "1", "2"])
    (root / "images.csv").write_text("id,group,z\n0,a,0\n1,b,\n2,b,1\n", encoding="utf-8")
    assert new.guessed(root).sections["data"]["z"] == ""


def test_what_is_not_known_is_said_and_stands_in_the_profile(tmp_path, profile):
    guess = new.guessed(data_set(tmp_path / "data"))
    words = "\n".join(guess.words)
    assert "data.pixel_size: unknown, so 1" in words
    assert "say so in data.group" in words
    assert profile(guess).split.by == "image"
    written = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    assert all(f"# {sentence}\n" in written for sentence in guess.words)


def test_too_few_to_deal_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 1 training images, and folds need two at least"):
        new.guessed(data_set(tmp_path, ["a"]))


def test_a_profile_that_does_not_hold_is_not_written(tmp_path, profile):
    guess = new.guessed(data_set(tmp_path / "data"))
    guess.sections["data"]["organs"] = ["another"]  # without a threshold
    with pytest.raises(InputError, match="thresholds"):
        profile(guess)
    assert not (tmp_path / "mine.yaml").exists()
