"""Laws of how values become 8 bits: windows of HU, and percentiles of a volume, slice by slice."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.errors import InputError
from ftu_tools.dataset import make
from ftu_tools.dataset.volumes import levels
from nifti_files import store, volume
from own_data import image_of, run

values = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1000.0])
shares = st.integers(0, 1000).map(lambda tenths: tenths / 10)


@settings(max_examples=40)
@given(parts=st.lists(arrays(np.float32, (2, 3), elements=values), min_size=1, max_size=4), share=shares)
def test_a_percentile_is_a_value_of_the_volume_at_its_place(parts, share):
    """Whatever the slices are, all together in order."""
    ordered = np.sort(np.concatenate([part.ravel() for part in parts]))
    place = max(1, math.ceil(Fraction(str(share)) * ordered.size / 100))
    assert levels.at_percentiles(lambda: iter(parts), [share]) == (ordered[place - 1],)


def test_of_a_hundred_values_the_percentile_is_that_value():
    steps = np.arange(1, 101, dtype=np.float32).reshape(4, 25)
    assert levels.at_percentiles(lambda: iter(steps), [0, 0.5, 7, 99.5, 100]) == (1, 1, 7, 100, 100)


@pytest.mark.parametrize(
    "typed", [["--window=-160,240"], ["--window", "-160,240"], ["--range", "-160", "240"]]
)
def test_a_window_is_of_hu_by_the_headers_slope_and_offset(tmp_path, typed):
    """-1024, 0, 40, 976 HU: stored as unsigned numbers, whose difference would wrap."""
    stored = np.array([0, 1024, 1064, 2000], np.uint16).reshape(2, 2, 1)
    store(tmp_path / "a.nii", stored, slope=1, inter=-1024)
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", *typed)
    assert image_of(tmp_path / "root", "a_z000", "test").tolist() == [[0, 128], [102, 255]]  # rows are y


def test_the_slope_counts_too(tmp_path):
    stored = np.array([-4, 0, 8, 16], np.int16).reshape(4, 1, 1)
    store(tmp_path / "a.nii.gz", stored, slope=0.5, inter=10)  # 8, 10, 14, 18
    run(
        tmp_path / "s",
        tmp_path / "a.nii.gz",
        "--to",
        tmp_path / "root",
        "--unmasked-to-test",
        "--window=8,18",
    )
    assert image_of(tmp_path / "root", "a_z000", "test").tolist() == [[0, 51, 153, 255]]


def test_percentiles_are_of_each_volume_by_itself(tmp_path):
    """A volume that is ten times as bright gives the same slices."""
    stored = volume().astype(np.int32)
    for name, factor in (("a", 1), ("b", 10)):
        store(tmp_path / f"in/{name}.nii.gz", stored * factor)
    run(
        tmp_path / "s",
        tmp_path / "in",
        "--to",
        tmp_path / "root",
        "--unmasked-to-test",
        "--percentiles",
        "2,98",
    )
    low, high = np.percentile(stored, [2, 98], method="inverted_cdf")
    for z in range(stored.shape[2]):
        expected = np.rint((stored[:, :, z].T - low) / (high - low) * 255).clip(0, 255)
        for name in "ab":
            np.testing.assert_array_equal(image_of(tmp_path / "root", f"{name}_z{z:03}", "test"), expected)


def test_a_ct_without_air_is_told(tmp_path, capsys):
    words = tmp_path / "a.nii", "--dry-run", "--unmasked-to-test"
    store(tmp_path / "a.nii", volume() + 1024)
    run(tmp_path / "s", *words, "--window=-160,240")
    assert "has no value below 0, and of CT air is about -1000 HU" in capsys.readouterr().err
    run(tmp_path / "s", *words, "--window=0,240")
    store(tmp_path / "a.nii", volume())
    run(tmp_path / "s", *words, "--window=-160,240")
    assert "air" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--window", "240,-160", "a lower and a higher value"),
        ("--window", "40,40", "a lower and a higher value"),
        ("--window", "nan,40", "a lower and a higher value"),
        ("--window", "-inf,40", "a lower and a higher value"),
        ("--window", "40", "no two numbers"),
        ("--window", "a,b", "no two numbers"),
        ("--percentiles", "-1,99", "from 0 to 100"),
        ("--percentiles", "1,101", "from 0 to 100"),
        ("--percentiles", "99,1", "a lower and a higher value"),
    ],
)
def test_levels_that_are_none_are_refused(option, text, said):
    with pytest.raises(InputError, match=f"{option}: .*{said}"):
        make.parsed(["a.nii", "--dry-run", f"{option}={text}"])


def test_one_way_is_said(tmp_path):
    with pytest.raises(InputError, match="--window, --percentiles: both say"):
        make.parsed(["a.nii", "--dry-run", "--percentiles", "1,99", "--window", "0,1"])
    np.save(tmp_path / "a.npy", np.zeros((3, 4), np.int16))
    with pytest.raises(InputError, match=r"--percentiles: are of NIfTI, and .*a.npy is none"):
        run(tmp_path / "s", tmp_path / "a.npy", "--dry-run", "--unmasked-to-test", "--percentiles", "1,99")


@pytest.mark.parametrize(
    ("stored", "words", "said"),
    [
        (volume(), [], "values from -1000 to 1493; .*--window=-160,240; of MRI --percentiles"),
        (volume(), ["--window=2000,3000"], "none in the window 2000,3000"),
        (volume(), ["--window=-3000,-2000"], "none in the window -3000,-2000"),
        (np.full((2, 3, 4), 7, np.int16), ["--percentiles=0,100"], "values from 7 to 7.* are both 7"),
        (np.full((2, 3, 4), np.nan, np.float32), ["--percentiles=0,100"], "24 of 24 voxels are NaN"),
        (
            np.where(np.arange(24).reshape(2, 3, 4) == 23, np.inf, 0),
            ["--window=0,1"],
            "1 of 24 voxels are NaN",
        ),
    ],
)
def test_a_volume_without_contrast_is_refused(tmp_path, stored, words, said):
    store(tmp_path / "a.nii.gz", stored)
    with pytest.raises(InputError, match=f"a.nii.gz: .*{said}"):
        run(tmp_path / "s", tmp_path / "a.nii.gz", "--dry-run", "--unmasked-to-test", *words)
