"""The embedded samples look like the data sets that they stand for, and are functions of the seed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from ftu.datasets import competition, folders, image_files
from ftu.datasets.sample import LARGEST, SAMPLES, SLICE, write_cells, write_histology
from ftu.datasets.synthetic.histology import ORGANS, STAINS
from ftu.files import csvfile, rle
from ftu.files.index import ImageRow, image_rows
from ftu.preprocessing import stain
from imports import ROOT

KNOWN: dict[str, Any] = {"organs": list(ORGANS), "sources": list(STAINS)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def rows(small_sample: Path) -> list[ImageRow]:
    """Of both tables, read and checked as decode reads them."""
    train, test = competition.read_both(small_sample, **KNOWN)
    return image_rows(pd.concat([train, test]))


def test_the_layout_is_the_competitions(small_sample, rows):
    competition.check_root(small_sample)
    images_due = {f"{row.set}_images/{row.id}.tiff" for row in rows}
    others = {"train.csv", "test.csv", "sample_submission.csv", "SYNTHETIC.md"}
    assert set(contents(small_sample)) == images_due | others


def test_the_columns_are_the_competitions(small_sample):
    common = ["id", "organ", "data_source", "img_height", "img_width", "pixel_size", "tissue_thickness"]
    columns = {
        name: list(csvfile.read_csv(small_sample / f"{name}.csv").columns)
        for name in ("train", "test", "sample_submission")
    }
    assert columns == {
        "train": [*common, "rle", "age", "sex"], "test": common, "sample_submission": ["id", "rle"]
    }  # fmt: skip


def test_no_one_can_take_the_images_for_real_ones(small_sample):
    assert "show no tissue" in (small_sample / "SYNTHETIC.md").read_text()


def test_every_image_has_the_size_of_its_row(small_sample, rows):
    for row in rows:
        image_files.check_image(small_sample / row.image, (row.img_height, row.img_width), row.pixel_size)
        assert 800 < max(row.img_height, row.img_width) * row.pixel_size < 1100  # about 1 mm


def test_every_mask_decodes_to_some_tissue_units_but_not_all(small_sample):
    table = competition.read_train(small_sample / "train.csv", **KNOWN)
    for text, height, width in zip(table["rle"], table["img_height"], table["img_width"], strict=True):
        assert 0.01 < rle.decode(text, height=height, width=width).mean() < 0.6


def test_organs_and_sources_are_those_of_the_competition(rows):
    train, test = ([row for row in rows if row.set == part] for part in ("train", "test"))
    assert {row.organ for row in train} == set(ORGANS)  # from five images on
    assert {row.data_source for row in train} == {"HPA"}
    assert {row.data_source for row in test} == {"HPA", "Hubmap"}  # from two images on
    assert all(row.img_height == row.img_width for row in rows if row.data_source == "HPA")
    assert len({row.id for row in rows}) == 8


def test_sizes_and_pixel_sizes_differ_among_the_images(rows):
    assert len({row.img_height for row in rows}) > 2
    assert len({row.pixel_size for row in rows}) == len(rows)


def test_both_tables_of_the_committed_sample_hold_every_organ(tmp_path):
    sample = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["sample"]
    assert min(sample["train"], sample["test"]) >= len(ORGANS)  # they take turns
    write_histology(tmp_path, train=len(ORGANS), test=len(ORGANS), seed=sample["seed"])
    for table in competition.read_both(tmp_path, **KNOWN):
        assert set(table["organ"]) == set(ORGANS)


def test_normalisation_has_work_to_do_and_does_it(small_sample, rows):
    """The training images differ in colour, and by less than half once all have the stains of one."""
    given = [image_files.read_image(small_sample / row.image) for row in rows if row.set == "train"]
    fits = [stain.fit(image, seed=0) for image in given]
    made = [stain.normalize(image, fitted, fits[0])[0] for image, fitted in zip(given, fits, strict=True)]
    before, after = spread_of_colours(given), spread_of_colours(made)
    assert before > 10  # of 255 levels
    assert after < before / 2


def spread_of_colours(given: list[np.ndarray]) -> float:
    """The standard deviation, over images, of the mean colour of their tissue, all channels together."""
    pixels = [image.reshape(-1, 3) for image in given]
    colours = [each[stain.is_tissue(each)].mean(axis=0) for each in pixels]
    return float(np.linalg.norm(np.std(colours, axis=0)))


def test_equal_seeds_give_equal_bytes_and_others_other_images(tmp_path, small_sample):
    for name, seed in {"again": 0, "other": 1}.items():
        (tmp_path / name).mkdir()
        write_histology(tmp_path / name, train=6, test=2, seed=seed)
    assert contents(tmp_path / "again") == contents(small_sample)
    assert set(contents(tmp_path / "other")).isdisjoint(
        name for name in contents(small_sample) if name.endswith(".tiff")
    )


# ------------------------------------------------------------------ cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training and three test slices: two of a and one of b in both; do not write into it."""
    folder = tmp_path_factory.mktemp("cells")
    write_cells(folder, train=3, test=3, seed=0)
    return folder


def test_each_slice_of_both_sets_has_an_image_and_a_mask(cells):
    folders.check_root(cells)
    names = {"train": ["a_z000", "a_z001", "b_z000"], "test": ["a_z002", "a_z003", "b_z001"]}
    due = {
        f"{part}/{kind}/{name}.png" for part in names for name in names[part] for kind in ("images", "masks")
    }
    assert set(contents(cells)) == due | {"SYNTHETIC.md"}
    assert "show no tissue" in (cells / "SYNTHETIC.md").read_text(encoding="utf-8")


def test_slices_are_grey_and_masks_hold_the_numbers_of_three_classes(cells):
    for path in cells.glob("*/images/*.png"):
        with Image.open(path) as image:
            assert (image.size, image.mode) == (SLICE[::-1], "L")  # grey of 8 bits
        mask = image_files.read_labels(path.parent.with_name("masks") / path.name)
        assert mask.shape == SLICE
        assert {0, 1, 2} <= set(np.unique(mask)) <= {0, 1, 2, 3}
    assert SLICE[0] != SLICE[1]


def test_volumes_differ_and_test_slices_continue_the_training_slices(cells):
    def membranes(name: str) -> np.ndarray:
        return image_files.read_labels(cells / f"{name}.png") == 1

    def overlap(one: np.ndarray, other: np.ndarray) -> float:
        return (one & other).sum() / (one | other).sum()

    last, following, another = map(
        membranes, ["train/masks/a_z001", "test/masks/a_z002", "train/masks/b_z000"]
    )
    assert overlap(last, following) > 2 * overlap(last, another)


def test_volumes_of_as_many_slices_are_two(tmp_path):
    write_cells(tmp_path, train=2, test=2, seed=0)
    one, other = ((tmp_path / f"train/masks/{name}_z000.png").read_bytes() for name in "ab")
    assert one != other


def test_equal_seeds_give_equal_slices_and_others_other_slices(tmp_path, cells):
    for name, seed in {"again": 0, "other": 1}.items():
        write_cells(tmp_path / name, train=3, test=3, seed=seed)
    first, again, other = map(contents, (cells, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.endswith(".png"))


def test_the_largest_image_of_each_kind_is_known():
    assert LARGEST.keys() == SAMPLES.keys()
