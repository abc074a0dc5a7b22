"""Laws of masks that are images: which class a value or a colour is, and that none is guessed."""

import re
import shlex

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from ftu.errors import InputError
from own_data import SHAPE, labelled, mask_of, picture, run, save

VOC = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], np.uint8)
VOC_LABELS = "#800000=a,#008000=b,#808000=c"
NUMBERS = labelled(1, 3, 6)


@pytest.fixture
def made(tmp_path):
    """The mask that is made of the one at `mask`, of an image beside it."""

    def make(mask, *words):
        array = np.asarray(Image.open(mask)) if mask.suffix != ".tif" else tifffile.imread(mask)
        save(tmp_path / "image/a.png", picture(array.shape[:2]))
        run(tmp_path / "s", tmp_path / "image/a.png", mask, "--to", tmp_path / "root", *words)
        return mask_of(tmp_path / "root", "a")

    return make


def disc(radius, side):
    y, x = np.mgrid[:side, :side] - side // 2
    return x**2 + y**2 < radius**2


@pytest.mark.parametrize("top", [1, 255])
def test_one_class_of_0_and_1_or_0_and_255_is_0_and_1(tmp_path, made, top):
    mask = made(save(tmp_path / "m.png", labelled(top, 0, top)), "--classes", "gland")
    np.testing.assert_array_equal(mask, labelled(1, 0, 1))


def test_each_label_of_an_instance_is_the_one_class(tmp_path, made):
    many = np.arange(54, dtype=np.uint16).reshape(SHAPE) * 1200
    tifffile.imwrite(tmp_path / "m.tif", many)
    np.testing.assert_array_equal(made(tmp_path / "m.tif", "--classes", "gland"), many > 0)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
def test_labels_are_mapped_to_classes(tmp_path, made, kind):
    """Numbers that no table would hold, too."""
    far = {1: 1, 3: 3, 6: 70_000 if kind == np.int32 else 6}
    stored = NUMBERS.astype(kind)
    stored[NUMBERS == 6] = far[6]
    tifffile.imwrite(tmp_path / "m.tif", stored)
    mask = made(
        tmp_path / "m.tif", "--classes", "gland,vessel", "--labels", f"1=vessel,3=gland,{far[6]}=background"
    )
    np.testing.assert_array_equal(mask, np.select([NUMBERS == 1, NUMBERS == 3], [2, 1]))


@pytest.mark.parametrize(
    ("classes", "labels", "value"), [("a,b", "", "'3'"), ("a", "1=a,3=a", "'6'"), ("a,b,c,d,e", "", "'6'")]
)
def test_a_label_without_a_class_is_refused_with_file_and_value(tmp_path, made, classes, labels, value):
    path = save(tmp_path / "m.png", NUMBERS)
    with pytest.raises(InputError, match=rf"m.png: label {value} has no class.*--labels"):
        made(path, "--classes", classes, "--labels", labels)
    assert not (tmp_path / "root").exists()


def test_numbers_are_classes_in_their_order(tmp_path, made):
    path = save(tmp_path / "m.png", NUMBERS)
    np.testing.assert_array_equal(made(path, "--classes", "a,b,c,d,e,f"), NUMBERS)


def test_a_palettes_index_is_the_label_and_not_its_colours_grey(tmp_path, made):
    indexed = Image.fromarray(np.array([[0, 1, 0], [2, 3, 0]], np.uint8), "P")
    indexed.putpalette(VOC.ravel().tolist())
    indexed.save(tmp_path / "m.png")
    assert made(tmp_path / "m.png", "--classes", "a,b,c").tolist() == [[0, 1, 0], [2, 3, 0]]


def test_a_palettes_colours_may_be_named_too(tmp_path, made):
    indexed = Image.fromarray(np.array([[0, 1, 0], [2, 3, 0]], np.uint8), "P")
    indexed.putpalette(VOC[[0, 3, 2, 1]].ravel().tolist())
    indexed.save(tmp_path / "m.png")
    mask = made(tmp_path / "m.png", "--classes", "a,b,c", "--labels", VOC_LABELS)
    assert mask.tolist() == [[0, 3, 0], [2, 1, 0]]


def test_colours_are_classes_and_black_is_the_background(tmp_path, made):
    labels = np.array([[0, 1, 0], [2, 3, 0]])
    path = save(tmp_path / "m.png", VOC[labels])
    np.testing.assert_array_equal(
        made(path, "--classes", "a,b,c", "--labels", VOC_LABELS.upper().lower()), labels
    )


def test_another_colour_may_be_the_background(tmp_path, made):
    white = np.where(labelled(1)[..., np.newaxis], np.zeros(3, np.uint8), np.uint8(255))
    path = save(tmp_path / "m.png", white)
    mask = made(path, "--classes", "a", "--labels", "#FFFFFF=background,#000000=a")
    np.testing.assert_array_equal(mask, labelled(1))


@pytest.mark.parametrize("labels", ["", "#800000=a"])
def test_a_colour_without_a_class_is_refused(tmp_path, made, labels):
    path = save(tmp_path / "m.png", VOC[np.array([[0, 1, 0], [2, 2, 0]])])
    with pytest.raises(InputError, match=r"m.png: label '#\w+' has no class.*#008000' \(1 times, 2 px\)"):
        made(path, "--classes", "a", "--labels", labels)


