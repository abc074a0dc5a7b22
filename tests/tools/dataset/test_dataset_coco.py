"""Laws of COCO's annotations: what pycocotools says of them, and nothing that it would believe unseen."""

import sys
import unicodedata

import numpy as np
import pytest
from pycocotools import mask as oracle

from ftu.errors import InputError
from own_data import labelled, mask_of, picture, run, save, write_json

HEIGHT, WIDTH = 24, 32
NAMES = ("001", "NA", "1e5")


def ring(left, right):
    return [left, left, right, left, right, right, left, right]


def blob(seed=0):
    """Any mask, by rows and columns of unequal number."""
    return np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.4


def compressed(mask):
    counts = oracle.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert isinstance(counts, bytes)
    return {"size": [HEIGHT, WIDTH], "counts": counts.decode()}


def uncompressed(mask):
    """Runs down the columns, the first of 0."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *edges, flat.size]).tolist()}


def content(*segmentations, categories=("gland", "vessel"), **facts):
    """Each (category, segmentation) on the first image, as annotation 1, 2, ..."""
    images = [
        {"id": 7 + number, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH}
        for number, name in enumerate(NAMES)
    ]
    annotations = [
        {
            "id": number,
            "image_id": 7,
            "category_id": 3 + 2 * category,
            "segmentation": found,
            "iscrowd": 0,
            "area": 1,
        }
        for number, (category, found) in enumerate(segmentations, start=1)
    ]
    named = [{"id": 3 + 2 * number, "name": name} for number, name in enumerate(categories)]
    return {"images": images, "annotations": annotations, "categories": named} | facts


@pytest.fixture
def made(tmp_path):
    """The mask of the first image that is made of a file's content."""
    for name in NAMES:
        save(tmp_path / "images" / f"{name}.png", picture((HEIGHT, WIDTH)))

    def make(found, *words, classes="gland,vessel"):
        path = write_json(tmp_path / "coco.json", found)
        root = "--to", tmp_path / "root", "--classes", classes
        run(tmp_path / "s", tmp_path / "images", path, *root, *words)
        return mask_of(tmp_path / "root", NAMES[0])

    return make


def test_several_rings_are_a_union_and_a_ring_inside_another_is_told(made, tmp_path, capsys):
    assert made(content((0, [ring(2, 22), ring(8, 12)]))).sum() == 400
    assert "1 have a ring inside another" in (told := capsys.readouterr().err)
    assert "annotation 1" in told
    (tmp_path / "root").rename(tmp_path / "other")
    assert made(content((0, [ring(0, 4), ring(10, 14)]))).sum() == 32
    assert "ring" not in capsys.readouterr().err


def test_the_public_case_of_a_ring_in_a_ring(tmp_path):
    save(tmp_path / "images/a.png", np.zeros((500, 500), np.uint8))
    found = content((0, [ring(100, 400), ring(200, 300)]))
    found["images"] = [{"id": 7, "file_name": "images/a.png", "height": 500, "width": 500}]
    write_json(tmp_path / "coco.json", found)
    run(
        tmp_path / "s",
        tmp_path / "images",
        tmp_path / "coco.json",
        "--to",
        tmp_path / "root",
        "--classes",
        "gland,vessel",
    )
    assert mask_of(tmp_path / "root", "a").sum() == 90_000


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_is_known_whichever_way_its_accents_are_written(tmp_path, forms):
    said, stored = (unicodedata.normalize(form, "größe.png") for form in forms)
    save(tmp_path / "images" / stored, picture((HEIGHT, WIDTH)))
    found = content((1, [ring(2, 22)]))
    found["images"] = [{"id": 7, "file_name": said, "height": HEIGHT, "width": WIDTH}]
    path = write_json(tmp_path / "coco.json", found)
    run(tmp_path / "s", tmp_path / "images", path, "--to", tmp_path / "root", "--classes", "gland,vessel")
    assert mask_of(tmp_path / "root", unicodedata.normalize("NFC", "größe")).sum() == 800


