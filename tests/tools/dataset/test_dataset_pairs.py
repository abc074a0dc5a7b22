"""Laws of pairing: by the stem, never by the place in a list; what has no partner is named on either side."""

import unicodedata

import numpy as np
import pytest

from ftu.errors import InputError
from ftu.files import csvfile
from ftu_tools.dataset import layout
from own_data import SHAPE, everything, labelled, mask_of, picture, run, save

NAMES = ("001", "NA", "1e5", "a b.c", "größe", unicodedata.normalize("NFD", "größer"))


@pytest.fixture
def images(tmp_path):
    for name in "abc":
        save(tmp_path / "images" / f"{name}.png", picture())
    return tmp_path / "images"


def test_what_is_unpaired_is_named_on_either_side(tmp_path, images):
    for name in "acd":
        save(tmp_path / "masks" / f"{name}.png", labelled(1))
    with pytest.raises(InputError, match=r"1 of 3 masks have no image: d.png; images without a mask: b.png"):
        run(tmp_path / "s", images, tmp_path / "masks", "--to", tmp_path / "root", "--classes", "gland")
    assert not (tmp_path / "root").exists()


def test_images_without_a_mask_are_an_error_or_test_images(tmp_path, images):
    for value, name in enumerate("ac", start=1):  # by place, c would get b's place
        save(tmp_path / "masks" / f"{name}.png", labelled(value))
    words = images, tmp_path / "masks", "--to", tmp_path / "root", "--classes", "gland,vessel"
    with pytest.raises(InputError, match=r"1 of 3 images have no mask: b.png.*--unmasked-to-test"):
        run(tmp_path / "s", *words)
    run(tmp_path / "s", *words, "--unmasked-to-test")
    assert mask_of(tmp_path / "root", "a").max() == 1
    assert mask_of(tmp_path / "root", "c").max() == 2
    assert [path.name for path in (tmp_path / "root/test").rglob("*.*")] == ["b.png"]


def test_hidden_files_are_no_images_and_counted(tmp_path, images, capsys):
    (images / ".DS_Store").write_bytes(b"Bud1")
    (images / "._a.png").write_bytes(b"\0\5\x16\7")
    (images / "notes.txt").write_text("x")
    (images / "facts.json").write_text("{}")
    for name in "abc":
        save(tmp_path / "masks" / f"{name}.png", labelled(1))
    run(tmp_path / "s", images, tmp_path / "masks", "--dry-run")
    assert (
        "left out of the folders: 1 .txt, 1 annotations beside the images, 2 hidden"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("mark", ["_mask", "-mask", "_masks", "_seg", "_label", "_labels", "_gt", "_MASK"])
def test_masks_are_known_by_what_stands_behind_the_stem(tmp_path, mark):
    """In a folder of their own, and beside the images."""
    for place in ("both", "masks"):
        for value, name in enumerate(("x_1", "y"), start=1):
            save(tmp_path / "both" / f"{name}.jpg", picture())
            save(tmp_path / place / f"{name}{mark}.png", labelled(value))
    one, two = tmp_path / "one", tmp_path / "two"
    run(tmp_path / "s", tmp_path / "both", "--to", one, "--classes", "gland,vessel")
    for path in (tmp_path / "both").glob("*.png"):
        path.unlink()
    run(tmp_path / "s", tmp_path / "both", tmp_path / "masks", "--to", two, "--classes", "gland,vessel")
    assert [mask_of(root, name).max() for root in (one, two) for name in ("x_1", "y")] == [1, 2, 1, 2]
    assert everything(one) == everything(two)


@pytest.mark.parametrize(
    ("names", "whose"), [(("a.png", "a.tif"), "images"), (("a.png", "a_mask.png"), "masks")]
)
def test_two_files_of_one_stem_are_refused(tmp_path, names, whose):
    for folder in ("images", "masks"):
        for name in names if folder == whose else names[:1]:
            save(tmp_path / folder / name, labelled(1))
    with pytest.raises(InputError, match=f"{names[0]} and .*{names[1]}"):
        run(tmp_path / "s", tmp_path / "images", tmp_path / "masks", "--dry-run")


def test_names_are_kept_whatever_they_are_but_for_how_accents_are_written(tmp_path):
    """A mask whose accents another system has written is of the same image; what is written has one way."""
    for value, name in enumerate(NAMES, start=1):
        save(tmp_path / "images" / f"{name}.TIF", picture())
        form = "NFD" if unicodedata.is_normalized("NFC", name) else "NFC"
        save(tmp_path / "masks" / f"{unicodedata.normalize(form, name)}.png", labelled(value))
    run(
        tmp_path / "s",
        tmp_path / "images",
        tmp_path / "masks",
        "--to",
        tmp_path / "root",
        "--classes",
        "a,b,c,d,e,f",
        "--um",
        "0.5",
    )
    written = [unicodedata.normalize("NFC", name) for name in NAMES]
    assert {path.name for path in (tmp_path / "root/train/images").iterdir()} == {
        f"{name}.tif" for name in written
    }
    assert [mask_of(tmp_path / "root", name).max() for name in written] == [1, 2, 3, 4, 5, 6]
    ids = csvfile.read_csv(tmp_path / "root/images.csv")["id"]
    assert sorted(ids) == sorted(written)
    there = tmp_path / "root/train/images" / f"{written[-1]}.tif"
    there.rename(there.with_name(f"{NAMES[-1]}.tif"))  # as by another system
    with pytest.raises(InputError, match=r"is there already"):
        layout.check_names(tmp_path / "root", written[-1:])


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "a.tmp-1"])
def test_a_name_that_files_of_ours_cannot_have_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="rename the image"):
        layout.check_names(tmp_path, ["fine", name])


def test_a_mask_of_another_size_is_refused(tmp_path):
    save(tmp_path / "a.png", picture())
    save(tmp_path / "a_mask.png", labelled(1, shape=(9, 6)))
    with pytest.raises(InputError, match=r"a_mask.png: is 9 x 6 px .* is 6 x 9"):
        run(tmp_path / "s", tmp_path, "--dry-run")


def test_a_folder_without_images_names_those_inside(tmp_path):
    save(tmp_path / "images/a.png", picture())
    with pytest.raises(InputError, match="folders: images"):
        run(tmp_path / "s", tmp_path, "--dry-run")


def test_a_dry_run_writes_nothing_and_says_what_the_run_says(tmp_path, capsys):
    for value, name in enumerate(("001", "NA"), start=1):
        save(tmp_path / "in" / f"{name}.png", picture())
        save(tmp_path / "in" / f"{name}_seg.png", labelled(value))
    save(tmp_path / "in/1e5.png", np.full((*SHAPE, 3), 7, np.uint8))
    save(tmp_path / "in/1e5_seg.png", labelled())
    words = tmp_path / "in", "--to", tmp_path / "root", "--classes", "a,b,absent"
    run(tmp_path / "s", *words, "--dry-run")
    dry = capsys.readouterr()
    assert not (tmp_path / "root").exists()
    run(tmp_path / "s", *words)
    assert capsys.readouterr() == dry
    for said in (
        "1 PNG, RGB, 8 bits, 2 PNG, grey",
        "1 of them without foreground",
        "1 a 1.23% of px (1 masks)",
    ):
        assert said in dry.out
    assert "no mask has a pixel of absent" in dry.err