def test_grey_saved_as_rgb_is_grey(tmp_path, made):
    path = save(tmp_path / "m.png", np.repeat(NUMBERS[..., np.newaxis], 3, axis=-1))
    np.testing.assert_array_equal(made(path, "--classes", "a,b,c,d,e,f"), NUMBERS)


def test_colours_of_a_jpeg_take_the_nearest_and_what_was_off_is_told(tmp_path, made, capsys):
    blocks = np.kron(np.random.default_rng(0).integers(0, 4, (6, 6)), np.ones((16, 16), int))
    path = save(tmp_path / "m.jpg", VOC[blocks], quality=75)
    np.testing.assert_array_equal(made(path, "--classes", "a,b,c", "--labels", VOC_LABELS), blocks)
    told = re.search(r"m.jpg \((\d+) of 9216 px\)", capsys.readouterr().err)
    assert told
    assert int(told[1]) > 9216 / 2  # decoders differ


def test_a_colour_of_a_jpeg_that_is_far_from_all_is_refused(tmp_path, made):
    path = save(tmp_path / "m.jpg", np.full((16, 24, 3), (0, 0, 255), np.uint8))
    with pytest.raises(InputError, match=r"m.jpg: 384 px have colours that are far"):
        made(path, "--classes", "a,b,c", "--labels", VOC_LABELS)


def test_two_greys_of_a_jpeg_are_cut_in_the_middle(tmp_path, made):
    path = save(tmp_path / "m.jpg", disc(20, 64) * np.uint8(255), quality=75)
    assert (np.asarray(Image.open(path)) > 0).sum() > 1500
    mask = made(path, "--classes", "gland")
    assert mask.sum() == 1245
    np.testing.assert_array_equal(mask, disc(20, 64))


def test_a_smoothed_mask_is_cut_in_the_middle_where_that_is_said(tmp_path, made):
    smooth = cv2.GaussianBlur(disc(20, 64) * np.uint8(255), (5, 5), 1)
    path = save(tmp_path / "m.png", smooth)
    np.testing.assert_array_equal(made(path, "--classes", "gland", "--nearest"), smooth > 127)


@pytest.mark.parametrize(("top", "classes"), [(1, "a"), (2, "a,b"), (200, "a,b")])
def test_a_jpeg_of_labels_that_lie_close_is_refused(tmp_path, made, top, classes):
    path = save(tmp_path / "m.jpg", disc(20, 64) * np.uint8(top))
    with pytest.raises(InputError, match=r"m.jpg: .*save masks as PNG"):
        made(path, "--classes", classes)


def test_greys_of_a_jpeg_that_are_named_and_far_apart_are_told_apart(tmp_path, made):
    labels = np.kron([[0, 1, 2], [2, 0, 1]], np.ones((16, 16), int))
    path = save(tmp_path / "m.jpg", np.array([0, 100, 200], np.uint8)[labels])
    np.testing.assert_array_equal(made(path, "--classes", "a,b", "--labels", "100=a,200=b"), labels)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.eye(6, 9, dtype=np.float32) / 2, "0.5"),
        (np.full(SHAPE, np.nan, np.float32), "nan"),
        (np.zeros((6, 9, 4), np.uint8), "of 54 px are not opaque|4 bands"),
        (-np.eye(6, 9, dtype=np.int16), "'-1' has no class"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, made, array, said):
    tifffile.imwrite(tmp_path / "m.tif", array, photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match=said):
        made(tmp_path / "m.tif", "--classes", "a")


@pytest.mark.parametrize("classes", ["a,c", "a b,c"])  # argparse takes -1=a for an option
def test_the_words_that_a_label_without_a_class_asks_for_are_taken(tmp_path, made, classes):
    tifffile.imwrite(tmp_path / "m.tif", -NUMBERS.astype(np.int16) * (NUMBERS == 1), photometric="minisblack")
    with pytest.raises(InputError, match="'-1' has no class") as refused:
        made(tmp_path / "m.tif", "--classes", classes)
    words = shlex.split(str(refused.value).rpartition(": ")[2])
    np.testing.assert_array_equal(made(tmp_path / "m.tif", "--classes", classes, *words), NUMBERS == 1)


def test_a_mask_where_0_is_white_is_refused(tmp_path, made):
    tifffile.imwrite(tmp_path / "m.tif", NUMBERS, photometric="miniswhite")
    with pytest.raises(InputError, match="0 is white"):
        made(tmp_path / "m.tif", "--classes", "a")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classes", "a,a"], "twice"),
        (["--classes", "1,2"], "no name of a class"),
        (["--classes", "background,a"], "no name of a class"),
        (["--classes", "a,mean"], "--classes: 'mean' is what reports call"),
        (["--classes", "a", "--labels", "1"], "LABEL=CLASS"),
        (["--classes", "a", "--labels", "#ff=a"], "LABEL=CLASS"),
        (["--classes", "a", "--labels", "1=b"], "'b' is no class"),
        (["--classes", "a,b", "--labels", "1=a,1=b"], "keep one"),
        ([], "--classes: is missing"),
    ],
)
def test_classes_and_labels_that_cannot_be_are_refused(tmp_path, made, words, said):
    path = save(tmp_path / "m.png", labelled(1))
    with pytest.raises(InputError, match=said):
        made(path, *words)
