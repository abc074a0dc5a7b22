"""A profile for a data set in folders: values as found there, and a file that is whole or not at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ftu.errors import InputError
from ftu.pipeline.params import load_params
from ftu_tools.dataset import new
from imports import ROOT


def data_set(root: Path, sides: list[tuple[int, int]], source: str = "") -> Path:
    for number, shape in enumerate(sides):
        for part, pixels in (
            ("images", np.zeros((*shape, 3), np.uint8)),
            ("masks", np.zeros(shape, np.uint8)),
        ):
            path = root / source / "train" / part / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return root


def profile(guess: new.Guess, folder: Path, monkeypatch):
    monkeypatch.setattr(new, "START", ROOT / new.START)
    new.write(folder / "mine.yaml", guess.sections)
    return load_params(folder / "mine.yaml")


@pytest.mark.parametrize(("longer", "side"), [(40, 64), (250, 256), (1600, 512)])
def test_what_is_found_is_what_the_profile_says(tmp_path, monkeypatch, longer, side):
    root = data_set(tmp_path / "data", [(30, longer)] * 7)
    params = profile(new.guessed(root), tmp_path, monkeypatch)
    assert (params.data.layout, params.data.root) == ("folders", str(root))
    assert params.resize.side == side
    assert params.split.by == "image"
    assert params.split.run == [0, 1, 2, 3, 4]
    assert params.thresholds == {"own": {"tissue": 0.5}}
    assert params.data.pixel_size == 1


def test_the_table_and_folders_of_sources_are_heard(tmp_path, monkeypatch):
    root = data_set(tmp_path / "data", [(32, 40)] * 3, "lab")
    (root / "images.csv").write_text(
        "id,organ,group,z,pixel_size\n0,gland,a,0,0.25\n1,duct,a,1,0.25\n2,gland,b,0,\n", encoding="utf-8"
    )
    guess = new.guessed(root)
    params = profile(guess, tmp_path, monkeypatch)
    assert params.data.organs == ["duct", "gland"]
    assert params.data.sources == ["lab"]
    assert (params.data.group, params.data.z, params.split.by, params.split.count) == (
        ["group"],
        "z",
        "group",
        2,
    )
    assert params.data.pixel_size == 0.25
    assert any("2 folds of 2 groups" in words for words in guess.words)


def test_what_is_not_known_is_said(tmp_path):
    words = "\n".join(new.guessed(data_set(tmp_path, [(32, 40)] * 4)).words)
    assert "data.pixel_size: unknown, so 1" in words
    assert "say so in data.group" in words


def test_too_few_to_deal_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 1 training images, and folds need two at least"):
        new.guessed(data_set(tmp_path, [(32, 40)]))


def test_a_profile_that_does_not_hold_is_not_written(tmp_path, monkeypatch):
    guess = new.guessed(data_set(tmp_path / "data", [(32, 40)] * 4))
    guess.sections["data"]["organs"] = ["another"]  # without a threshold
    with pytest.raises(InputError, match="thresholds"):
        profile(guess, tmp_path, monkeypatch)
    assert not (tmp_path / "mine.yaml").exists()
