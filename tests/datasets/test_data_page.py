"""The examples of docs/data.md are read as the page says."""

import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from ftu.datasets import competition, folders, groups
from ftu.files import png, rle
from imports import ROOT

PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
FOLDERS, COMPETITION = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
DRAWN = re.search(r"```\n([01 \n]+)```", PAGE)
(SAID,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SAID = YAML(typ="safe").load(SAID)["data"]
PATTERNS = re.findall(r"^\| `(\w+)\.png`.*?\| `(\[.*?\])` \| `(.*?)` \|$", PAGE, re.MULTILINE)


@pytest.fixture
def root(tmp_path) -> Path:
    """A data set in folders, with the table of the page."""
    (tmp_path / "images.csv").write_text(FOLDERS, encoding="utf-8")
    for line in FOLDERS.splitlines()[1:]:
        name, part, *_ = line.split(",")
        for kind, shape in (("images", (5, 7, 3)), ("masks", (5, 7))):
            place = tmp_path / part / kind
            place.mkdir(parents=True, exist_ok=True)
            write = png.write_image if kind == "images" else png.write_mask
            write(place / f"{name}.png", np.zeros(shape, np.uint8))
    return tmp_path


def test_the_table_says_what_the_page_says(root):
    told = {key: SAID[key] for key in ("organs", "sources", "pixel_size")}
    train, test = folders.read_both(root, **told, told=SAID["group"])
    assert (len(train), len(test)) == (8, 2)
    sizes = dict(zip(train["id"], train["pixel_size"], strict=True))
    assert (sizes["p06_a"], sizes["p05_a"]) == (SAID["pixel_size"], 0.46)
    named = dict(zip(train["id"], groups.of(train, test, SAID["group"], []).names, strict=True))
    assert (named["p01_b"], named["p02_a"]) == ("p01_a", "p02_a")
    assert folders.left_out(root, [train, test], SAID["group"]) == ""


def test_the_competitions_rows_are_the_masks_that_the_page_draws(tmp_path):
    (tmp_path / "train.csv").write_text(COMPETITION, encoding="utf-8")
    known = {"organs": ["kidney", "lung"], "sources": ["HPA", "Hubmap"]}
    table = competition.read_train(tmp_path / "train.csv", **known, group=["sex", "age"])
    assert list(table["id"]) == ["001", "NA"]
    assert table[["img_height", "img_width"]].to_numpy().tolist() == [[3, 4]] * 2
    assert DRAWN
    drawn = np.array([line.split() for line in DRAWN[1].splitlines()], np.uint8)
    first, second = (rle.decode(text, height=3, width=4) for text in table["rle"])
    np.testing.assert_array_equal(first, drawn)
    assert not second.any()


@pytest.mark.parametrize(("name", "group", "z"), PATTERNS)
def test_the_patterns_find_something_in_the_names(name, group, z):
    patterns = [*YAML(typ="safe").load(group), *filter(None, [YAML(typ="safe").load(z)])]
    told = [found[1] for pattern in patterns if (found := re.search(pattern, name))]
    assert told == (["heart", "07"] if "slice" in name else ["p01"])
