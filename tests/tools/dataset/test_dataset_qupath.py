"""Laws of QuPath's GeoJSON: areas by pixel centres, holes, parts, order, and classes by their names."""

import numpy as np
import pytest
import tifffile

from ftu.errors import InputError
from own_data import mask_of, picture, run, save, write_json

SIDE = 16


def square(left, right, top=None, bottom=None):
    top, bottom = (left, right) if top is None else (top, bottom)
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def feature(coordinates, name: str | None = "Tumor", kind="Polygon", **facts):
    """As QuPath 0.5 writes one."""
    named = {"classification": {"name": name, "color": [200, 0, 0]}} if name else {}
    return {
        "type": "Feature",
        "id": "c4f5a1d2-6f9c-4b62-9d8d-3f3e9e6c9c0a",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **named, "isLocked": False, **facts},
    }


HOLED = [square(0, 10), square(3, 7)]
PARTS = [HOLED, [square(12, 14, 0, 2)]]


@pytest.fixture
def made(tmp_path):
    """The mask that is made of a file's content, on an image of 16 x 20 px."""
    save(tmp_path / "images/a.tif", picture((SIDE, SIDE + 4)))

    def make(content, *words, classes="Tumor", name="a.geojson"):
        write_json(tmp_path / "qupath" / name, content)
        root = "--to", tmp_path / "root", "--classes", classes
        run(tmp_path / "s", tmp_path / "images", tmp_path / "qupath", *root, *words)
        return mask_of(tmp_path / "root", "a")

    return make


@pytest.mark.parametrize(
    ("coordinates", "kind", "pixels"),
    [
        (HOLED[:1], "Polygon", 100),
        (HOLED, "Polygon", 84),
        ([HOLED], "MultiPolygon", 84),
        (PARTS, "MultiPolygon", 88),
    ],
)
def test_a_pixel_belongs_to_the_polygon_that_its_centre_lies_in(made, coordinates, kind, pixels):
    mask = made({"type": "FeatureCollection", "features": [feature(coordinates, kind=kind)]})
    assert mask.sum() == pixels
    assert mask[9, 9]
    assert not mask[10].any()
    if pixels != 100:
        assert not mask[3:7, 3:7].any()


def test_a_pixel_whose_centre_lies_outside_is_not_in_the_polygon(made):
    """Columns 1 to 9 have theirs, at 1.5 to 9.5, in it; 0 and 10 are touched alone."""
    mask = made([feature([square(0.6, 10.4)])])
    assert mask.sum() == 81
    assert mask[1:10, 1:10].all()


@pytest.mark.parametrize("name", ["a.geojson", "a.json", "a.tif.geojson"])
@pytest.mark.parametrize("wrap", [lambda one: [one], lambda one: one])
def test_a_list_or_a_single_feature_is_read_too(made, wrap, name):
    one = feature([square(0, 10, 0, 3)])
    one["properties"]["object_type"] = one["properties"].pop("objectType")
    assert made(wrap(one), name=name).sum() == 30


@pytest.mark.parametrize("content", [[], {"type": "FeatureCollection", "features": []}])
def test_no_annotation_is_an_empty_mask(made, content):
    assert not made(content).any()


def test_names_are_classes_or_mapped_to_them(made):
    features = [
        feature([square(0, 4)], "gland"),
        feature([square(5, 8)], None, classification={"names": ["Tumor", "Positive"]}),
        feature([square(9, 12)], None),
    ]
    words = "--labels", "Tumor: Positive=vessel,unclassified=background"
    mask = made(features, *words, classes="gland,vessel")
    assert np.bincount(mask.ravel()).tolist() == [mask.size - 25, 16, 9]


def test_all_names_without_a_class_are_listed_with_their_counts(made, tmp_path):
    features = [feature([square(0, 4)], name) for name in ("Tumor", "Stroma", "Stroma", None)]
    with pytest.raises(
        InputError, match=r"a.geojson: label 'Stroma' .*'Stroma' \(2 times.*'unclassified' \(1 times"
    ):
        made(features)
    assert not (tmp_path / "root").exists()


def test_later_shapes_lie_over_earlier_ones_and_one_that_vanishes_is_told(made, capsys):
    features = [
        feature([square(2, 5)], "vessel"),
        feature([square(0, 10)], "gland"),
        feature([square(0, 1)], "vessel"),
    ]
    mask = made(features, classes="gland,vessel")
    assert np.bincount(mask.ravel())[1:].tolist() == [99, 1]
    assert "1 are not to be seen" in (told := capsys.readouterr().err)
    assert "shape 1 (vessel)" in told


def test_what_is_no_finding_or_no_area_is_left_out_and_told(made, capsys):
    features = [
        feature([square(0, 10)]),
        feature([square(0, 16)], objectType="tile"),
        feature([square(0, 16)], None, objectType="root"),
        feature([3.0, 4.0], kind="Point"),
    ]
    assert made(features).sum() == 100
    told = capsys.readouterr().err
    assert "2 are tiles" in told
    assert "1 are points" in told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([feature([square(30, 40)])], "feature 1 lies outside of its image"),
        ([feature([square(0, 4)[:3]])], "feature 1 has 3 points"),
        ([feature([[[0, "x"]] * 4])], "no pairs of numbers"),
        ([feature([[[0, float("nan")]] * 4])], "feature 1 has points beyond"),
        ([feature([])], "feature 1 has no points"),
        ([feature([square(0, 4)], kind="GeometryCollection")], "is a GeometryCollection"),
        ([{"type": "Feature"}], "is damaged"),
        ({"type": "Topology"}, "neither QuPath's GeoJSON nor LabelMe's"),
        (3, "holds a int"),
    ],
)
def test_what_cannot_be_drawn_is_refused(made, content, said):
    with pytest.raises(InputError, match=rf"a.geojson: .*{said}"):
        made(content)


def test_annotations_are_of_one_image_and_not_of_a_volume(made, tmp_path):
    tifffile.imwrite(tmp_path / "images/a.tif", picture((3, SIDE, SIDE)), photometric="minisblack")
    with pytest.raises(InputError, match=r"a.geojson: .*a.tif has 3 pages"):
        made([feature([square(0, 4)])])


def test_an_annotation_on_another_plane_is_refused(made):
    one = feature([square(0, 4)])
    one["geometry"]["plane"] = {"c": -1, "z": 2, "t": 0}
    with pytest.raises(InputError, match="plane"):
        made([one])
