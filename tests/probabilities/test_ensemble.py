"""Laws of the mean over folds and experiments; where its maps lie; that memory holds those of one image."""

import tracemalloc
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from ftu.errors import InputError
from ftu.files import jsonfile
from ftu.probabilities import ensemble, map_file
from ftu.probabilities import mean as means
from ftu.probabilities.ensemble import Experiment
from maps import read_probability, write_probability

HALF_STEP = 0.5 / 65535
MEANS = ("probability", "logit")


def native_probability(groups, **how):
    """The (H, W) mean of maps of one class."""
    (only,) = means.native_probability(groups, **how)
    return only


both_means = pytest.mark.parametrize("mean", MEANS)

sizes, weights = st.integers(1, 12), st.floats(0.01, 100)
steps = st.integers(0, 65535) | st.sampled_from([0, 1, 65534, 65535])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Writes maps of whole 1/65535 and gives their paths."""
    folder, numbers = tmp_path_factory.mktemp("maps"), count()

    def save(*maps: np.ndarray) -> list[Path]:
        paths = [folder / f"{next(numbers)}.tif" for _ in maps]
        for path, one in zip(paths, maps, strict=True):
            write_probability(path, one)
        return paths

    return save


@st.composite
def ensembles(draw: st.DrawFn) -> list[tuple[list[np.ndarray], float]]:
    """One to four experiments with grids of their own, one to three folds each, and a weight."""
    return [
        (
            draw(st.lists(arrays(np.uint16, shape, elements=steps), min_size=1, max_size=3)),
            draw(weights),
        )
        for shape in draw(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4))
    ]


def files(saved, ensemble):
    return [(saved(*(one / np.float64(65535) for one in maps)), weight) for maps, weight in ensemble]


@given(ensemble=ensembles(), height=sizes, width=sizes)
def test_the_mean_is_that_of_an_independent_one_in_double_precision(saved, ensemble, height, width):
    natives, shares = [], np.array([weight for _, weight in ensemble])
    for maps, _ in ensemble:
        folds = np.asarray(np.mean([one / 65535 for one in maps], axis=0))
        shrinks = height <= folds.shape[0] and width <= folds.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        natives.append(cv2.resize(folds, (width, height), interpolation=way))
    expected = np.average(natives, axis=0, weights=shares)
    found = native_probability(files(saved, ensemble), height=height, width=width, mean="probability")
    assert (found.shape, found.dtype) == ((height, width), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(step=steps, height=sizes, width=sizes)
def test_a_constant_map_is_constant_at_any_size(saved, step, height, width):
    paths = saved(np.full((6, 6), step / 65535))
    found = native_probability([(paths, 1.0)], height=height, width=width, mean="probability")
    np.testing.assert_allclose(found, np.full((height, width), step / 65535), atol=1e-6)


def test_a_map_that_shrinks_is_averaged(saved):
    fine = np.zeros((4, 6))
    fine[:2, ::3] = 1.0
    found = native_probability([(saved(fine), 1.0)], height=2, width=2, mean="probability")
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3], [0, 0]], atol=1e-5)


def test_height_and_width_keep_their_places(saved):
    upper = np.repeat([1.0, 0.0], 2)[:, None] * np.ones((1, 4))
    found = native_probability([(saved(upper), 1.0)], height=8, width=20, mean="probability")
    np.testing.assert_array_equal(found > 0.5, np.repeat([True, False], 4)[:, None] * np.full((1, 20), True))


@given(ensemble=ensembles().filter(lambda ensemble: len(ensemble) > 1))
def test_the_logit_mean_is_that_of_scipy(saved, ensemble):
    groups, shares = files(saved, ensemble), [weight for _, weight in ensemble]
    natives = [native_probability([group], height=6, width=9, mean="logit") for group in groups]
    logits = special.logit(np.clip(np.array(natives, np.float64), HALF_STEP, 1 - HALF_STEP))
    found = native_probability(groups, height=6, width=9, mean="logit")
    np.testing.assert_allclose(found, special.expit(np.average(logits, axis=0, weights=shares)), atol=1e-5)


@both_means
@given(maps=st.lists(arrays(np.uint16, (5, 7), elements=steps), min_size=1, max_size=5), weight=weights)
def test_one_experiment_of_any_weight_gives_the_bytes_of_the_plain_mean(saved, mean, maps, weight):
    paths = saved(*(one / np.float64(65535) for one in maps))
    stack = np.stack([read_probability(path) for path in paths])
    plain = np.asarray(np.mean(stack, axis=0, dtype=np.float32))
    plain = cv2.resize(plain, (20, 9), interpolation=cv2.INTER_LINEAR)
    found = native_probability([(paths, weight)], height=9, width=20, mean=mean)
    assert found.tobytes() == plain.tobytes()


@both_means
@given(ensemble=ensembles(), data=st.data())
def test_the_order_of_experiments_and_of_folds_does_not_matter(saved, mean, ensemble, data):
    groups = files(saved, ensemble)
    shuffled = [(data.draw(st.permutations(paths)), weight) for paths, weight in groups]
    shuffled = data.draw(st.permutations(shuffled))
    one, other = (native_probability(order, height=6, width=9, mean=mean) for order in (groups, shuffled))
    np.testing.assert_allclose(one, other, atol=2e-6)


@both_means
@given(ensemble=ensembles(), factor=st.floats(1e-3, 1e3))
def test_only_the_ratio_of_weights_matters(saved, mean, ensemble, factor):
    groups = files(saved, ensemble)
    scaled = [(paths, weight * factor) for paths, weight in groups]
    one, other = (native_probability(order, height=6, width=9, mean=mean) for order in (groups, scaled))
    np.testing.assert_allclose(one, other, atol=2e-6)


@both_means
@given(one=arrays(np.uint16, (4, 6), elements=steps), shares=st.lists(weights, min_size=2, max_size=5))
def test_experiments_that_agree_have_their_own_value_for_a_mean(saved, mean, one, shares):
    """In logit space to half a step of the files, by which 0 and 1 are moved."""
    paths = saved(one / np.float64(65535))
    alone = native_probability([(paths, 1.0)], height=4, width=6, mean=mean)
    together = native_probability([(paths, weight) for weight in shares], height=4, width=6, mean=mean)
    np.testing.assert_allclose(together, alone, atol=1e-6 + (mean == "logit") * HALF_STEP)


@both_means
@given(ensemble=ensembles())
def test_a_mean_lies_between_its_experiments(saved, mean, ensemble):
    groups = files(saved, ensemble)
    each = [native_probability([group], height=6, width=9, mean=mean) for group in groups]
    found = native_probability(groups, height=6, width=9, mean=mean)
    slack = 1e-6 + (mean == "logit") * HALF_STEP
    assert (found >= np.min(each, axis=0) - slack).all()
    assert (found <= np.max(each, axis=0) + slack).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_logit_mean_leans_to_the_sure_one(saved):
    """0.5 and 0.9 have logits 0 and 2.197: their mean is 0.75, and in probability 0.7."""
    groups = [(saved(np.full((2, 2), value)), 1.0) for value in (0.5, 0.9)]
    found = native_probability(groups, height=2, width=2, mean="probability")
    np.testing.assert_allclose(found, 0.7, atol=1e-4)
    found = native_probability(groups, height=2, width=2, mean="logit")
    np.testing.assert_allclose(found, 0.75, atol=1e-4)


def test_weights_and_axes_keep_their_places(saved):
    """The first experiment sees the upper half, the second, of three times its weight, the left one."""
    upper = np.zeros((4, 4))
    upper[:2] = 1
    groups = [(saved(upper), 1.0), (saved(upper.T), 3.0)]
    found = native_probability(groups, height=4, width=8, mean="probability")
    assert found[0, 0] == 1
    assert (found[0, -1], found[-1, 0], found[-1, -1]) == (0.25, 0.75, 0)


@pytest.mark.parametrize("groups", [[], [([Path("never read.tif")], 0.0)]])
def test_an_ensemble_without_weight_is_refused(groups):
    with pytest.raises(ValueError, match="at least one weight above 0"):
        native_probability(groups, height=2, width=2, mean="probability")


def test_an_experiment_of_weight_0_is_not_read(saved):
    paths = saved(np.full((2, 2), 0.5))
    groups = [([Path("never read.tif")], 0.0), (paths, 2.0)]
    assert (native_probability(groups, height=2, width=2, mean="logit") == np.float32(32768 / 65535)).all()


def test_folds_that_differ_in_size_are_refused(saved):
    paths = saved(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match=rf"{paths[1].name}: is \(1, 2, 3\) .* \(1, 2, 2\); run `dvc repro`"):
        native_probability([(paths, 1.0)], height=2, width=2, mean="probability")


def test_a_map_that_was_cut_off_is_refused_by_name(saved):
    whole, damaged = saved(*np.random.default_rng(0).random((2, 64, 64)))
    damaged.write_bytes(damaged.read_bytes()[:-3000])
    with pytest.raises(InputError, match=damaged.name):
        native_probability([([whole, damaged], 1.0)], height=64, width=64, mean="probability")


@both_means
def test_memory_does_not_grow_with_the_number_of_models(saved, mean):
    """numpy tells tracemalloc of its arrays: with 128 models as with 6, and a handful of maps at once."""
    paths = saved(*np.random.default_rng(0).random((4, 500, 500)))

    def peak(experiments: int, folds: int) -> int:
        groups = [((paths * folds)[:folds], 1.0)] * experiments
        tracemalloc.start()
        native_probability(groups, height=500, width=500, mean=mean)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(2, 3), peak(8, 16)
    assert many < few + 50_000  # bytes; a map has a million
    assert many < 6 * 500 * 500 * 4


# ------------------------------------------------------------------ where maps lie


def an_experiment(root: Path, held_out: dict[int, str]) -> Experiment:
    for fold, name in held_out.items():
        for part, names in {"oof": [name], "shifted": [name], "test": ["t"]}.items():
            folder = root / f"fold_{fold}" / part / "flips"
            folder.mkdir(parents=True)
            for one in names:
                write_probability(folder / f"{one}.tif", np.full((2, 2), fold / 10))
    return Experiment(root.name, root, tuple(held_out), 1.0, "flips")


def test_an_image_is_answered_by_all_folds_or_by_the_one_that_held_it_out(tmp_path):
    experiment = an_experiment(tmp_path / "own", {0: "a", 3: "b"})
    folder = tmp_path / "own"
    assert experiment.maps("test", "t") == [folder / f"fold_{k}" / "test" / "flips" / "t.tif" for k in (0, 3)]
    for part in ("oof", "shifted"):
        assert experiment.maps(part, "b") == [folder / "fold_3" / part / "flips" / "b.tif"]
    with pytest.raises(InputError, match=r"no fold of \[0, 3\] holds oof/flips/c.tif; run `dvc repro`"):
        experiment.maps("oof", "c")


def test_members_may_have_dealt_the_images_otherwise(tmp_path):
    own = an_experiment(tmp_path / "own", {0: "a", 1: "b"})
    an_experiment(tmp_path / "members" / "other", {0: "b", 2: "a"})
    facts = {"exp": {"folder": "other", "folds": [0, 2]}}
    jsonfile.write(tmp_path / "members" / ensemble.LIST, {"members": facts})
    experiments = ensemble.ensemble(own, tmp_path / "members", {"exp": 3.0})
    (first, weight), (second, more) = ensemble.groups(experiments, "oof", "a")
    assert (weight, more) == (1, 3)
    assert [path.parts[-4] for path in (*first, *second)] == ["fold_0", "fold_2"]
    assert len(ensemble.groups([own._replace(weight=0.0), experiments[1]], "oof", "a")) == 1
    with pytest.raises(InputError, match=r"holds \['exp'\] but the rules weigh \['gone'\]; run `dvc repro`"):
        ensemble.ensemble(own, tmp_path / "members", {"gone": 1.0})


def test_each_class_has_the_mean_of_its_own_maps(tmp_path):
    """As of one class alone, whatever lies in the other bands."""
    maps = np.random.default_rng(0).random((2, 3, 5, 4), np.float32) / 3
    for number, probability in enumerate(maps):
        with map_file.writer(tmp_path / f"{number}.tif", 5, 4, 3) as write:
            write(probability)
        for band in range(3):
            write_probability(tmp_path / f"{number}_{band}.tif", probability[band])
    how: Any = {"height": 11, "width": 6, "mean": "probability"}
    found = means.native_probability([([tmp_path / "0.tif", tmp_path / "1.tif"], 1.0)], **how)
    for band in range(3):
        alone = [tmp_path / f"{number}_{band}.tif" for number in range(2)]
        np.testing.assert_array_equal(found[band], native_probability([(alone, 1.0)], **how))