@pytest.mark.parametrize("form", [compressed, uncompressed])
@pytest.mark.parametrize("mask", [blob(), np.ones((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))])
def test_rles_are_what_pycocotools_encodes(made, form, mask):
    """A crowd is an area of its class as well."""
    found = content((1, form(mask)))
    found["annotations"][0]["iscrowd"] = 1
    np.testing.assert_array_equal(made(found), 2 * mask)


def test_later_objects_lie_over_earlier_ones_and_an_image_without_is_empty(made, tmp_path):
    mask = made(content((1, [ring(0, 10)]), (0, [ring(5, 15)])))
    assert np.bincount(mask.ravel())[1:].tolist() == [100, 75]
    assert not any(mask_of(tmp_path / "root", name).any() for name in NAMES[1:])


def test_names_without_a_class_are_listed_and_may_be_mapped(made):
    found = content((0, [ring(0, 4)]), (1, [ring(5, 9)]), categories=("cell", "gland"))
    with pytest.raises(InputError, match=r"label 'cell' has no class"):
        made(found)
    assert np.bincount(made(found, "--labels", "cell=vessel").ravel())[1:].tolist() == [16, 16]


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[1, 2, 3, 4, 5]], "a ring of 5 numbers"),
        ([ring(2, 9), [1, 2, 3, 4]], "a ring of 4 numbers"),
        ([[1, 2, 3, 4, 5, 1e9]], "points beyond"),
        ([[1, 2, 3, 4, 5, float("nan")]], "points beyond"),
        ([ring(90, 99)], "lies outside"),
        ([], "has no segmentation"),
        (None, "has no segmentation"),
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "runs of 7"),
        ({"size": [HEIGHT, WIDTH], "counts": [-3, HEIGHT * WIDTH + 3]}, "RLE"),
        ({"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}, "32 x 24"),
        ({"size": [HEIGHT, WIDTH], "counts": compressed(blob())["counts"][:-2]}, "RLE"),
        ({"size": [HEIGHT, WIDTH], "counts": "000"}, "runs of 0"),
        ({"size": [HEIGHT, WIDTH], "counts": "\x7f"}, "RLE"),
    ],
)
def test_what_pycocotools_would_read_as_something_else_is_refused(made, tmp_path, segmentation, said):
    with pytest.raises(InputError, match=rf"coco.json: .*{said}"):
        made(content((0, segmentation)))
    assert not (tmp_path / "root").exists()


def test_a_file_that_contradicts_itself_or_its_images_is_refused(made):
    for change, said in (
        (lambda file: file["annotations"][0].update(image_id=99), "image_id 99"),
        (lambda file: file["annotations"][0].update(category_id=99), "category_id 99"),
        (lambda file: file["images"][0].update(height=WIDTH, width=HEIGHT), "height 32, width 24"),
        (
            lambda file: file["images"][0].update(file_name="none.png"),
            "1 of 3 images are not in the folder: none.png",
        ),
        (lambda file: file["images"][0].update(file_name="b/NA.png"), "names NA.png more than once"),
        (lambda file: file.pop("categories"), "is damaged"),
    ):
        found = content((0, [ring(0, 4)]))
        change(found)
        with pytest.raises(InputError, match=f"coco.json: .*{said}"):
            made(found)


def test_an_image_that_the_file_does_not_name_has_no_mask(made, tmp_path):
    save(tmp_path / "images/more.png", labelled(1))
    with pytest.raises(InputError, match=r"1 of 4 images have no mask: more.png"):
        made(content())


def test_the_file_among_the_images_is_told_how_to_be_named(tmp_path):
    path = write_json(tmp_path / "images/_annotations.coco.json", content())
    with pytest.raises(InputError, match=f"IMAGES {path}"):
        run(tmp_path / "s", tmp_path / "images", "--dry-run")


def test_without_pycocotools_it_is_said_what_installs_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(InputError, match="uv sync --extra import"):
        made(content())
