"""A TIFF of which the disk takes a part is an error: GDAL itself closes it without a word."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio

from ftu.datasets import image_files
from ftu.errors import InputError
from ftu.files import gdal
from ftu.probabilities import map_file

LIMIT = 2**16  # bytes
NOISE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file become larger than LIMIT."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_image_is_written_whole_or_it_is_an_error(tmp_path):
    with small_files(), pytest.raises(OSError, match=r"Write failed|Input/output error"):
        image_files.write_tiff(tmp_path / "a.tiff", NOISE)
    image_files.write_tiff(tmp_path / "a.tiff", NOISE)
    np.testing.assert_array_equal(image_files.read_image(tmp_path / "a.tiff"), NOISE)


def test_what_a_full_disk_left_out_in_the_middle_is_an_error(tmp_path):
    """As GDAL leaves a file on a disk that is full: later strips have their place, earlier ones are holes."""
    path = tmp_path / "a.tiff"
    image_files.write_tiff(path, NOISE)
    assert gdal.is_whole(path)
    whole, page = path.read_bytes(), 4096
    with path.open("wb") as file:
        file.write(whole[:page])
        file.seek(3 * page)
        file.write(whole[3 * page :])
    assert path.stat().st_size == len(whole)
    assert not gdal.is_whole(path)
    path.write_bytes(whole)
    assert gdal.is_whole(path)


def test_a_map_is_written_whole_or_not_at_all(tmp_path):
    path, probability = tmp_path / "a.tif", (NOISE[..., 0] / 255).astype(np.float32)
    with (
        small_files(),
        pytest.raises(OSError, match="Input/output error"),
        map_file.writer(path, 200, 300) as write,
    ):
        write(probability[None])
    assert not path.exists()


def test_a_copy_that_does_not_fit_is_told_with_the_way_out(tmp_path):
    path = tmp_path / "a.tiff"
    form = {
        "driver": "GTiff",
        "height": 200,
        "width": 300,
        "count": 3,
        "dtype": "uint8",
        "photometric": "RGB",
    }
    with rasterio.open(path, "w", nodata=0, **form) as made:
        made.write(np.moveaxis(NOISE, -1, 0))
    with small_files(), pytest.raises(InputError, match=r"a\.tiff: .*; make room there, or set TMPDIR"):
        image_files.read_resized(path, (50, 50))
    assert image_files.read_resized(path, (50, 50)).shape == (50, 50, 3)
