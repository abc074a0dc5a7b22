"""Laws of LabelMe's JSON: drawn as LabelMe draws, in the order of the file, on its own image alone."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ftu.errors import InputError
from own_data import image_of, mask_of, picture, run, save, write_json

HEIGHT, WIDTH = 20, 24


def shape(label, points, kind="polygon", **facts):
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    } | facts


def content(*shapes, **facts):
    """As labelme 5 writes it."""
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    } | facts


def square(low, high):
    return [[low, low], [high, low], [high, high], [low, high]]


ONE, TWO = shape("1st", square(2, 17)), shape("2nd", square(6, 12))


@pytest.fixture
def made(tmp_path):
    """The mask that is made of a file's content, beside its image."""
    save(tmp_path / "in/a.png", picture((HEIGHT, WIDTH, 3)))

    def make(found, *words, classes="1st,2nd"):
        write_json(tmp_path / "in/a.json", found)
        run(tmp_path / "s", tmp_path / "in", "--to", tmp_path / "root", "--classes", classes, *words)
        return mask_of(tmp_path / "root", "a")

    return make


def test_order_decides_and_a_shape_that_vanishes_is_told(made, tmp_path, capsys):
    """256 px of 16 x 16, outline included, of which 49 of 7 x 7; 0 of these where they come first."""
    assert np.bincount(made(content(ONE, TWO)).ravel()).tolist() == [HEIGHT * WIDTH - 256, 207, 49]
    assert "not to be seen" not in capsys.readouterr().err
    (tmp_path / "root").rename(tmp_path / "other")
    assert np.bincount(made(content(TWO, ONE)).ravel()).tolist() == [HEIGHT * WIDTH - 256, 256]
    assert "shape 1 (2nd)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "corners", [[[15, 8], [8, 18]], [[8, 18], [15, 8]], [[8, 8], [15, 18]], [[15, 18], [8, 8]]]
)
def test_a_rectangle_may_be_drawn_from_any_corner(made, corners):
    mask = made(content(shape("1st", corners, "rectangle")))
    assert mask.sum() == 8 * 11
    assert mask[8:19, 8:16].all()


def test_a_circle_is_drawn_as_labelme_draws_it(made):
    mask = made(content(shape("1st", [[10.5, 9], [13.5, 13]], "circle", group_id=3)))
    canvas = Image.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(canvas).ellipse([5.5, 4, 15.5, 14], outline=1, fill=1)  # labelme/utils/shape.py
    np.testing.assert_array_equal(mask, np.asarray(canvas))
    assert 75 < mask.sum() < 100


def test_a_painted_mask_lies_where_its_first_point_is(made):
    painted = np.array([[1, 0, 1], [0, 1, 1]], bool)
    png = io.BytesIO()
    Image.fromarray(painted).save(png, "PNG")
    mask = made(
        content(shape("1st", [[4, 7], [6, 8]], "mask", mask=base64.b64encode(png.getvalue()).decode()))
    )
    np.testing.assert_array_equal(mask[7:9, 4:7], painted)
    assert mask.sum() == 4


def test_names_without_a_class_are_listed_and_may_be_mapped(made):
    shapes = content(
        ONE, shape("cell", square(3, 4)), shape("cell", square(8, 9)), shape("dirt", square(8, 9))
    )
    with pytest.raises(InputError, match=r"label 'cell' .*'cell' \(2 times, .*'dirt' \(1 times"):
        made(shapes)
    assert made(shapes, "--labels", "cell=2nd,dirt=background").max() == 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (content(ONE, imageHeight=WIDTH, imageWidth=HEIGHT), "imageHeight 24, imageWidth 20.* 20 x 24"),
        (content(ONE, imagePath="..\\images\\b.png"), "of the image 'b'"),
        (content(shape("1st", square(2, 9)[:2])), r"shape 1 \(1st\) has 2 points"),
        (content(shape("1st", square(2, 9), "oriented")), "is a oriented"),
        (content(shape("1st", square(90, 99))), "lies outside"),
        (content(shape("1st", [[2, 2], [4, 4]], "mask", mask="AAAA")), "mask is damaged"),
        (content({"label": "1st"}), "is damaged"),
    ],
)
def test_what_does_not_fit_its_image_is_refused(made, tmp_path, found, said):
    with pytest.raises(InputError, match=f"a.json: .*{said}"):
        made(found)
    assert not (tmp_path / "root").exists()


def test_points_and_lines_are_left_out_and_told(made, capsys):
    assert (
        made(content(ONE, shape("2nd", [[3, 3]], "point"), shape("2nd", square(2, 4), "linestrip"))).max()
        == 1
    )
    assert "2 are points or lines" in capsys.readouterr().err


def test_the_image_may_be_inside(made, tmp_path):
    stored = (tmp_path / "in/a.png").read_bytes()
    (tmp_path / "in/a.png").unlink()
    assert made(content(ONE, imageData=base64.b64encode(stored).decode())).sum() == 256
    assert (tmp_path / "root/train/images/a.png").read_bytes() == stored
    assert image_of(tmp_path / "root", "a").shape == (HEIGHT, WIDTH, 3)


def test_an_image_that_is_shown_turned_is_refused(made, tmp_path):
    """Its annotations may be of the frame that was shown, or of that which is stored: nobody can tell."""
    (tmp_path / "in/a.png").unlink()
    exif = Image.Exif()
    exif[0x112] = 6
    save(tmp_path / "in/a.jpg", picture((20, 40, 3)), exif=exif)
    with pytest.raises(InputError, match=r"a.jpg: .*Orientation 6"):
        made(content(ONE, imagePath="a.jpg", imageHeight=40, imageWidth=20))
    save(tmp_path / "in/a.jpg", np.zeros((40, 20, 3), np.uint8))
    found = content(
        shape("1st", [[0, 30], [9, 39]], "rectangle"), imagePath="a.jpg", imageHeight=40, imageWidth=20
    )
    mask = made(found)
    assert mask.shape == image_of(tmp_path / "root", "a").shape[:2] == (40, 20)
    assert mask[30:, :10].all()
    assert mask.sum() == 100
