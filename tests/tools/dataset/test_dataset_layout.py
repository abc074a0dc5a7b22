"""Laws of what is written: all or nothing, nothing over what is there, files that fit as they are."""

import shlex
import sys
from contextlib import suppress

import pytest

from ftu.errors import InputError
from ftu_tools.dataset import layout, make
from own_data import everything, labelled, picture, run, save


@pytest.fixture
def given(tmp_path):
    """Makes a folder of pairs with these names."""

    def write(*names, wrong=False):
        folder = tmp_path / "-".join(names)
        for name in names:
            save(folder / "images" / f"{name}.jpg", picture((24, 16, 3)))
            save(folder / "masks" / f"{name}.png", labelled(1, shape=(24, 16)))
        if wrong:
            save(folder / "masks" / f"{names[-1]}.png", labelled(1, shape=(16, 24)))
        return folder / "images", folder / "masks", "--classes", "a", "--to", tmp_path / "root"

    return write


def test_a_file_that_fits_is_taken_to_the_byte(tmp_path, given):
    images, *words = given("001")
    run(tmp_path / "s", images, *words)
    assert (tmp_path / "root/train/images/001.jpg").read_bytes() == (images / "001.jpg").read_bytes()


def test_one_wrong_mask_of_many_writes_nothing(tmp_path, given):
    words = given("001", "NA", "1e5", wrong=True)
    before = everything(tmp_path)
    with pytest.raises(InputError, match="1e5"):
        run(tmp_path / "s", *words)
    assert everything(tmp_path) == before
    run(tmp_path / "s", *given("first"))
    before = everything(tmp_path)
    with pytest.raises(InputError, match="1e5"):
        run(tmp_path / "s", *words)
    assert everything(tmp_path) == before


def test_another_set_is_added_and_what_is_there_stays(tmp_path, given):
    run(tmp_path / "s", *given("001"), "--um", "0.5")
    before = everything(tmp_path / "root")
    run(tmp_path / "s", *given("NA"), "--set", "test", "--um", "2")
    after = everything(tmp_path / "root")
    added = {"test/images/NA.jpg", "test/masks/NA.png"}
    assert after.keys() == before.keys() | added
    assert after.pop("images.csv") == b"id,pixel_size\n001,0.5\nNA,2\n"
    assert before.pop("images.csv") == b"id,pixel_size\n001,0.5\n"
    assert before.items() <= after.items()


@pytest.mark.parametrize("words", [[], ["--set", "test"], ["--source", "x"]])
def test_a_stem_that_is_there_is_not_written_again(tmp_path, given, words):
    source = ["--source", "y"] if "--source" in words else []
    run(tmp_path / "s", *given("001"), *source)
    before = everything(tmp_path)
    with pytest.raises(InputError, match=r"001.jpg: is there already, and 1 of 1"):
        run(tmp_path / "s", *given("001"), *words)
    with pytest.raises(InputError, match=r"001.jpg: is there already"):
        run(tmp_path / "s", *given("001"), *words, "--dry-run")
    assert everything(tmp_path) == before


def test_sources_have_a_folder_each(tmp_path, given):
    run(tmp_path / "s", *given("001"), "--source", "x")
    run(tmp_path / "s", *given("NA"), "--source", "y", "--set", "test")
    assert everything(tmp_path / "root").keys() == {
        "x/train/images/001.jpg", "x/train/masks/001.png", "y/test/images/NA.jpg", "y/test/masks/NA.png",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"--to: .*holds sources \(x, y\)"):
        run(tmp_path / "s", *given("1e5"))


def test_what_fails_after_the_table_is_written_leaves_the_table_that_is_there(tmp_path, given):
    """Files are linked into the folder that is to take the place of the old one: none may be written into."""
    run(tmp_path / "s", *given("001"), "--um", "0.5")
    before = everything(tmp_path / "root")
    with suppress(KeyError), layout.extended(tmp_path / "root") as folder:
        layout.write_table(folder, [{"id": "NA", "z": "1"}])
        raise KeyError
    assert everything(tmp_path / "root") == before


def test_a_data_set_without_sources_gets_none(tmp_path, given):
    run(tmp_path / "s", *given("001"))
    with pytest.raises(InputError, match=r"--source: .*holds train"):
        run(tmp_path / "s", *given("NA"), "--source", "x")


@pytest.mark.parametrize("source", ["train", "masks", "../x", "a b"])
def test_a_source_is_a_folders_name_and_none_of_the_layouts(tmp_path, given, source):
    with pytest.raises(InputError, match="--source"):
        run(tmp_path / "s", *given("001"), "--source", source)


def test_a_folder_of_something_else_is_left_alone(tmp_path, given):
    save(tmp_path / "root/photos/a.png", picture())
    with pytest.raises(InputError, match=r"--to: .*holds photos"):
        run(tmp_path / "s", *given("001"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"--to: .* is a file"):
        run(tmp_path / "s", *given("001")[:-1], tmp_path / "file")


def test_the_folder_where_one_stands_is_not_replaced(tmp_path, given, monkeypatch):
    (tmp_path / "root/inner").mkdir(parents=True)
    words = given("001")
    for place in ("root", "root/inner"):
        monkeypatch.chdir(tmp_path / place)
        with pytest.raises(InputError, match=r"--to: .*is where you stand"):
            run(tmp_path / "s", *words)


@pytest.mark.parametrize(("words", "said"), [([], "--to: is missing"), (["--dry-run", "--um", "-1"], "--um")])
def test_what_is_missing_or_no_number_is_refused(tmp_path, words, said):
    with pytest.raises(InputError, match=said):
        run(tmp_path / "s", tmp_path, *words)


def test_a_place_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none: does not exist"):
        run(tmp_path / "s", tmp_path / "none", "--dry-run")


def test_the_command_says_what_it_wrote_and_how_to_go_on_in_words_that_a_shell_takes(
    tmp_path, given, monkeypatch, capsys
):
    root = tmp_path / "my set's; $1"
    words = (*given("001", "NA")[:2], "--classes", "a,b c", "--to", root)
    monkeypatch.setattr(sys, "argv", ["make", *map(str, words)])
    assert make.main() == f"2 images and 2 masks in {root}"
    line = capsys.readouterr().out.splitlines()[-1]
    command = line.removeprefix("go on with `").removesuffix("`")
    assert shlex.split(command) == ["make", "new", "PROFILE=NAME", f"ROOT={root}", "CLASSES=a,b c"]
