"""Pictures in layers: which images, what counts as which error, how large the files may get."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import pages
from ftu.datasets import image_files
from ftu.files import png
from ftu.files.index import ImageRow
from ftu.masks import from_maps, metrics
from ftu.masks.cutting import Rule
from ftu.reports.page import pictures
from ftu.reports.scores import Trial
from maps import write_probability

WAY = from_maps.Way(mean="probability", method="table", never_empty="warn")
MOST_BYTES = 60 * 10**6  # of the page with its folder
masks = arrays.arrays(np.uint8, (7, 11), elements=st.sampled_from([0, 1, 3, 6]))
binary = arrays.arrays(np.uint8, (7, 11), elements=st.integers(0, 1))


@given(truth=masks, prediction=masks)
def test_each_pixel_is_of_one_kind_and_both_ways_round(truth, prediction):
    kinds, back = pictures.errors_of(truth, prediction), pictures.errors_of(prediction, truth)
    assert ((kinds <= 1) == (truth == prediction)).all()
    assert ((kinds == 2) == (back == 3)).all()
    assert ((kinds == 4) == (back == 4)).all()
    assert ((kinds == 2) == ((prediction > 0) & (truth == 0))).all()


@given(truth=binary, prediction=binary)
def test_the_errors_make_the_dice(truth, prediction):
    true, more, missed = (
        np.count_nonzero(pictures.errors_of(truth, prediction) == kind) for kind in (1, 2, 3)
    )
    expected = 2 * true / (2 * true + more + missed) if true + more + missed else 1.0
    assert metrics.dice(prediction, truth) == pytest.approx(expected)


@given(errors=arrays.arrays(np.uint8, (13, 17), elements=st.integers(0, 4)))
def test_errors_have_colours_and_hatches_that_differ(errors):
    layer = pictures.hatched(errors)
    assert (layer[errors == 0] == 0).all()
    for kind, colour in enumerate(pictures.ERRORS, start=1):
        drawn = layer[errors == kind]
        assert set(map(tuple, drawn)) <= {colour, (0, 0, 0, 0)}
    whole = [pictures.hatched(np.full((12, 12), kind, np.uint8))[..., 3] > 0 for kind in (2, 3)]
    assert all(part.mean() == 0.5 for part in whole)
    colours = [pictures.hatched(np.full((1, 1), kind, np.uint8))[0, 0].tolist() for kind in (1, 2, 3, 4)]
    assert colours == [[0, 158, 115, 90], [213, 94, 0, 230], [0, 114, 178, 230], [204, 121, 167, 230]]
    rising, falling = whole
    assert (rising[1:, :-1] == rising[:-1, 1:]).all()
    assert (falling[1:, 1:] == falling[:-1, :-1]).all()
    assert (rising != falling).any()


def test_outlines_lie_around_objects_and_those_of_a_prediction_are_dashed():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 1
    truth, prediction = (pictures.outlines(mask, 1, dashed=dashed) for dashed in (False, True))
    assert tuple(truth[10, 30]) == (*pictures.figures.TRUTH, 255)
    assert not truth[20, 35].any()
    assert not truth[2, 2].any()
    on, dashed = truth[..., 3] > 0, prediction[..., 3] > 0
    assert 0.3 < dashed[on].mean() < 0.7
    assert not dashed[~on].any()
    assert not pictures.outlines(np.zeros((9, 9), np.uint8), 1, dashed=False).any()


def test_each_class_has_its_colour():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15], mask[20:35, 30:50] = 1, 2
    layer = pictures.outlines(mask, 2, dashed=False)
    first, second = pictures.colours(2)
    assert (tuple(layer[5, 10][:3]), tuple(layer[20, 40][:3])) == (first, second)


def test_the_heat_grows_with_the_probability():
    ramp = pictures.heat(np.linspace(0, 1, 33)[None].astype(np.float32)).astype(int)
    light = ramp @ [2126, 7152, 722]
    assert (np.diff(light[0]) >= 0).all()
    assert len(set(light[0])) == pictures.STEPS + 1


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_worst_are_shown_first_and_nobody_twice(dice):
    table = pages.oof([f"i{number}" for number in range(len(dice))], dice)
    worst, typical = pictures.choose(table)
    by_id = table.set_index("id")["dice"]
    assert len(worst) == min(len(dice), pictures.WORST)
    assert len(typical) <= pictures.TYPICAL
    assert not set(worst) & set(typical)
    assert by_id[worst].tolist() == sorted(dice)[: len(worst)]
    assert by_id[typical].is_monotonic_increasing


def trial(folder, image: np.ndarray, truth: np.ndarray, probability: np.ndarray) -> Trial:
    """Of files in `folder`, of an image with the id NA and unequal sides."""
    height, width = truth.shape
    image_files.write_tiff(folder / "image.tiff", image)
    png.write_mask(folder / "truth.png", truth)
    write_probability(folder / "map.tif", probability)
    row = ImageRow("NA", "train", "lung", "HPA", height, width, 0.5, "image.tiff")
    case = from_maps.Case(row, [([folder / "map.tif"], 1.0)], Rule(0.5, 0, 0, 0.1))
    return Trial(case, folder / "truth.png", folder / "image.tiff", ["ftu"])


def test_the_layers_of_an_image_are_files_of_one_shape(tmp_path):
    truth = np.zeros((800, 1200), np.uint8)
    truth[200:600, 300:900] = 1
    probability = np.zeros((16, 24), np.float32)
    probability[4:12, 6:18] = 1
    made = trial(tmp_path, np.full((800, 1200, 3), 200, np.uint8), truth, probability)
    (tmp_path / "made").mkdir()
    layers = pictures.draw(made, 3, WAY, tmp_path / "made")
    assert layers[:4] == ("NA", 3, 400, 600)
    assert layers.true == pytest.approx(0.25, abs=0.01)
    assert layers.predicted == pytest.approx(0.25, abs=0.02)
    assert layers.wrong < 0.03
    names = ["03-errors.png", "03-image.jpg", "03-prediction.png", "03-probability.png", "03-truth.png"]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == names
    for name in names:
        pixels = cv2.imread(str(tmp_path / "made" / name))
        assert pixels is not None
        assert pixels.shape == (400, 600, 3)
    before = {name: (tmp_path / "made" / name).read_bytes() for name in names}
    pictures.draw(made, 3, WAY, tmp_path / "made")
    assert {name: (tmp_path / "made" / name).read_bytes() for name in names} == before


def test_pictures_of_pure_noise_still_make_a_page_of_bounded_size(tmp_path):
    rng, side = np.random.default_rng(0), pictures.WIDEST
    truth = rng.integers(0, 2, (side, side)).astype(np.uint8)
    image = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    made = trial(tmp_path, image, truth, rng.uniform(0, 1, (side, side)).astype(np.float32))
    (tmp_path / "made").mkdir()
    pictures.draw(made, 1, WAY, tmp_path / "made")
    size = sum(path.stat().st_size for path in (tmp_path / "made").iterdir())
    assert size * (pictures.WORST + pictures.TYPICAL) < MOST_BYTES
