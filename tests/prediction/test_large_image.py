"""An image of 20,000 x 20,000 px is predicted in less memory than the image itself takes, and right."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window

import predict_large
from ftu.networks.common.standardize import image_batch
from imports import ROOT
from maps import read_probability

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
SIDE, LIMIT = 20_000, 1500  # px, MB
CONTEXT = 8  # px, more than the network sees around one
TILE = np.random.default_rng(0).integers(0, 256, (250, 250, 3), np.uint8)


def rows_of(top, bottom):
    """Rows of the image: one tile over and over, every row of it darker than the one above."""
    tiled = np.take(np.tile(TILE, (1, SIDE // 250, 1)), np.arange(top, bottom) % 250, axis=0)
    return (tiled * (1 - 0.5 * np.arange(top, bottom)[:, None, None] / SIDE)).astype(np.uint8)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.tiff"
    shape = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    with rasterio.open(path, "w", photometric="RGB", **shape, **tiles) as tiff:
        for top in range(0, SIDE, 512):
            rows = rows_of(top, min(top + 512, SIDE))
            place = Window.from_slices((top, top + len(rows)), (0, SIDE))
            tiff.write(np.moveaxis(rows, -1, 0), window=place)
    return path


@pytest.fixture(scope="module")
def predicted(large):
    """The file of probabilities, and the MB that it took to make it."""
    target = large.with_name("large.tif")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support" / "predict_large.py"), str(large), str(target)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target, int(done.stdout)


def test_the_memory_stays_under_its_limit(predicted):
    assert predicted[1] < LIMIT


@pytest.mark.parametrize(
    ("top", "left"), [(0, 0), (800, 700), (9_900, 12_345), (19_000, 0), (19_700, 19_700)]
)
def test_a_part_is_what_the_network_gives_for_it_alone(predicted, top, left):
    around = [np.arange(start - CONTEXT, start + 300 + CONTEXT) for start in (top, left)]
    seen = [np.abs(places - 2 * np.maximum(places - (SIDE - 1), 0)) for places in around]  # mirrored
    rows = rows_of(seen[0].min(), seen[0].max() + 1)
    pixels = rows[np.ix_(seen[0] - seen[0].min(), seen[1])]
    with torch.no_grad():
        batch = image_batch(torch.from_numpy(pixels)[None], (0.5,) * 3, (0.25,) * 3)
        alone = predict_large.network()(batch)[0, 0, CONTEXT:-CONTEXT, CONTEXT:-CONTEXT].numpy()
    given_ = read_probability(predicted[0], slice(top, top + 300), slice(left, left + 300))
    np.testing.assert_allclose(given_, alone, rtol=0, atol=1e-3)  # a window's rim knows less, counts less
    assert np.abs(given_ - alone).mean() < 1e-5
    assert given_.std() > 0.01  # or all of this says little
