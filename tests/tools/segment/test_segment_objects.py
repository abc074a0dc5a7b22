"""Objects: outlines are valid and draw them again, sizes are right, and QuPath's file holds both."""

import gzip
import json
import uuid
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.geometry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftu.masks import components
from ftu_tools.dataset.drawn import qupath
from ftu_tools.segment import objects, outlines
from ftu_tools.segment.objects import Found
from ftu_tools.segment.outputs import geojson
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.tissue import Tissue

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


def measured(
    mask: np.ndarray, *, um=(1.0, 1.0), times=(1, 1), inner=None, level=0.75
) -> list[objects.Object]:
    """The objects of a mask whose pixels are `times` px of a slide, (down, across)."""
    height, width = mask.shape
    grid = Grid(height, width, (height * times[0], width * times[1]))
    tissue = np.ones((height, width), bool) if inner is None else inner
    parts = components.find(mask.astype(np.uint8), 1, connectivity=8)
    found = Found("ftu", parts, lambda rows, columns: np.full(mask.shape, level)[rows, columns])
    return list(objects.each([found], grid, um, Tissue(np.zeros((1, 1, 3)), tissue, tissue)))


def disc(radius: float, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5
    return (x - side / 2) ** 2 + (y - side / 2) ** 2 < radius**2


@given(MASKS)
@pytest.mark.parametrize("most", [1, 20, 2**22])
def test_outlines_are_valid_and_draw_the_mask_again(most, mask):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlines, "MOST", most)  # one at a time, a few, all
        found = measured(mask)
    assert all(one.outline.is_valid and not one.repaired for one in found)
    features = [json.loads(json.dumps(geojson._feature(one, "s", "annotation", (1, 2, 3)))) for one in found]
    again = qupath.draw(Path("a.geojson"), features, mask.shape)
    np.testing.assert_array_equal(again.values > 0, mask > 0)
    assert len(found) == components.find(mask, 1, connectivity=8).areas.size
    assert sum(one.area for one in found) == mask.sum()


def test_squares_that_touch_at_a_corner_are_one_object_of_two_polygons():
    mask = np.zeros((6, 7), np.uint8)
    mask[1:3, 1:3] = mask[3:5, 3:5] = 1
    (one,) = measured(mask)
    assert isinstance(one.outline, shapely.MultiPolygon)
    assert [part.area for part in one.outline.geoms] == [4, 4]
    assert one.area == 8
    mask[2, 3] = 1  # joins them
    (one,) = measured(mask)
    assert one.outline.geom_type == "Polygon"


@pytest.mark.parametrize("radius", [20, 57.3])
def test_a_disc_has_the_sizes_of_a_disc(radius):
    (one,) = measured(disc(radius, 121), um=(0.5, 0.5), times=(4, 4))
    um = radius * 4 * 0.5
    assert one.area == pytest.approx(np.pi * um**2, rel=0.01)
    assert one.perimeter == pytest.approx(2 * np.pi * um, rel=0.025)
    assert one.circularity == pytest.approx(1, abs=0.05)
    assert one.diameter == pytest.approx(2 * um, rel=0.07)
    assert (one.x, one.y) == pytest.approx((242, 242))
    assert one.probability == 0.75


def test_pixels_need_not_be_square():
    """DICOM's spacing of 0.0005 by 0.00025 mm, row first."""
    mask = np.zeros((12, 30), np.uint8)
    mask[2:7, 5:25] = 1  # 100 px
    (one,) = measured(mask, um=(0.25, 0.5))
    assert one.area == 12.5
    assert (one.x, one.y) == (15, 4.5)
    assert one.diameter == pytest.approx(np.hypot(20 * 0.25, 5 * 0.5))
    assert one.perimeter == pytest.approx(15, rel=0.08)


def test_a_hole_is_in_the_area_and_not_in_the_perimeter():
    ring = disc(20, 60) & ~disc(8, 60)
    (whole,), (one,) = measured(disc(20, 60)), measured(ring)
    assert one.perimeter == whole.perimeter
    assert one.area == ring.sum()
    assert isinstance(one.outline, shapely.Polygon)
    assert len(one.outline.interiors) == 1


def test_what_touches_the_edge_of_slide_or_tissue_is_told():
    mask = np.zeros((20, 40), np.uint8)
    for left in (0, 10, 20, 30):
        mask[5:8, left : left + 3] = 1
    inner = np.ones((10, 20), bool)
    inner[:, 10:] = False  # right of column 20
    assert [one.at_edge for one in measured(mask, inner=inner)] == [True, False, True, True]


def test_qupath_gets_annotations_and_of_too_many_detections(tmp_path, monkeypatch):
    mask = np.zeros((20, 40), np.uint8)
    mask[2:5, 3:9] = mask[10:15, 20:30] = 1
    found = measured(mask, times=(3, 2))
    kinds = []
    for most in (2, 1):
        monkeypatch.setattr(geojson, "MOST_ANNOTATIONS", most)
        for path in (tmp_path / "a.geojson", tmp_path / "a.geojson.gz"):
            with geojson.writer(path, "hash", ["ftu"], len(found)) as write:
                for one in found:
                    write(one)
        text = gzip.decompress(path.read_bytes()).decode()
        assert text == (tmp_path / "a.geojson").read_text(encoding="utf-8")
        content = json.loads(text)
        kinds.append([feature["properties"]["objectType"] for feature in content["features"]])
    assert kinds == [["annotation"] * 2, ["detection"] * 2]
    first = content["features"][0]
    assert shapely.geometry.shape(first["geometry"]).bounds == (6, 6, 18, 15)  # x first, px of the slide
    assert uuid.UUID(first["id"]).version == 5
    assert first["properties"]["classification"] == {"name": "ftu", "color": list(geojson.COLOURS[0])}
    assert first["properties"]["measurements"]["Area µm^2"] == 18 * 6
    assert len({feature["id"] for feature in content["features"]}) == 2


def test_no_measurement_is_nan(tmp_path):
    mask = np.zeros((5, 5), np.uint8)
    mask[2, 2] = 1
    (one,) = measured(mask, level=np.nan)
    with (
        pytest.raises(ValueError, match="JSON compliant"),
        geojson.writer(tmp_path / "a.geojson", "", ["ftu"], 1) as write,
    ):
        write(one)
    assert list(tmp_path.iterdir()) == []
